"""Labels of attacks and defences in tables and reports."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from vauban.core.norms import Ball
from vauban.core.registry import registration
from vauban.core.spelling import spelled, spelled_fields
from vauban.core.text import Spec
from vauban.engine import Attack


def display(spec: Spec, ball: Ball | None = None) -> str:
    """The text of an attack, with the radius of its ball where the data set gave it."""
    if ball is None or {"eps", "ball"} & set(spec.params):
        return with_base_names(spec.shown())
    return with_base_names(spec.shown(f"eps={fraction(float(ball.radius))}"))


def with_base_names(text: str) -> str:
    """A text with its .safetensors files by their base names: they count by their content, wherever they lie."""
    return re.sub(r"=[^=,+|\[\]]*/(?=[^/=,+|\[\]]+\.safetensors)", "=", text)


def fraction(value: float) -> str:
    """A radius as people write it: 8/255 where it is a whole number of 8-bit levels, else four digits."""
    levels = value * 255
    return f"{round(levels)}/255" if 0 < levels <= 64 and abs(levels - round(levels)) < 1e-6 else f"{value:.4g}"


def attack_label(attack: Any) -> str:
    """An attack that comes as an object, in the grammar of names; one that is not registered by its own `name`, if any."""
    own = getattr(attack, "name", None) if registration(type(attack)) is None else None
    if not dataclasses.is_dataclass(attack) or isinstance(attack, type):
        return str(own or type(attack).__name__.lower())
    text = spelled(attack)
    if hasattr(attack, "spelling"):
        return text
    return f"{own}{text[len(text.partition(':')[0]) :]}" if own else text


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
    fields: list[list[str]] = [spelled_fields(stage) if dataclasses.is_dataclass(stage) else [] for stage in stages]
    rivals = [[f for f, name in zip(fields, names, strict=True) if name == own] for own in names]
    telling = [[word for word in f if not all(word in r for r in rs)] for f, rs in zip(fields, rivals, strict=True)]
    labels = [f"{name}:{','.join(kept)}" if kept else name for name, kept in zip(names, telling, strict=True)]
    return tuple(
        f"{label} ({labels[: i + 1].count(label)})" if labels.count(label) > 1 else label
        for i, label in enumerate(labels)
    )


def _short(attack: Attack) -> str:
    """The name of an attack without parameters; of one that runs a single other one, with that."""
    registered = registration(type(attack))
    if len(attack.members) == 1:
        inner = _short(attack.members[0])
        return inner if registered is None else f"{registered[1]} of {inner}"
    return str(getattr(attack, "name", None) or type(attack).__name__.lower()) if registered is None else registered[1]
