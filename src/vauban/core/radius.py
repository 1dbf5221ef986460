"""Radius of a ball: a number, one per sample, or one per component."""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.core.errors import ContractError, plural
from vauban.core.parameters import NonNegative, check

Radius = float | Tensor


def check_radius(norm: str, radius: Radius, per_component: bool) -> None:
    """Check a radius.

    Args:
        norm: The name of its norm.
        radius: In pixel units of [0,1]; of L0, components.
        per_component: Whether the norm takes one per component.

    Raises:
        ContractError: It is no number, negative or not finite, or one per component where the norm takes none.
    """
    if not isinstance(radius, Tensor):
        check(norm, "the radius", radius, NonNegative)
    elif not bool(((radius >= 0) & (radius < torch.inf)).all()):  # also catches NaN
        low, high = float(radius.min()), float(radius.max())
        raise ContractError(f"expected finite radii of at least 0 for {norm}, got {low:g} to {high:g}")
    if isinstance(radius, Tensor) and radius.dim() > 1 and not per_component:
        raise ContractError(f"a radius per component needs the linf norm, got {norm} with shape {tuple(radius.shape)}")


def radius_of_batch(radius: Radius, x0: Tensor) -> Tensor:
    """A radius for each of the images x0 `(batch, ...)`, in their type: `(batch,)`, or one per component.

    Raises:
        ContractError: It fits neither the number of samples nor their shape.
    """
    radius = torch.as_tensor(radius, dtype=x0.dtype, device=x0.device)
    if radius.dim() == 0:
        return radius.expand(len(x0))
    if radius.dim() == 1 and len(radius) != len(x0):
        raise ContractError(f"expected one radius for each of {plural(len(x0), 'sample')}, got {len(radius)}")
    if radius.dim() > 1:
        try:
            return radius.expand_as(x0)
        except RuntimeError:
            raise ContractError(
                f"expected a radius that broadcasts to {tuple(x0.shape)}, got shape {tuple(radius.shape)}"
            ) from None
    return radius
