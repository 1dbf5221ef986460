"""Strategies of replacement: how far a patch goes to its codeword. Thesis of H. Zhang, section 6.3.3, (6.3) to (6.5)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Strategy = Literal["plain", "l2", "linf", "linear"]
"""plain: q; l2, linf: at most epsilon toward q in that norm; linear: the share epsilon of the way."""


def moved(p: Tensor, q: Tensor, strategy: Strategy, epsilon: float) -> Tensor:
    """The patches that take the place of p, of its shape; differentiable in p as the strategy is, q held fixed.

    l2, (6.3): q where |q - p| < epsilon, else p + epsilon (q - p) / |q - p|. linf, (6.4): p + clip(q - p, +-epsilon).
    linear, (6.5): p + epsilon (q - p). Where q itself takes the place the derivative is exactly 0.

    Args:
        p: Patches `(..., width)`.
        q: Their codewords, of the same shape.
        strategy: As above.
        epsilon: In units of the pixels or the feature; of linear a share.
    """
    if strategy == "plain":
        return q
    if strategy == "linear":
        return q if epsilon == 1 else p + epsilon * (q - p)
    if strategy == "linf":
        return torch.where((q - p).abs() <= epsilon, q, p + (q - p).clamp(-epsilon, epsilon))
    way = q - p
    length = way.norm(dim=-1, keepdim=True)
    inside = length <= epsilon
    return torch.where(inside, q, p + epsilon * way / length.where(~inside, torch.ones_like(length)))
