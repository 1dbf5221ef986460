"""MagNet (Meng, Chen 2017, arXiv:1705.09064): a detector by an auto-encoder, which reforms the images that it accepts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn

from vauban.core.parameters import Range
from vauban.defences import fitters, registry
from vauban.defences.autoencoders.autoencoder import KIND as AUTOENCODER
from vauban.defences.autoencoders.reconstruction import Reconstruction, TrainedAutoEncoder
from vauban.defences.detectors.base import Scored, Scorer
from vauban.defences.detectors.by_autoencoder import ReconstructionDetector, ReconstructionDetectorFitter
from vauban.defences.detectors.calibration import UNCALIBRATED

KIND = "magnet"
MENG = "Meng, Chen 2017, arXiv:1705.09064"
Temperature = Annotated[float, Range(1e-3, 1e6)]
"""By which logits are divided."""
ErrorNorm = Literal["l1", "l2"]
"""Norm of the reconstruction error: the mean of |x - A(x)|, or the root of the mean of its squares."""


def divergence(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Jensen-Shannon divergence of softmax(first / T) and softmax(second / T), `(batch,)`, in nats; at most log 2."""
    p, q = ((logits / temperature).log_softmax(1) for logits in (first, second))
    middle = torch.logaddexp(p, q) - torch.log(torch.tensor(2.0, dtype=p.dtype, device=p.device))
    return 0.5 * ((p.exp() * (p - middle)).sum(1) + (q.exp() * (q - middle)).sum(1))


class MagNetScorer(Scorer):
    """Reconstruction error, and divergence of the predictions before and after reconstruction.

    Attributes:
        reconstruct: The auto-encoder.
        error: Norm of the reconstruction error.
        temperature: T of the divergence.
        reform: Whether the logits are those of the reconstruction.
    """

    passes = 2

    def __init__(self, trained: TrainedAutoEncoder, error: ErrorNorm, temperature: float, reform: bool) -> None:
        super().__init__()
        self.reconstruct = Reconstruction(trained, KIND)
        self.error, self.temperature, self.reform = error, temperature, reform

    def forward(self, network: nn.Module, x: Tensor) -> Scored:
        reformed = self.reconstruct(x)
        before, after = network(x), network(reformed)
        off = (x - reformed).abs().flatten(1)
        error = off.mean(1) if self.error == "l1" else off.square().mean(1).clamp_min(1e-24).sqrt()
        scores = torch.stack([error.to(before.dtype), divergence(before, after, self.temperature)], 1)
        return (after if self.reform else before), scores


@registry.register(
    KIND,
    random=False,
    differentiable=True,
    words={"file": "file", "autoencoder": "file"},
    example="autoencoder=auto-encoder.safetensors,file=magnet.safetensors",
)
@dataclass(frozen=True, eq=False)
class MagNet(ReconstructionDetector):
    """Rejects an image far from its reconstruction, in pixels or in the prediction; what it accepts is answered reformed.

    Statistics: the mean of |x - A(x)| (or the root mean square), and the Jensen-Shannon divergence of softmax(f(x) / T) and
    softmax(f(A(x)) / T). Meng, Chen 2017, arXiv:1705.09064, sections 4.2 and 4.3.

    Attributes:
        autoencoder: A, that `vauban fit --fitter auto-encoder` wrote.
        error: Norm of the reconstruction error.
        temperature: T.
        reform: Whether accepted images are answered by their reconstruction, as in the paper.
        trained: A, in the place of its file.
        file: Thresholds that `vauban fit --fitter magnet:fpr=0.05` wrote.
        calibration: Thresholds, in the place of a file.

    Raises:
        ContractError: Neither or both of autoencoder and trained, or of file and calibration; a file that holds no
            auto-encoder; when wrapped, thresholds of another detector or auto-encoder, or a network that rejects already.

    Departures: one auto-encoder, where the paper draws from several at random; noise in its training is not there.
    """

    error: ErrorNorm = "l1"
    temperature: Temperature = 10.0
    reform: bool = True
    registered: ClassVar[str] = KIND
    reference: ClassVar[str] = MENG
    autoencoders: ClassVar[str] = AUTOENCODER

    @property
    def statistics(self) -> tuple[str, ...]:
        return "the reconstruction error", "the divergence of predictions"

    @property
    def chosen(self) -> str:
        return f"error={self.error},temperature={self.temperature},reform={str(self.reform).lower()}"

    def scorer(self, module: nn.Module) -> MagNetScorer:
        return MagNetScorer(self.held, self.error, self.temperature, self.reform)


@fitters.register(KIND, words={"autoencoder": "file"})
@dataclass(frozen=True)
class FitMagNet(ReconstructionDetectorFitter):
    """The thresholds of MagNet, calibrated on every second clean image and checked on the others.

    Attributes:
        fpr: Share of clean images that may be rejected, half of it by each statistic.
        autoencoder, error, temperature, reform, trained: As of the detector.

    Raises:
        ContractError: A value outside its range, or a file that holds no auto-encoder; when fitted, too few images for the
            share, or thresholds that reject every image that they are checked on.
    """

    error: ErrorNorm = "l1"
    temperature: Temperature = 10.0
    reform: bool = True
    kind: ClassVar[str] = KIND
    autoencoders: ClassVar[str] = AUTOENCODER

    def detector(self) -> MagNet:
        return MagNet(
            error=self.error,
            temperature=self.temperature,
            reform=self.reform,
            trained=self.trained,
            calibration=UNCALIBRATED,
        )
