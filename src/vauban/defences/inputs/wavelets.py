"""Shrinkage of Haar wavelets (BayesShrink: Chang, Yu, Vetterli 2000, doi:10.1109/83.862633), batched."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

YCBCR = ((65.481, 128.553, 24.966), (-37.797, -74.203, 112.0), (112.0, -93.786, -18.214))
"""Rows Y, Cb, Cr of ITU-R BT.601 for RGB in [0,1], in pixel levels, without offsets: shrinkage does not see them."""
COARSEST = 3  # scales that are left as they are, as scikit-image leaves them


def shrunk(x: Tensor, sigma: float) -> Tensor:
    """Images with the details of noise taken off: BayesShrink of Haar wavelets, of colours in YCbCr.

    In every subband of every channel details d become sign(d) max(|d| - t, 0), t = s^2 / sqrt(mean d^2 - s^2), s the
    noise's deviation in the channel; a subband whose mean square is at most s^2 becomes 0.

    Args:
        x: Images `(batch, 1 or 3, height, width)`.
        sigma: Deviation of the noise in pixels of [0,1], independent in every component.
    """
    if x.shape[1] == 1:
        return _shrunk(x, x.new_full((1, 1, 1), sigma))
    matrix = torch.tensor(YCBCR, dtype=x.dtype, device=x.device) / 255
    spread = sigma * matrix.norm(dim=1)[:, None, None]
    luma = _shrunk(torch.einsum("kc,bchw->bkhw", matrix, x), spread)
    return torch.einsum("kc,bchw->bkhw", torch.linalg.inv(matrix), luma)


def _shrunk(x: Tensor, spread: Tensor) -> Tensor:
    details, sizes = [], []
    levels = max(min(x.shape[2:]).bit_length() - 1 - COARSEST, 1)
    for _ in range(levels):
        sizes.append(tuple(x.shape[2:]))
        x, parts = _split(x)
        details.append([_soft(part, spread) for part in parts])
    for parts, (height, width) in zip(reversed(details), reversed(sizes), strict=True):
        x = _joined(x, parts)[:, :, :height, :width]
    return x


def _soft(d: Tensor, spread: Tensor) -> Tensor:
    noise = spread.square()
    signal = d.square().mean((2, 3), keepdim=True) - noise
    above = signal > 0
    threshold = noise / torch.where(above, signal, torch.ones_like(signal)).sqrt()
    # A product, not a choice: what is 0 keeps a derivative of 0.
    return d.sign() * (d.abs() - threshold).relu() * above.to(d.dtype)


def _split(x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Half as large a mean, and the details along rows, columns and diagonals; an odd border is repeated."""
    x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), mode="replicate")
    a, b, c, d = x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
    return (a + b + c + d) / 2, [(a - b + c - d) / 2, (a + b - c - d) / 2, (a - b - c + d) / 2]


def _joined(mean: Tensor, details: list[Tensor]) -> Tensor:
    across, down, both = details
    parts = (mean + across + down + both, mean - across + down - both, mean + across - down - both)
    quarters = torch.stack([*parts, mean - across - down + both], dim=1) / 2
    return F.pixel_shuffle(quarters.transpose(1, 2).flatten(1, 2), 2)
