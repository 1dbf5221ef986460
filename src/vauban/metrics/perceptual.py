"""SSIM and PSNR: similarity of an image to its original."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.metrics import registry
from vauban.metrics.base import pair

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2
CHUNK = 2**22  # components in one float64 pass: bounds the memory of the windowed moments


def _images(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """`pair` of two batches of images. Raises ContractError for vectors."""
    x, y = pair(x, y)
    if x.dim() != 4:
        raise ContractError(f"expected images (batch, channel, height, width), got shape {tuple(x.shape)}")
    return x, y


@registry.register("ssim", unit="1", direction="higher", aggregate="median", reads="pair")
def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Mean structural similarity, `(batch,)` float64 in [-1, 1]; 1 for equal images.

    The mean over channels and window positions of (2 m_x m_y + C1)(2 s_xy + C2) / ((m_x^2 + m_y^2 + C1)(s_x^2 + s_y^2 +
    C2)), the moments weighted by a Gaussian of sigma 1.5 on 11 x 11 pixels of sum one, without bias correction;
    C1 = 0.01^2, C2 = 0.03^2 for a data range of 1 (Wang, Bovik, Sheikh, Simoncelli 2004, IEEE TIP 13(4), eq. 13-17).

    Only windows wholly inside the image count, and nothing is downsampled. Two departures: channels are compared one by
    one and averaged, where the paper has grey images only; on an image smaller than 11 pixels the window is the largest
    odd one that fits, with the same sigma.

    Args:
        x: Images `(batch, channel, height, width)` in [0,1].
        y: Images of the same shape; the measure is symmetric.

    Raises:
        ContractError: The shapes differ or are not those of images.
    """
    x, y = _images(x, y)
    size = min(WINDOW, *x.shape[2:])
    kernel = _gaussian(size - 1 + size % 2)
    count = max(1, CHUNK // max(1, x[0].numel()))
    parts = zip(torch.split(x, count), torch.split(y, count), strict=True)
    return torch.cat([_similarity(a, b, kernel) for a, b in parts])


def _gaussian(size: int) -> list[float]:
    """Gaussian weights of sum one on `size` pixels."""
    weights = [math.exp(-0.5 * ((i - size // 2) / SIGMA) ** 2) for i in range(size)]
    return [weight / sum(weights) for weight in weights]


def _local_mean(maps: Tensor, kernel: list[float]) -> Tensor:
    """Weighted means of maps `(batch, channel, height, width)` over every whole window, `kernel` along both axes.

    By shifted sums, which in float64 on a CPU are nine times faster than a convolution.
    """
    for axis in (-1, -2):
        length = maps.shape[axis] - len(kernel) + 1
        mean = torch.zeros_like(maps.narrow(axis, 0, length))
        for i, weight in enumerate(kernel):
            mean.add_(maps.narrow(axis, i, length), alpha=weight)
        maps = mean
    return maps


def _similarity(x: Tensor, y: Tensor, kernel: list[float]) -> Tensor:
    """SSIM of float64 images, `(batch,)`."""
    m_x, m_y, xx, yy, xy = (_local_mean(maps, kernel) for maps in (x, y, x * x, y * y, x * y))
    luminance = (2 * m_x * m_y + C1) / (m_x**2 + m_y**2 + C1)
    structure = (2 * (xy - m_x * m_y) + C2) / (xx - m_x**2 + yy - m_y**2 + C2)
    similarity: Tensor = luminance * structure
    return similarity.flatten(1).mean(1)


@registry.register("psnr_db", unit="dB", direction="higher", aggregate="median", reads="pair")
def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in decibels, 10 log10(1 / MSE) for a peak of 1, `(batch,)`; infinite for equal images.

    MSE is the mean squared difference over channels and pixels, in float64.

    Args:
        x: Images `(batch, channel, height, width)` in [0,1].
        y: Images of the same shape.

    Raises:
        ContractError: The shapes differ or are not those of images.
    """
    x, y = _images(x, y)
    return -10 * (x - y).square().flatten(1).mean(1).log10()
