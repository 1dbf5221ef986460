"""Variance of late whitened components of the image (Hendrycks, Gimpel 2017, arXiv:1608.00530), as a detector."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from vauban.core.contracts import Batch, check_logits
from vauban.core.errors import ContractError
from vauban.core.parameters import Positive, Range
from vauban.core.precision import working_type
from vauban.defences import fitters, registry
from vauban.defences.detectors.base import Scored
from vauban.defences.detectors.calibration import UNCALIBRATED
from vauban.defences.detectors.learned import FeatureScorer, Learned, LearnedDetector, first_facts
from vauban.defences.detectors.streamed import StreamedDetectorFitter
from vauban.defences.fitter import Passed
from vauban.engine.network import quiet

KIND = "pca-whitening"
HENDRYCKS = "Hendrycks, Gimpel 2017, arXiv:1608.00530"
LARGEST = 4096  # components of an image whose covariance is held


class WhiteningScorer(FeatureScorer):
    """Mean over late k of z_k^2, z_k = u_k' (x - m) / sqrt(l_k + floor).

    Attributes:
        learned: `mean` m `(d,)`, and `axes` `(d, late)`, whose columns are u_k / sqrt(l_k + floor).
    """

    mean: Tensor
    axes: Tensor

    def __init__(self, learned: Learned) -> None:
        super().__init__(KIND, learned)
        self.register_buffer("mean", learned.tensors["mean"], persistent=False)
        self.register_buffer("axes", learned.tensors["axes"], persistent=False)

    def forward(self, network: nn.Module, x: Tensor) -> Scored:
        logits, _ = self.asked(network, x)
        flat = x.flatten(1).to(working_type(x.dtype))
        z = (flat - self.mean.to(flat)) @ self.axes.to(flat)
        return logits, z.square().mean(1, keepdim=True)


@registry.register(
    KIND, random=False, differentiable=True, words={"file": "file"}, example="file=pca-whitening.safetensors"
)
@dataclass(frozen=True, eq=False)
class PCAWhitening(LearnedDetector):
    """Rejects an image whose coefficients of the last principal components, whitened, vary more than those of clean ones.

    The mean of z_k^2 over the components k of least variance, z_k = u_k' (x - m) / sqrt(l_k + floor), u_k and l_k the
    eigenvectors and eigenvalues of the covariance of clean images. Hendrycks, Gimpel 2017, arXiv:1608.00530, section 3.

    Attributes:
        file: What `vauban fit --fitter pca-whitening:fpr=0.05` wrote.
        learned: Mean and components, and
        calibration: a threshold, both in the place of a file.

    Raises:
        ContractError: Neither or both of file and calibration; when wrapped, a file of another detector, or a network that
            rejects already; when run, images or classes of another shape.

    Departures: the variance is about 0, the mean of every z_k over clean images: about the mean over k it would depend on
    the signs of eigenvectors, which are arbitrary. The floor, about the variance that rounding to 8 bits leaves, without
    which pixels that never change (the border of MNIST) have infinite weight. A threshold in the place of two Gaussians,
    one of them of adversarial images.
    """

    registered: ClassVar[str] = KIND
    reference: ClassVar[str] = HENDRYCKS

    @property
    def statistics(self) -> tuple[str, ...]:
        return ("the variance of late components",)

    def scorer(self, module: nn.Module) -> WhiteningScorer:
        return WhiteningScorer(self.held)


@fitters.register(KIND)
@dataclass(frozen=True)
class FitPCAWhitening(StreamedDetectorFitter):
    """Principal components of every second clean image, by sums over a stream; the threshold of the others.

    Attributes:
        fpr: Share of clean images that may be rejected.
        late: Share of the components that count, those of the least variance; the paper takes about the last fifth of
            CIFAR-10's.
        floor: Added to every variance, in squared pixel units.

    Raises:
        ContractError: A value outside its range; when fitted, images of more than 4096 components, too few images for the
            share, or a threshold that rejects every image that it is checked on.
    """

    late: Annotated[float, Range(0, 1, open_low=True)] = 0.2
    floor: Positive = 1e-6
    kind: ClassVar[str] = KIND

    def learn(
        self, module: nn.Module, batches: Iterable[Batch], seed: int, callback: Passed | None
    ) -> tuple[Learned, int, int]:
        images = 0
        facts: dict[str, Any] = {"layers": []}
        sums = products = torch.empty(0)
        for batch in batches:
            flat = batch.x.flatten(1).double()
            if not images:
                facts |= self._facts(module, batch)
                d = flat.shape[1]
                sums = torch.zeros(d, dtype=torch.float64, device=flat.device)
                products = torch.zeros(d, d, dtype=torch.float64, device=flat.device)
            if list(batch.x.shape[1:]) != facts["image"]:
                raise ContractError(
                    f"expected images of one shape for {KIND!r}, got {facts['image']} and {list(batch.x.shape[1:])}"
                )
            sums += flat.sum(0)
            products += flat.T @ flat
            images += len(batch)
            if callback is not None:
                callback(images)
        if not images:
            raise ContractError(f"expected images to fit {KIND!r} for fpr={self.fpr:g}, got none")
        mean = sums / images
        values, vectors = torch.linalg.eigh(products / images - mean.outer(mean))  # the least first
        late = max(1, round(self.late * len(values)))
        axes = vectors[:, :late] / (values[:late].clamp_min(0) + self.floor).sqrt()
        return Learned({"mean": mean.cpu(), "axes": axes.cpu()}, facts), images, 1

    def _facts(self, module: nn.Module, batch: Batch) -> dict[str, Any]:
        d = batch.x[0].numel()
        if d > LARGEST:
            raise ContractError(
                f"expected images of at most {LARGEST} components for {KIND!r}, whose covariance is held, got {d}; take "
                "smaller images, or another detector"
            )
        with torch.no_grad(), quiet(list(module.modules())):
            return first_facts(batch, check_logits(module(batch.x[:1]), 1))

    def holding(self, learned: Learned) -> PCAWhitening:
        return PCAWhitening(learned=learned, calibration=UNCALIBRATED)
