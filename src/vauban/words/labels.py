"""Labels of attacks in tables and reports."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from vauban.core.norms import Ball
from vauban.core.registry import registration
from vauban.core.spelling import spelled
from vauban.core.text import Spec


def display(spec: Spec, ball: Ball | None = None) -> str:
    """The text of an attack, with the radius of its ball where the data set gave it."""
    if ball is None or {"eps", "ball"} & set(spec.params):
        return spec.shown()
    return spec.shown(f"eps={fraction(float(ball.radius))}")


def fraction(value: float) -> str:
    """A radius as people write it: 8/255 where it is a whole number of 8-bit levels, else four digits."""
    levels = value * 255
    return f"{round(levels)}/255" if 0 < levels <= 64 and abs(levels - round(levels)) < 1e-6 else f"{value:.4g}"


<<<<<<< HEAD
def attack_label(attack: Any) -> str:
    """An attack that comes as an object, in the grammar of names; one that is not registered by its own `name`, if any."""
    own = getattr(attack, "name", None) if registration(type(attack)) is None else None
    if not dataclasses.is_dataclass(attack) or isinstance(attack, type):
        return str(own or type(attack).__name__.lower())
    text = spelled(attack)
    return f"{own}{text[len(text.partition(':')[0]) :]}" if own else text
=======
def registered_name(attack: Attack) -> str | None:
    """The name under which an attack's class is registered; None for a user's own."""
    return next((entry.name for entry in attacks.registry if entry.make is type(attack)), None)


def stage_labels(attack: Attack, shape: Sequence[int]) -> tuple[str, ...]:
    """Labels of the stages of an attack, none of them twice; nothing for an attack of a single stage.

    The name alone where no other stage has it, else with the parameters that differ, else with a number.

    Args:
        attack: The attack.
        shape: Of a sample.
    """
    stages = attack.stages_on(shape)
    if len(stages) < 2:
        return ()
    names = [_short(stage) for stage in stages]
    labels = [name + _telling(i, names, stages) for i, name in enumerate(names)]
    return tuple(
        f"{label} ({labels[: i + 1].count(label)})" if labels.count(label) > 1 else label
        for i, label in enumerate(labels)
    )


def _telling(i: int, names: Sequence[str], stages: Sequence[Attack]) -> str:
    """The parameters of a stage that not all stages of its name have."""
    rivals = [_parameters(stage) for stage, name in zip(stages, names, strict=True) if name == names[i]]
    kept = [word for word in _parameters(stages[i]) if not all(word in rival for rival in rivals)]
    return f":{','.join(kept)}" if kept else ""


def _short(attack: Attack) -> str:
    """The name of an attack without parameters; of one that runs a single other one, with that."""
    if len(attack.members) != 1:
        return _name(attack)
    inner = _short(attack.members[0])
    return inner if registered_name(attack) is None else f"{_name(attack)} of {inner}"


def attack_label(attack: Any) -> str:
    """An attack that comes as an object, in the grammar of names: its ball and what is not at its default."""
    name, shown = _name(attack), _parameters(attack)
    return f"{name}:{','.join(shown)}" if shown else name


def _name(attack: Any) -> str:
    return str(registered_name(attack) or getattr(attack, "name", None) or type(attack).__name__.lower())


def _parameters(attack: Any) -> list[str]:
    """The ball of an attack and what is not at its default, a word each."""
    if not dataclasses.is_dataclass(attack):
        return []
    shown: list[str] = []
    for f in dataclasses.fields(attack):
        value = getattr(attack, f.name)
        if isinstance(value, Ball) and isinstance(value.radius, (int, float)):
            shown += [f"norm={value.norm.name}", f"eps={fraction(float(value.radius))}"]
        elif isinstance(value, (int, float, str, bool)) and value != f.default:
            shown.append(f"{f.name}={value:g}" if isinstance(value, float) else f"{f.name}={value}")
        elif isinstance(value, Norm):
            shown.append(f"{f.name}={value.name}")
        elif isinstance(value, Attack):
            shown.append(f"{f.name}=[{attack_label(value)}]")
        elif isinstance(value, tuple) and value and all(isinstance(part, Attack) for part in value):
            shown.append(f"{f.name}=" + "".join(f"[{attack_label(part)}]" for part in value))
    return shown
>>>>>>> 1cfd24f (Cascades and the battery say which attack broke each image; accuracy after each in Python, verdict, table and JSON)
