"""Numerical tolerance of distances and budgets; the only place that decides whether a distance is within a radius.

A pixel on a grid of levels, a radius such as 8/255 and their difference are all rounded numbers: a distance that equals its
budget on paper may exceed it in the last bits. Needs no torch, so that reports read it too.
"""

from __future__ import annotations

TOLERANCES = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 1e-6, "float64": 1e-6}
"""By the type of the images, in pixel units: about two roundings of a pixel near 1. Images in double precision usually come
from single precision, so they have its tolerance."""


def tolerance(dtype: object = "float32") -> float:
    """Tolerance for images of a floating-point type.

    Args:
        dtype: A name such as `float32`, or a type that prints as one (`torch.float32`).

    Returns:
        The tolerance in pixel units of [0,1].
    """
    return TOLERANCES[str(dtype).removeprefix("torch.")]


def upper_limit(radius: float, slack: float = TOLERANCES["float32"]) -> float:
    """Largest distance that counts as within `radius`: radius (1 + slack) + slack.

    Args:
        radius: A distance in any norm, pixel units of [0,1].
        slack: The tolerance of the images that the distance was measured on.

    Returns:
        The limit, above `radius` by an absolute and a relative part: a sum over many pixels errs in proportion.
    """
    return radius * (1 + slack) + slack
