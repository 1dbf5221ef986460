"""Feature squeezing (Xu, Evans, Qi 2017, arXiv:1704.01155): a detector by how far squeezing moves the prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vauban.core.cards import Backward
from vauban.core.errors import ContractError
from vauban.defences import fitters, registry
from vauban.defences.base import Apply, InputDefence
from vauban.defences.detectors.base import Detector, Scored, Scorer
from vauban.defences.detectors.calibration import UNCALIBRATED, DetectorFitter
from vauban.defences.inputs.bit_depth import BitDepth
from vauban.defences.inputs.median_filter import MedianFilter

KIND = "feature-squeezing"
XU = "Xu, Evans, Qi 2017, arXiv:1704.01155"
SQUEEZERS: tuple[InputDefence, ...] = (BitDepth(4), MedianFilter(2))


class SqueezingScorer(Scorer):
    """max_i ||softmax f(x) - softmax f(s_i(x))||_1 over squeezers s_i.

    Attributes:
        squeezers: One module each.
    """

    def __init__(self, squeezers: tuple[InputDefence, ...]) -> None:
        super().__init__()
        self.squeezers = nn.ModuleList(Apply(squeezer) for squeezer in squeezers)
        self.passes = 1 + len(squeezers)

    def forward(self, network: nn.Module, x: Tensor) -> Scored:
        logits: Tensor = network(x)
        plain = logits.softmax(1)
        moved = [(network(squeeze(x)).softmax(1) - plain).abs().sum(1) for squeeze in self.squeezers]
        return logits, torch.stack(moved, 1).amax(1, keepdim=True)


def check_squeezers(squeezers: tuple[Any, ...]) -> None:
    """Raises ContractError unless there is at least one transform of images, and none that draws."""
    if not squeezers or not all(isinstance(squeezer, InputDefence) and not squeezer.random for squeezer in squeezers):
        got = ", ".join(str(getattr(squeezer, "name", squeezer)) for squeezer in squeezers) or "none"
        raise ContractError(
            f"expected squeezers that transform images without drawing, e.g. squeezers=[bit-depth:bits=4][median-filter], "
            f"got {got}"
        )


@registry.register(
    KIND,
    random=False,
    differentiable=False,
    words={"file": "file", "squeezers": "defences"},
    example="file=feature-squeezing.safetensors",
)
@dataclass(frozen=True, eq=False)
class FeatureSqueezing(Detector):
    """Rejects an image whose prediction moves farther than a threshold when it is squeezed, by the largest L1 distance.

    max_i ||softmax f(x) - softmax f(s_i(x))||_1 over the squeezers s_i. Xu, Evans, Qi 2017, arXiv:1704.01155, section 5.

    Attributes:
        squeezers: Transforms of the image: `squeezers=[bit-depth:bits=4][median-filter:size=2]`.
        file: A threshold that `vauban fit --fitter feature-squeezing:fpr=0.05` wrote.
        calibration: Thresholds, in the place of a file.

    Raises:
        ContractError: No squeezer, or one that is no transform of images or draws; neither or both of file and calibration;
            when wrapped, a file of another detector or of other squeezers, or a network that rejects already.

    Departures: the paper's sets of squeezers differ by data set (1 bit and a median of 2x2 on MNIST; 5 bits, a median of
    2x2 and non-local means on colour images); ours is one of them for none.
    """

    squeezers: tuple[InputDefence, ...] = SQUEEZERS
    registered: ClassVar[str] = KIND
    reference: ClassVar[str] = XU

    def __post_init__(self) -> None:
        super().__post_init__()
        check_squeezers(self.squeezers)

    @property
    def statistics(self) -> tuple[str, ...]:
        return ("the largest L1 distance of predictions",)

    @property
    def settings(self) -> str:
        return "squeezers=" + "".join(f"[{squeezer.name}]" for squeezer in self.squeezers)

    @property
    def backward(self) -> dict[str, Backward]:
        return {
            f"squeezers.{at}": squeezer.substitute
            for at, squeezer in enumerate(self.squeezers)
            if not squeezer.differentiable
        }

    def scorer(self, module: nn.Module) -> SqueezingScorer:
        return SqueezingScorer(self.squeezers)


@fitters.register(KIND, words={"squeezers": "defences"})
@dataclass(frozen=True)
class FitFeatureSqueezing(DetectorFitter):
    """The threshold of feature squeezing, calibrated on every second clean image and checked on the others.

    Attributes:
        fpr: Share of clean images that may be rejected.
        squeezers: As of the detector.

    Raises:
        ContractError: A value outside its range, or what is no squeezer; when fitted, too few images for the share, or a
            threshold that rejects every image that it is checked on.
    """

    squeezers: tuple[InputDefence, ...] = SQUEEZERS
    kind: ClassVar[str] = KIND

    def __post_init__(self) -> None:
        super().__post_init__()
        check_squeezers(self.squeezers)

    def detector(self) -> FeatureSqueezing:
        return FeatureSqueezing(self.squeezers, calibration=UNCALIBRATED)
