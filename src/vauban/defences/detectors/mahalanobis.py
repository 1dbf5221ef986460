"""Mahalanobis distance of features to the nearest class (Lee et al. 2018, arXiv:1807.03888), as a detector."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from vauban.core.contracts import Batch, check_labels
from vauban.core.errors import ContractError
from vauban.defences import fitters, registry
from vauban.defences.detectors.base import Scored
from vauban.defences.detectors.calibration import UNCALIBRATED
from vauban.defences.detectors.layer_features import PENULTIMATE, LayerName, names_of, place_of, rows, with_features
from vauban.defences.detectors.learned import FeatureScorer, Learned, LearnedDetector, check_every_class, first_facts
from vauban.defences.detectors.streamed import StreamedDetectorFitter
from vauban.defences.fitter import Passed
from vauban.engine.network import quiet

KIND = "mahalanobis"
LEE = "Lee, Lee, Lee, Shin 2018, arXiv:1807.03888"
LARGEST = 4096  # features whose covariance is held
NEGLIGIBLE = 1e-12  # of the largest eigenvalue: variance that is rounding alone
ROUNDING = 16 * torch.finfo(torch.float32).eps
"""Deviation, as a share of the size of the features, that is rounding alone: networks compute in float32."""


class MahalanobisScorer(FeatureScorer):
    """min_c (h - mu_c)' S^+ (h - mu_c) for each layer, h its features.

    Attributes:
        learned: Of each layer l the class means `means.l` `(classes, d)` and `whitening.l` W `(d, r)`, W W' = S^+.
    """

    def __init__(self, learned: Learned) -> None:
        super().__init__(KIND, learned)
        for at in range(len(self.layers)):
            whitening, means = (learned.tensors[f"{name}.{at}"].double() for name in ("whitening", "means"))
            middle = means.mean(0)  # taken off first, so that features far from zero lose no digits
            self.register_buffer(f"whitening_{at}", whitening, persistent=False)
            self.register_buffer(f"middle_{at}", middle, persistent=False)
            self.register_buffer(f"centres_{at}", (means - middle) @ whitening, persistent=False)

    def forward(self, network: nn.Module, x: Tensor) -> Scored:
        logits, features = self.asked(network, x)
        return logits, torch.stack([self.distance(at, feature) for at, feature in enumerate(features)], 1)

    def distance(self, at: int, feature: Tensor) -> Tensor:
        """Squared distance of each image's features to the nearest class, float64 `(batch,)`."""
        whitening, centres = self.get_buffer(f"whitening_{at}"), self.get_buffer(f"centres_{at}")
        h = self.rows(feature, self.layers[at], len(whitening))
        z = (h - self.get_buffer(f"middle_{at}")) @ whitening
        squared: Tensor = z.square().sum(1, keepdim=True) - 2 * z @ centres.T + centres.square().sum(1)
        return squared.amin(1)


@registry.register(
    KIND, random=False, differentiable=True, words={"file": "file"}, example="file=mahalanobis.safetensors"
)
@dataclass(frozen=True, eq=False)
class Mahalanobis(LearnedDetector):
    """Rejects an image whose features are far from those of every class, in the metric of what all classes share.

    A statistic for each layer: min_c (h - mu_c)' S^+ (h - mu_c), h the features, mu_c their mean in class c and S the
    covariance within classes, of clean images; of maps the means over height and width are the features. Lee, Lee, Lee,
    Shin 2018, arXiv:1807.03888, equations (1) and (2).

    Attributes:
        file: What `vauban fit --fitter mahalanobis:fpr=0.05` wrote.
        learned: Means and covariances, and
        calibration: thresholds, both in the place of a file.

    Raises:
        ContractError: Neither or both of file and calibration; when wrapped, a file of another detector, no such layer, or
            a network that rejects already; when run, images, classes or features of another shape.

    Departures: each layer has a threshold of its own, where the paper weighs the layers by a logistic regression on
    adversarial samples; the image is not moved toward the nearest class before (section 2.2, equation 3).
    """

    registered: ClassVar[str] = KIND
    reference: ClassVar[str] = LEE

    @property
    def statistics(self) -> tuple[str, ...]:
        return tuple(f"the distance at {layer}" for layer in self.held.facts["layers"])

    def scorer(self, module: nn.Module) -> MahalanobisScorer:
        for layer in self.held.facts["layers"]:
            place_of(module, layer)
        return MahalanobisScorer(self.held)


