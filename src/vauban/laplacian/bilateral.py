"""Bilateral filter: a local mean over pixels that are near and look alike."""

from __future__ import annotations

import math
from types import EllipsisType

import torch
from torch import Tensor

from vauban.core.errors import ContractError

_View = tuple[EllipsisType, slice, slice]


def bilateral(x: Tensor, sigma_domain: float, sigma_range: float, guide: Tensor | None = None) -> Tensor:
    """Images filtered to sum_q k(p, q) x_q / sum_q k(p, q) at each pixel p.

    k(p, q) = exp(-|p - q|^2 / (2 sigma_domain^2) - |y_p - y_q|^2 / (2 sigma_range^2)) with the guide y and the Euclidean
    distance over its channels; q runs over the pixels of the image within 3 sigma_domain of p. Differentiable; a constant
    channel is returned as it is, to the last bit. Tomasi and Manduchi 1998 (ICCV), eq. 5.

    Args:
        x: Images `(batch, channel, height, width)`.
        sigma_domain: Width in pixels.
        sigma_range: Width in units of the guide.
        guide: Images y that say which pixels look alike, of the same batch and size; x itself unless given.

    Returns:
        Images of the shape of x.

    Raises:
        ContractError: x and the guide are no images of one size, or a width is not positive.
    """
    y = x if guide is None else guide
    if x.dim() != 4 or y.dim() != 4 or (len(x), *x.shape[2:]) != (len(y), *y.shape[2:]):
        raise ContractError(
            f"expected images (batch, channel, height, width) and a guide alike, got {tuple(x.shape)}, {tuple(y.shape)}"
        )
    if not (sigma_domain > 0 and sigma_range > 0):
        raise ContractError(f"expected positive widths of the bilateral filter, got {sigma_domain} and {sigma_range}")
    change, total = torch.zeros_like(x), torch.ones_like(x[:, :1])
    for down, right in _half_disc(3 * sigma_domain, *x.shape[2:]):
        near, far = _ends(down, right)
        # both ends of an edge share its weight; sums of differences keep a constant exact
        square = (y[far] - y[near]).square().sum(1, keepdim=True)
        distance = (down**2 + right**2) / (2 * sigma_domain**2)
        weight = (square * (-0.5 / sigma_range**2) - distance).exp()
        step = weight * (x[far] - x[near])
        change[near] += step
        change[far] -= step
        total[near] += weight
        total[far] += weight
    return x + change / total


def _half_disc(radius: float, height: int, width: int) -> list[tuple[int, int]]:
    """One of each two opposite steps (down, right) of length at most `radius` that stay inside the image."""
    reach = math.floor(min(radius, height + width))
    down, across = min(reach, height - 1), min(reach, width - 1)
    steps = [(d, r) for d in range(down + 1) for r in range(-across, across + 1)]
    inside = [(d, r) for d, r in steps if d * d + r * r <= radius * radius]
    return [(d, r) for d, r in inside if d > 0 or r > 0]


def _ends(down: int, right: int) -> tuple[_View, _View]:
    """Views of the pixels p that have a p + (down, right), and of those p + (down, right)."""
    near = (slice(0, -down or None), slice(max(0, -right), -right if right > 0 else None))
    far = (slice(down, None), slice(max(0, right), right if right < 0 else None))
    return (..., *near), (..., *far)
