"""Adaptive noise reduction (Liang et al. 2017, arXiv:1705.08378): a detector by a filter that the image's entropy picks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.cards import Backward
from vauban.core.precision import working_type
from vauban.core.tensors import like
from vauban.defences import fitters, registry
from vauban.defences.base import check_image
from vauban.defences.detectors.base import Detector, Scored, Scorer, margin_against
from vauban.defences.detectors.calibration import UNCALIBRATED, DetectorFitter

KIND = "noise-reduction"
LIANG = "Liang, Li, Su, Li, Shi, Wang 2017, arXiv:1705.08378"
LEVELS = 256
LOW, HIGH = 4.0, 5.0
"""Entropies in bits that divide the images."""
COARSE, MIDDLE, FINE = 128, 64, 43
"""Widths of the quantisation intervals in pixel levels: 2, 4 and 6 of them."""
REACH = 3  # pixels of each arm of the cross


def entropy(levels: Tensor) -> Tensor:
    """Mean over channels of the entropy of the pixel levels in bits, `(batch,)`; levels int64 `(batch, channels, h, w)`."""
    flat = levels.flatten(2)
    ones = torch.ones_like(flat, dtype=torch.float64)
    counts = torch.zeros(*flat.shape[:2], LEVELS, dtype=torch.float64, device=levels.device).scatter_add_(2, flat, ones)
    p = counts / flat.shape[2]
    bits: Tensor = -torch.special.xlogy(p, p).sum(2).mean(1) / math.log(2)
    return bits


def cross_mean(v: Tensor) -> Tensor:
    """The mean over a cross of 13 pixels, with arms of 3; a pixel nearer to the border stays.

    Args:
        v: Maps `(batch, channels, height, width)`.
    """
    height, width = v.shape[2:]
    if min(height, width) <= 2 * REACH:
        return v
    cross = torch.zeros(2 * REACH + 1, 2 * REACH + 1, dtype=v.dtype, device=v.device)
    cross[REACH] = cross[:, REACH] = 1 / (4 * REACH + 1)
    inside = F.conv2d(v.flatten(0, 1)[:, None], cross[None, None]).view(
        *v.shape[:2], height - 2 * REACH, width - 2 * REACH
    )
    smoothed = v.clone()
    smoothed[:, :, REACH:-REACH, REACH:-REACH] = inside
    return smoothed


class NoiseReduction(nn.Module):
    """Quantisation in 2, 4 or 6 intervals by the image's entropy, and a smoothing where that is high.

    An image of less than 4 bits is quantised to floor(v / 128) 128 of its 256 levels v, one of less than 5 bits with 64,
    any other with 43; the last is smoothed by a cross, and of both the value nearer to the pixel is taken.
    """

    def forward(self, x: Tensor) -> Tensor:
        check_image(x, KIND)
        v = (x.to(working_type(x.dtype)) * (LEVELS - 1)).round().clamp(0, LEVELS - 1)
        bits = entropy(v.nan_to_num(0).long())
        interval = torch.where(bits < LOW, COARSE, torch.where(bits < HIGH, MIDDLE, FINE))
        width = like(interval, v).to(v.dtype)
        quantised = (v / width).floor() * width
        smoothed = cross_mean(quantised)
        closer = torch.where((quantised - v).abs() < (smoothed - v).abs(), quantised, smoothed)
        reduced = torch.where(like(bits >= HIGH, v), closer, quantised)
        return (reduced / (LEVELS - 1)).to(x.dtype)


class NoiseReductionScorer(Scorer):
    """max_{k != c} z'_k - z'_c with c the label of f(x) and z' = f(r(x)), r the filter.

    Attributes:
        reduce: The filter.
    """

    passes = 2

    def __init__(self) -> None:
        super().__init__()
        self.reduce = NoiseReduction()

    def forward(self, network: nn.Module, x: Tensor) -> Scored:
        before, after = network(x), network(self.reduce(x))
        return before, margin_against(before, after)[:, None]


@registry.register(
    KIND, random=False, differentiable=False, words={"file": "file"}, example="file=noise-reduction.safetensors"
)
@dataclass(frozen=True, eq=False)
class AdaptiveNoiseReduction(Detector):
    """Rejects an image that is answered otherwise behind a filter, which the image's own entropy picks.

    max_{k != c} z'_k - z'_c with c the label of f(x) and z' = f(r(x)). r quantises the 256 levels in 2, 4 or 6 intervals
    where the entropy of the levels, the mean over channels, is below 4 bits, below 5, or not; with 6 it also smooths by a
    cross of 13 pixels and takes, pixel by pixel, what is nearer to the image. The filter has no useful derivative: BPDA
    takes the identity. Liang, Li, Su, Li, Shi, Wang 2017, arXiv:1705.08378, section 4.

    Attributes:
        file: A threshold that `vauban fit --fitter noise-reduction:fpr=0.05` wrote.
        calibration: A threshold, in the place of a file.

    Raises:
        ContractError: Neither or both of file and calibration; when wrapped, a file of another detector, or a network that
            rejects already; when run, what are no images.

    Departures: a calibrated margin; the paper rejects where the label changes, which is the threshold 0.
    """

    registered: ClassVar[str] = KIND
    reference: ClassVar[str] = LIANG

    @property
    def statistics(self) -> tuple[str, ...]:
        return ("the margin against the first answer",)

    @property
    def settings(self) -> str:
        return ""

    @property
    def backward(self) -> dict[str, Backward]:
        return {"reduce": None}

    def scorer(self, module: nn.Module) -> NoiseReductionScorer:
        return NoiseReductionScorer()


@fitters.register(KIND)
@dataclass(frozen=True)
class FitNoiseReduction(DetectorFitter):
    """The margin behind the filter, calibrated on every second clean image and checked on the others.

    Attributes:
        fpr: Share of clean images that may be rejected.

    Raises:
        ContractError: A value outside its range; when fitted, too few images for the share, or a threshold that rejects
            every image that it is checked on.
    """

    kind: ClassVar[str] = KIND

    def detector(self) -> AdaptiveNoiseReduction:
        return AdaptiveNoiseReduction(calibration=UNCALIBRATED)
