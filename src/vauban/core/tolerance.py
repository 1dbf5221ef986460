"""Numerical tolerance of distances and budgets; the only place that decides whether a distance is within a radius.

A pixel on a grid of levels, a radius such as 8/255 and their difference are all rounded numbers: a distance that equals its
budget on paper may exceed it in the last bits. Needs no torch, so that reports read it too.
"""

from __future__ import annotations

from typing import Any, Protocol, Self, TypeVar

from vauban.core.errors import ContractError

TOLERANCES = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 1e-6, "float64": 1e-6}
"""By the type of the images, in pixel units: about two roundings of a pixel near 1. Images in double precision usually come
from single precision, so they have its tolerance."""
FLOAT32 = TOLERANCES["float32"]


class Scalable(Protocol):
    """Number, array or tensor: what can be multiplied by a number and added to one."""

    def __mul__(self, factor: Any, /) -> Self: ...
    def __add__(self, amount: Any, /) -> Self: ...
    def __sub__(self, amount: Any, /) -> Self: ...
    def __truediv__(self, factor: Any, /) -> Self: ...


S = TypeVar("S", bound=Scalable)


def tolerance(dtype: object = "float32") -> float:
    """Tolerance for images of a floating-point type.

    Args:
        dtype: A name such as `float32`, or a type that prints as one (`torch.float32`).

    Returns:
        The tolerance in pixel units of [0,1].

    Raises:
        ContractError: The type is no floating-point type of images.
    """
    name = str(dtype).removeprefix("torch.")
    if name not in TOLERANCES:
        raise ContractError(f"expected images of type {', '.join(TOLERANCES)}, got {name}; convert them to float32")
    return TOLERANCES[name]


def upper_limit(radius: S, slack: float = FLOAT32) -> S:
    """Largest distance that counts as within `radius`: radius (1 + slack) + slack.

    Args:
        radius: A distance in any norm, pixel units of [0,1]; a number, or an array or tensor of any shape.
        slack: The tolerance of the images that the distance was measured on.

    Returns:
        The limit, above `radius` by an absolute and a relative part: a sum over many pixels errs in proportion.
    """
    return radius * (1 + slack) + slack


def least_radius(distance: S, slack: float = FLOAT32) -> S:
    """Smallest radius that a distance counts as within, the inverse of `upper_limit`: (distance - slack) / (1 + slack).

    Args:
        distance: In any norm, pixel units of [0,1]; a number, or an array or tensor of any shape, infinite for a failure.
        slack: The tolerance of the images that the distance was measured on.

    Returns:
        The radius, below `distance`, and below 0 for a distance of 0.
    """
    return (distance - slack) / (1 + slack)


def level_slack(levels: int, dtype: object) -> float:
    """Part of a level by which a pixel on a grid may miss it, at most half a level.

    Args:
        levels: How many values a component has, 0, 1/(levels - 1), ..., 1.
        dtype: The type of the images, as for `tolerance`.

    Returns:
        The tolerance in units of one level; half a level where the type cannot tell two levels apart (bfloat16 of 8 bits).
    """
    return min(tolerance(dtype) * (levels - 1), 0.5)
