"""Detection-based strategy of MAD: what of the error is visible behind the image (Larson and Chandler 2010, 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.metrics.mad_blocks import BLOCK, BlockMoments, merged, moments

GAIN, GAMMA, OFFSET = 0.02874, 2.2, 0.0
"""Luminance (OFFSET + GAIN p)^GAMMA in cd/m^2 of the pixel value p on an sRGB display."""
LAMBDA, PEAK, BELOW = 0.114, 7.8909, 0.981  # the curve's scale and peak, cycles per degree; the value below the peak
DARK = 0.5  # mean lightness of a block up to which no error is seen
FLOOR = -5.0  # log contrast of the image below which it masks nothing


def sensitivity(frequency: Tensor, angle: Tensor) -> Tensor:
    """Contrast sensitivity H = 2.6 (0.0192 + l f') exp(-(l f')^1.1) from its peak on, 0.981 below.

    f' = f / (0.15 cos 4 theta + 0.85), l = 0.114. Mannos and Sakrison 1974, with the loss at oblique angles and the
    flattened low frequencies of Daly.

    Args:
        frequency: f in cycles per degree.
        angle: theta in radians.
    """
    slanted = frequency / (0.15 * torch.cos(4 * angle) + 0.85)
    scaled = LAMBDA * slanted
    return torch.where(slanted >= PEAK, 2.6 * (0.0192 + scaled) * torch.exp(-(scaled**1.1)), BELOW)


def lightness(pixel: Tensor) -> Tensor:
    """Cube root of the luminance of pixel values in [0, 255]."""
    return (OFFSET + GAIN * pixel) ** (GAMMA / 3)


def perceived(image: Tensor, pixels_per_degree: float) -> Tensor:
    """Images `(batch, height, width)` filtered by `sensitivity`, their borders joined."""
    height, width = image.shape[1:]
    down = torch.fft.fftfreq(height, 1 / pixels_per_degree, dtype=image.dtype, device=image.device)[:, None]
    right = torch.fft.rfftfreq(width, 1 / pixels_per_degree, dtype=image.dtype, device=image.device)
    spectrum = torch.fft.rfft2(image) * sensitivity(torch.hypot(down, right), torch.atan2(down, right))
    filtered: Tensor = torch.fft.irfft2(spectrum, s=(height, width))
    return filtered


def detection(x: Tensor, y: Tensor, pixels_per_degree: float) -> Tensor:
    """Visible error d_detect = sqrt(mean over blocks of (xi D)^2), `(batch,)`.

    D is the mean squared error of the block in pixel values; xi its `visibility`, from the contrasts of image and error in
    `perceived` lightness.

    Args:
        x: Grey originals `(batch, height, width)` in [0, 255].
        y: Grey images of the same shape.
        pixels_per_degree: Pixels in one degree of the viewer's field.
    """
    original = lightness(x)
    image = moments(perceived(original, pixels_per_degree))
    error = merged(moments(perceived(lightness(y) - original, pixels_per_degree)), BLOCK)
    square = merged(moments((y - x).square()), BLOCK).mean
    return (visibility(image, error) * square).square().mean((1, 2)).sqrt()


def visibility(image: BlockMoments, error: BlockMoments) -> Tensor:
    """Visibility xi of the error per block: how far its log contrast exceeds the image's, or -5 where this is larger.

    Contrast is a standard deviation over the mean lightness of the block of the image; for the image it is the smallest
    deviation of the four quarters of the block, so that an edge does not mask what is beside it. An error in a block of
    mean lightness up to 0.5, or below both contrasts, is not seen: 0.

    Args:
        image: Moments of the cells of the image.
        error: Moments of the blocks of the error.

    Returns:
        One value per block, `(batch, rows, columns)`.
    """
    quarter, half = merged(image, BLOCK // 2).deviation, BLOCK // 2
    least = torch.minimum(quarter[:, :-half], quarter[:, half:])
    least = torch.minimum(least[..., :-half], least[..., half:])
    mean = merged(image, BLOCK).mean
    lit = mean > DARK
    safe = torch.where(lit, mean, 1)
    masking = (least / safe).log().clamp_min(FLOOR)
    contrast = torch.where(lit, error.deviation / safe, 0).log()  # minus infinity where there is no error
    return torch.where(contrast > masking, contrast - masking, 0)
