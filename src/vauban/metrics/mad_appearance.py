"""Appearance-based strategy of MAD: how local statistics of subbands change (Larson and Chandler 2010, 3.2)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from vauban.metrics.mad_blocks import BLOCK, merged, moments

WAVELENGTHS = (3.0, 9.0, 27.0, 81.0, 243.0)  # pixels, of the centres of the scales
WEIGHTS = (0.5, 0.75, 1.0, 5.0, 6.0)  # of the scales, from fine to coarse
ORIENTATIONS = 4
BANDWIDTH = 0.55  # sigma_s / r_s of the radial Gaussian on a logarithmic axis
SPREAD = math.pi / ORIENTATIONS / 1.5  # radians, the deviation of the angular Gaussian


def scales(height: int, width: int) -> list[tuple[float, float]]:
    """Scales that an image can hold: wavelengths up to twice its longer side.

    Beyond, the image's lowest frequency lies under half the peak of the filter, and the higher moments of what is left
    would speak with the largest weight.

    Returns:
        (wavelength in pixels, weight) for each, weights of sum 1.
    """
    held = [(length, w) for length, w in zip(WAVELENGTHS, WEIGHTS, strict=True) if length <= 2 * max(height, width)]
    total = sum(weight for _, weight in held)
    return [(length, weight / total) for length, weight in held]


def log_gabor(frequency: Tensor, angle: Tensor, wavelength: float, orientation: int) -> Tensor:
    """Log-Gabor filter G = exp(-ln(f / f_s)^2 / (2 ln(0.55)^2)) exp(-(theta - mu_o)^2 / (2 sigma_o^2)), 0 at f = 0.

    f_s = 1 / wavelength, mu_o = o pi / 4, sigma_o = (pi / 4) / 1.5. One side of the plane only, so the filtered image is
    complex.

    Args:
        frequency: f in cycles per pixel.
        angle: theta in radians; its difference from mu_o is taken around the circle.
        wavelength: Of the centre of the scale, in pixels.
        orientation: o, from 0 to 3.

    Returns:
        The filter at every frequency.
    """
    radial = torch.exp(-0.5 * ((frequency * wavelength).log() / math.log(BANDWIDTH)) ** 2)
    turn = angle - orientation * math.pi / ORIENTATIONS
    turn = torch.atan2(turn.sin(), turn.cos())
    return radial * torch.exp(-0.5 * (turn / SPREAD) ** 2)


def subbands(image: Tensor) -> Iterator[tuple[float, Tensor]]:
    """Subbands of grey images `(batch, height, width)`, their borders joined.

    Yields:
        (weight of the scale, magnitudes `(batch, height, width)`) for every scale and orientation.
    """
    height, width = image.shape[1:]
    down = torch.fft.fftfreq(height, dtype=image.dtype, device=image.device)[:, None]
    right = torch.fft.fftfreq(width, dtype=image.dtype, device=image.device)
    frequency, angle = torch.hypot(down, right), torch.atan2(down, right)
    # no filter sees the mean; without it a constant image is zero to the last bit
    spectrum = torch.fft.fft2(image - image[:, :1, :1])
    for wavelength, weight in scales(height, width):
        for orientation in range(ORIENTATIONS):
            yield weight, torch.fft.ifft2(spectrum * log_gabor(frequency, angle, wavelength, orientation)).abs()


def appearance(x: Tensor, y: Tensor) -> Tensor:
    """Change of appearance d_appear = sqrt(mean over blocks of eta^2), `(batch,)`.

    eta = sum over scales s and orientations of w_s (|sigma_x - sigma_y| + 2 |skew_x - skew_y| + |kurt_x - kurt_y|), the
    standard deviation, skewness and kurtosis of a block of the subband's magnitudes.

    Args:
        x: Grey originals `(batch, height, width)` in [0, 255].
        y: Grey images of the same shape.
    """
    total = x.new_zeros(())
    for weight, magnitude in subbands(torch.cat([x, y])):
        block = merged(moments(magnitude), BLOCK)
        deviation, skewness, kurtosis = (
            (m[: len(x)] - m[len(x) :]).abs() for m in (block.deviation, block.skewness, block.kurtosis)
        )
        total = total + weight * (deviation + 2 * skewness + kurtosis)
    return total.square().mean((1, 2)).sqrt()
