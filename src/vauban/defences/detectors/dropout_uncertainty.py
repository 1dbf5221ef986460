"""Dropout uncertainty (Feinman et al. 2017, arXiv:1703.00410): a detector by how far predictions under dropout differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.cards import Card, bare
from vauban.core.errors import ContractError
from vauban.core.parameters import Range
from vauban.defences import fitters, registry
from vauban.defences.detectors.base import Detector, Scored, Scorer
from vauban.defences.detectors.calibration import UNCALIBRATED, DetectorFitter
from vauban.defences.detectors.layer_features import last_linear

KIND = "dropout-uncertainty"
FEINMAN = "Feinman, Curtin, Shintre, Gardner 2017, arXiv:1703.00410"
DROPOUT = nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout
Passes = Annotated[int, Range(2, 10_000)]
"""Stochastic forward passes, at least 2."""
Rate = Annotated[float, Range(0, 1, open_low=True, open_high=True)]
"""Share of the features that are dropped."""


def own_dropout(network: nn.Module) -> list[nn.Module]:
    """The modules of a network that drop."""
    return [part for part in network.modules() if isinstance(part, DROPOUT) and getattr(part, "p", 0) > 0]


@contextmanager
def dropping(network: nn.Module, rate: float | None) -> Iterator[None]:
    """Dropout at work while open, whatever the mode of the network: at a rate before its last linear layer, or its own."""
    if rate is None:
        asleep = [part for part in own_dropout(network) if not part.training]
        for part in asleep:
            part.training = True
        try:
            yield
        finally:
            for part in asleep:
                part.training = False
        return

    def drop(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return F.dropout(args[0], rate, training=True), *args[1:]

    handle = last_linear(network).register_forward_pre_hook(drop)
    try:
        yield
    finally:
        handle.remove()


class DropoutScorer(Scorer):
    """sum_k Var_t p_k^t over predictions p^t under dropout.

    Attributes:
        draws: Predictions.
        rate: As of the detector.
    """

    def __init__(self, draws: int, rate: float | None) -> None:
        super().__init__()
        self.draws, self.rate, self.passes = draws, rate, 1 + draws

    def forward(self, network: nn.Module, x: Tensor) -> Scored:
        logits = network(x)
        with dropping(network, self.rate):
            drawn = torch.stack([network(x).double().softmax(1) for _ in range(self.draws)])
        return logits, drawn.var(0, correction=0).sum(1, keepdim=True)


@registry.register(
    KIND,
    random=True,
    differentiable=True,
    words={"file": "file"},
    example="rate=0.5,file=dropout-uncertainty.safetensors",
)
@dataclass(frozen=True, eq=False)
class DropoutUncertainty(Detector):
    """Rejects an image whose predictions under dropout differ by more than those of clean images.

    U(x) = (1/T) sum_t p_t' p_t - ((1/T) sum_t p_t)' ((1/T) sum_t p_t), the summed variance of the softmax vectors p_t of T
    passes with dropout; the answer is that of a pass without. Feinman, Curtin, Shintre, Gardner 2017, arXiv:1703.00410,
    section 4.2. Draws are from torch's global generator, which the oracle forks and seeds; differentiable for fixed draws,
    of which each gradient averages over T already.

    Attributes:
        passes: T.
        rate: Share of the inputs of the network's last linear layer that are dropped; None: the network's own dropout
            modules, as in the paper, and no others. Dropout that a network calls as a function is out of reach.
        file: A threshold that `vauban fit --fitter dropout-uncertainty:fpr=0.05` wrote.
        calibration: A threshold, in the place of a file.

    Raises:
        ContractError: A value outside its range; neither or both of file and calibration; when wrapped, a network without
            dropout (or, with a rate, without a linear layer), a file of another detector or of other parameters, or a
            network that rejects already.

    Departures: as of `kernel-density`, with which the paper joins it.
    """

    passes: Passes = 50
    rate: Rate | None = None
    registered: ClassVar[str] = KIND
    reference: ClassVar[str] = FEINMAN

    @property
    def card(self) -> Card:
        """Random, with a gradient of its own for each draw."""
        return replace(super().card, random=True, draws=2)

    @property
    def statistics(self) -> tuple[str, ...]:
        return ("the variance of predictions",)

    @property
    def settings(self) -> str:
        return f"passes={self.passes}" + ("" if self.rate is None else f",rate={self.rate}")

    def scorer(self, module: nn.Module) -> DropoutScorer:
        if self.rate is not None:
            last_linear(module)
        elif not own_dropout(module):
            raise ContractError(
                f"expected a network with dropout for {KIND!r}, got {type(bare(module)).__name__} without; put it before "
                "the last linear layer: rate=0.5"
            )
        return DropoutScorer(self.passes, self.rate)


@fitters.register(KIND)
@dataclass(frozen=True)
class FitDropoutUncertainty(DetectorFitter):
    """The variance of predictions under dropout, calibrated on every second clean image and checked on the others.

    Attributes:
        fpr: Share of clean images that may be rejected.
        passes, rate: As of the detector.

    Raises:
        ContractError: A value outside its range; when fitted, a network without dropout, too few images for the share, or a
            threshold that rejects every image that it is checked on.
    """

    passes: Passes = 50
    rate: Rate | None = None
    kind: ClassVar[str] = KIND

    def detector(self) -> DropoutUncertainty:
        return DropoutUncertainty(self.passes, self.rate, calibration=UNCALIBRATED)
