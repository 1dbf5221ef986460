"""Spelling: an object as the spec text that stands for it, the inverse of `core.text.parse`."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass
from fractions import Fraction
from typing import Any

from torch import Tensor

from vauban.core.losses import LOSSES
from vauban.core.norms import Ball, Norm
from vauban.core.registry import registration


def spelled(value: Any) -> str:
    """The spec text of an object: its registered name, then the fields that are not at their default.

    A ball is its norm and radius, a loss or a norm its name, and an object inside another stands in brackets:
    `at:attack=[pgd:norm=linf,eps=0.3,steps=7],alpha=0.5`. A class that is not registered goes by its own name,
    in small letters, unless it has a `spelling` of its own; a tensor of several numbers is only said to be `given`.
    """
    own = getattr(type(value), "spelling", None)
    if isinstance(own, property):
        return str(value.spelling)
    if not is_dataclass(value) or isinstance(value, type):
        return _value(value)
    registered = registration(type(value))
    name = type(value).__name__.lower() if registered is None else registered[1]
    shown = spelled_fields(value)
    return f"{name}:{','.join(shown)}" if shown else name


def spelled_fields(value: Any) -> list[str]:
    """The `key=value` of the fields of a dataclass object that are not at their default."""
    return [part for field in fields(value) for part in _parts(field, getattr(value, field.name))]


def _parts(field: Field[Any], value: Any) -> list[str]:
    """The `key=value` that say what a field holds, none where it is at its default."""
    if not field.init or (field.default is not MISSING and _equal(value, field.default)):
        return []
    if isinstance(value, Ball) and field.name == "ball":
        return [f"norm={value.norm.name}", f"eps={_value(value.radius)}"]
    return [f"{field.name}={_value(value)}"]


def _equal(value: Any, default: Any) -> bool:
    return type(value) is type(default) and not isinstance(value, Tensor | Ball) and bool(value == default)


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Tensor):
        return _number(float(value)) if value.numel() == 1 else "given"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Norm):
        return value.name
    if isinstance(value, tuple | list) or (is_dataclass(value) and not isinstance(value, type)):
        items = value if isinstance(value, tuple | list) else (value,)
        return "".join(f"[{spelled(item)}]" for item in items)
    if callable(value):
        own = getattr(value, "__name__", type(value).__name__)
        return next((name for name, loss in LOSSES.items() if loss is value), own)
    return str(value)


def _number(value: float) -> str:
    """A number whose text is read back as the same float: `8/255` where it is a whole number of 8-bit levels."""
    levels = round(value * 255)
    whole = 0 < levels < 255 and float(Fraction(levels) / 255) == value and len(repr(value)) > 6
    return f"{levels}/255" if whole else repr(value)
