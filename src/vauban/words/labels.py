"""Labels of attacks in tables and reports."""

from __future__ import annotations

import dataclasses
from typing import Any

from vauban import attacks
from vauban.core.norms import Ball, Norm
from vauban.core.text import Spec
from vauban.engine import Attack


def display(spec: Spec, ball: Ball | None = None) -> str:
    """The text of an attack, with the radius of its ball where the data set gave it."""
    if ball is None or {"eps", "ball"} & set(spec.params):
        return spec.shown()
    return spec.shown(f"eps={fraction(float(ball.radius))}")


def fraction(value: float) -> str:
    """A radius as people write it: 8/255 where it is a whole number of 8-bit levels, else four digits."""
    levels = value * 255
    return f"{round(levels)}/255" if 0 < levels <= 64 and abs(levels - round(levels)) < 1e-6 else f"{value:.4g}"


def registered_name(attack: Attack) -> str | None:
    """The name under which an attack's class is registered; None for a user's own."""
    return next((entry.name for entry in attacks.registry if entry.make is type(attack)), None)


def attack_label(attack: Any) -> str:
    """An attack that comes as an object, in the grammar of names: its ball and what is not at its default."""
    name = registered_name(attack) or getattr(attack, "name", None) or type(attack).__name__.lower()
    if not dataclasses.is_dataclass(attack):
        return str(name)
    shown = []
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
    return f"{name}:{','.join(shown)}" if shown else str(name)
