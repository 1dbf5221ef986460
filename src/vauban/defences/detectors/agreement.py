"""Agreement of a network with itself behind an S2SNet, as a detector (Folz et al. 2018, conclusion)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from vauban.defences import fitters, registry
from vauban.defences.autoencoders.reconstruction import Reconstruction, TrainedAutoEncoder
from vauban.defences.autoencoders.s2snet import FOLZ
from vauban.defences.autoencoders.s2snet import KIND as S2SNET
from vauban.defences.detectors.base import Scored, Scorer, margin_against
from vauban.defences.detectors.by_autoencoder import ReconstructionDetector, ReconstructionDetectorFitter
from vauban.defences.detectors.calibration import UNCALIBRATED

KIND = "agreement"


class AgreementScorer(Scorer):
    """max_{k != c} z'_k - z'_c with c the label of f(x) and z' = f(A(x)): positive where the two answers differ.

    Attributes:
        reconstruct: A.
    """

    passes = 2

    def __init__(self, trained: TrainedAutoEncoder) -> None:
        super().__init__()
        self.reconstruct = Reconstruction(trained, KIND)

    def forward(self, network: nn.Module, x: Tensor) -> Scored:
        before, after = network(x), network(self.reconstruct(x))
        return before, margin_against(before, after)[:, None]


@registry.register(
    KIND,
    random=False,
    differentiable=True,
    words={"file": "file", "autoencoder": "file"},
    example="autoencoder=s2snet.safetensors,file=agreement.safetensors",
)
@dataclass(frozen=True, eq=False)
class Agreement(ReconstructionDetector):
    """Rejects an image whose reconstruction by an S2SNet is answered otherwise, by a calibrated margin.

    max_{k != c} z'_k - z'_c with c the label of f(x) and z' = f(A(x)). The threshold 0 is disagreement itself. Folz,
    Palacio, Hees, Borth, Dengel 2018, arXiv:1803.07994, conclusion, which suggests it and does not measure it.

    Attributes:
        autoencoder: A, that `vauban fit --fitter s2snet` wrote.
        trained: A, in the place of its file.
        file: A threshold that `vauban fit --fitter agreement:fpr=0.05` wrote.
        calibration: Thresholds, in the place of a file.

    Raises:
        ContractError: Neither or both of autoencoder and trained, or of file and calibration; a file that holds no S2SNet;
            when wrapped, a threshold of another detector or S2SNet, or a network that rejects already.
    """

    registered: ClassVar[str] = KIND
    reference: ClassVar[str] = FOLZ
    autoencoders: ClassVar[str] = S2SNET

    @property
    def statistics(self) -> tuple[str, ...]:
        return ("the margin against the first answer",)

    def scorer(self, module: nn.Module) -> AgreementScorer:
        return AgreementScorer(self.held)


@fitters.register(KIND, words={"autoencoder": "file"})
@dataclass(frozen=True)
class FitAgreement(ReconstructionDetectorFitter):
    """The margin of agreement, calibrated on every second clean image and checked on the others.

    Attributes:
        fpr: Share of clean images that may be rejected.
        autoencoder: As of the detector.
        trained: An auto-encoder, in the place of its file.

    Raises:
        ContractError: A value outside its range, or a file that holds no S2SNet; when fitted, too few images for the share,
            or a threshold that rejects every image that it is checked on.
    """

    kind: ClassVar[str] = KIND
    autoencoders: ClassVar[str] = S2SNET

    def detector(self) -> Agreement:
        return Agreement(trained=self.trained, calibration=UNCALIBRATED)
