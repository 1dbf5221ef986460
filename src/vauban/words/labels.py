"""Labels of attacks in tables and reports."""

from __future__ import annotations

import dataclasses
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


def attack_label(attack: Any) -> str:
    """An attack that comes as an object, in the grammar of names; one that is not registered by its own `name`, if any."""
    own = getattr(attack, "name", None) if registration(type(attack)) is None else None
    if not dataclasses.is_dataclass(attack) or isinstance(attack, type):
        return str(own or type(attack).__name__.lower())
    text = spelled(attack)
    return f"{own}{text[len(text.partition(':')[0]) :]}" if own else text