class Moments:
    """Sums over a stream of rows with labels, from which means and the covariance within classes follow.

    Args:
        classes: Number of classes.
        d: Components of a row.
        device: Where the rows are.
    """

    def __init__(self, classes: int, d: int, device: torch.device) -> None:
        self.middle: Tensor | None = None  # of the first rows; what is summed is the difference to it
        self.count = torch.zeros(classes, dtype=torch.float64, device=device)
        self.sums = torch.zeros(classes, d, dtype=torch.float64, device=device)
        self.products = torch.zeros(d, d, dtype=torch.float64, device=device)

    def add(self, h: Tensor, y: Tensor) -> None:
        """Rows `(batch, d)` float64 of classes y."""
        if self.middle is None:
            self.middle = h.mean(0)
        h = h - self.middle
        self.count.index_add_(0, y, torch.ones_like(h[:, 0]))
        self.sums.index_add_(0, y, h)
        self.products += h.T @ h

    def fitted(self) -> tuple[Tensor, Tensor]:
        """Means `(classes, d)`, and W `(d, r)` with W W' the pseudo-inverse of the covariance within classes.

        Directions in which features vary by no more than rounding have no part in it.
        """
        assert self.middle is not None
        means = self.sums / self.count[:, None]
        covariance = (self.products - self.sums.T @ means) / self.count.sum()
        values, vectors = torch.linalg.eigh(covariance)
        size = (self.middle.square() + self.products.diagonal() / self.count.sum()).amax()
        kept = values > torch.maximum(NEGLIGIBLE * values[-1], ROUNDING**2 * size)
        return means + self.middle, vectors[:, kept] / values[kept].sqrt()


@fitters.register(KIND, words={"layers": "texts"})
@dataclass(frozen=True)
class FitMahalanobis(StreamedDetectorFitter):
    """Class means and the covariance within classes of features, of every second image; thresholds of the others.

    The images are read as a stream; what is held are sums, one for each class and pair of features.

    Attributes:
        fpr: Share of clean images that may be rejected, divided evenly among the layers.
        layers: Names, as in `named_modules()`, `layers=[2][5]`; "penultimate" is the input of the last linear layer.

    Raises:
        ContractError: A value outside its range; when fitted, no such layer, one of more than 4096 features, a class
            without images, too few images for the share, or thresholds that reject every image that they are checked on.
    """

    layers: tuple[LayerName, ...] | LayerName = (PENULTIMATE,)
    kind: ClassVar[str] = KIND

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "layers", names_of(self.kind, self.layers))

    @property
    def names(self) -> tuple[str, ...]:
        """The layers as texts."""
        return names_of(self.kind, self.layers)

    def learn(
        self, module: nn.Module, batches: Iterable[Batch], seed: int, callback: Passed | None
    ) -> tuple[Learned, int, int]:
        moments: list[Moments] = []
        images, facts = 0, {"layers": list(self.names)}
        for batch in batches:
            with torch.no_grad(), quiet(list(module.modules())):
                logits, features = with_features(module, self.names, batch.x)
            check_labels(batch.y, len(batch), logits.shape[1])
            read = [rows(feature, layer) for feature, layer in zip(features, self.names, strict=True)]
            if not moments:
                facts |= first_facts(batch, logits)
                moments = [self._moments(h, layer, logits) for h, layer in zip(read, self.names, strict=True)]
            for sums, h in zip(moments, read, strict=True):
                sums.add(h, batch.y)
            images += len(batch)
            if callback is not None:
                callback(images)
        check_every_class(self.kind, moments[0].count.tolist() if moments else [], images)
        tensors: dict[str, Tensor] = {}
        for at, sums in enumerate(moments):
            means, whitening = sums.fitted()
            tensors |= {f"means.{at}": means.cpu(), f"whitening.{at}": whitening.cpu()}
        return Learned(tensors, facts), images, images

    def _moments(self, h: Tensor, layer: str, logits: Tensor) -> Moments:
        if h.shape[1] > LARGEST:
            raise ContractError(
                f"expected at most {LARGEST} features of layer {layer!r}, got {h.shape[1]}; name another layer"
            )
        return Moments(logits.shape[1], h.shape[1], h.device)

    def holding(self, learned: Learned) -> Mahalanobis:
        return Mahalanobis(learned=learned, calibration=UNCALIBRATED)
