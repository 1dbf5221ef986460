"""Kernel density of features (Feinman et al. 2017, arXiv:1703.00410), as a detector."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from vauban.core.contracts import Batch, check_labels
from vauban.core.errors import ContractError
from vauban.core.parameters import Count, Positive
from vauban.defences import fitters, registry
from vauban.defences.detectors.base import Scored
from vauban.defences.detectors.calibration import UNCALIBRATED
from vauban.defences.detectors.layer_features import PENULTIMATE, LayerName, place_of, rows, with_features
from vauban.defences.detectors.learned import FeatureScorer, Learned, LearnedDetector, check_every_class, first_facts
from vauban.defences.detectors.streamed import StreamedDetectorFitter
from vauban.defences.fitter import Passed
from vauban.engine.network import quiet

KIND = "kernel-density"
FEINMAN = "Feinman, Curtin, Shintre, Gardner 2017, arXiv:1703.00410"
GRID = range(-8, 9)
"""Candidates of the bandwidth, as exponents of the root of 2 on the median distance to the nearest of the same class."""


class DensityScorer(FeatureScorer):
    """-log mean_i exp(-||h - h_i||^2 / s^2) over the features h_i held of the class that the network answers.

    Attributes:
        learned: `features` `(classes, most, d)`, the first `count` `(classes,)` of each class; fact `bandwidth`.
    """

    features: Tensor
    sizes: Tensor
    count: Tensor

    def __init__(self, learned: Learned) -> None:
        super().__init__(KIND, learned)
        self.bandwidth = learned.facts["bandwidth"]
        self.register_buffer("features", learned.tensors["features"].double(), persistent=False)
        self.register_buffer("sizes", self.features.square().sum(2), persistent=False)
        self.register_buffer("count", learned.tensors["count"], persistent=False)

    def forward(self, network: nn.Module, x: Tensor) -> Scored:
        logits, (feature,) = self.asked(network, x)
        h = self.rows(feature, self.layers[0], self.features.shape[2])
        label = logits.detach().argmax(1)
        held = self.features[label]
        between = torch.bmm(held, h[:, :, None])[:, :, 0]
        squared = h.square().sum(1, keepdim=True) - 2 * between + self.sizes[label]
        absent = torch.arange(squared.shape[1], device=x.device) >= self.count[label][:, None]
        kernel = (-squared / self.bandwidth**2).masked_fill(absent, -torch.inf)
        return logits, (self.count[label].log() - kernel.logsumexp(1))[:, None]


@registry.register(
    KIND, random=False, differentiable=True, words={"file": "file"}, example="file=kernel-density.safetensors"
)
@dataclass(frozen=True, eq=False)
class KernelDensity(LearnedDetector):
    """Rejects an image whose features lie where those of clean images of the answered class are rare.

    -log mean_i exp(-||h - h_i||^2 / s^2), h the features of the image and h_i those held of clean images of the class that
    the network answers. Feinman, Curtin, Shintre, Gardner 2017, arXiv:1703.00410, section 4.1.

    Attributes:
        file: What `vauban fit --fitter kernel-density:fpr=0.05` wrote.
        learned: Features of clean images, and
        calibration: a threshold, both in the place of a file.

    Raises:
        ContractError: Neither or both of file and calibration; when wrapped, a file of another detector, no such layer, or
            a network that rejects already; when run, images, classes or features of another shape.

    Departures: a threshold on the density alone, where the paper trains a logistic regression on it and on the dropout
    uncertainty (`dropout-uncertainty`) with adversarial samples; a bounded number of images of each class.
    """

    registered: ClassVar[str] = KIND
    reference: ClassVar[str] = FEINMAN

    @property
    def statistics(self) -> tuple[str, ...]:
        return ("the negative log-density",)

    def scorer(self, module: nn.Module) -> DensityScorer:
        place_of(module, *self.held.facts["layers"])
        return DensityScorer(self.held)


def likeliest_bandwidth(features: Tensor, count: Tensor) -> float:
    """The bandwidth with the largest leave-one-out likelihood of the features, each within its class.

    Among d 2^(j/2), j from -8 to 8, d the median distance of a feature to the nearest other one of its class, equal ones
    left out.

    Args:
        features: `(classes, most, d)` float64.
        count: How many of each class are there, `(classes,)`.

    Raises:
        ContractError: Features that are not finite, or all of each class are equal.
    """
    if not bool(features.isfinite().all()):  # nan is not above 0 either, and would pass for equal features
        raise ContractError(
            f"expected finite features for the bandwidth of {KIND!r}, got nan or infinity; does the network fit the images?"
        )
    apart = []
    for group, n in zip(features, count.tolist(), strict=True):
        if n > 1:
            squared = torch.cdist(group[:n], group[:n]).square()
            apart.append(squared.fill_diagonal_(torch.inf))
    nearest = torch.cat([squared.amin(1) for squared in apart]) if apart else torch.ones(1)
    if not bool((nearest > 0).any()):
        raise ContractError(
            f"expected features that differ within a class for the bandwidth of {KIND!r}, got the same for every image; "
            "name another layer, or a bandwidth"
        )
    unit = math.sqrt(float(nearest[nearest > 0].median()))
    best, bandwidth = -math.inf, unit
    for j in GRID:
        s = unit * 2 ** (j / 2)
        logs = [(-squared / s**2).logsumexp(1) - math.log(len(squared) - 1) for squared in apart]
        value = sum(float((log - features.shape[2] * math.log(s)).sum()) for log in logs)
        if value > best:
            best, bandwidth = value, s
    return bandwidth


@fitters.register(KIND)
@dataclass(frozen=True)
class FitKernelDensity(StreamedDetectorFitter):
    """Features of clean images, of every second image those of its label; the threshold of the others.

    Attributes:
        fpr: Share of clean images that may be rejected.
        layer: Name, as in `named_modules()`; "penultimate" is the input of the last linear layer. Of maps the features are
            the means over height and width.
        bandwidth: s, in units of the features; None: that with the largest leave-one-out likelihood of what is held.
        most: Images of each class that are held, the first of the stream.

    Raises:
        ContractError: A value outside its range; when fitted, no such layer, a class without images, too few images for the
            share, or a threshold that rejects every image that it is checked on.
    """

    layer: LayerName = PENULTIMATE
    bandwidth: Positive | None = None
    most: Count = 200
    kind: ClassVar[str] = KIND

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "layer", str(self.layer))  # a part of a Sequential may be a number

    def learn(
        self, module: nn.Module, batches: Iterable[Batch], seed: int, callback: Passed | None
    ) -> tuple[Learned, int, int]:
        layer, images = str(self.layer), 0
        held: list[list[Tensor]] = []
        facts: dict[str, object] = {"layers": [layer]}
        for batch in batches:
            with torch.no_grad(), quiet(list(module.modules())):
                logits, (feature,) = with_features(module, (layer,), batch.x)
            check_labels(batch.y, len(batch), logits.shape[1])
            if not held:
                facts |= first_facts(batch, logits)
                held = [[] for _ in range(logits.shape[1])]
            for h, label in zip(rows(feature, layer).float().cpu(), batch.y.tolist(), strict=True):
                if len(held[label]) < self.most:
                    held[label].append(h)
            images += len(batch)
            if callback is not None:
                callback(images)
        check_every_class(self.kind, [len(group) for group in held], images)
        count = torch.tensor([len(group) for group in held])
        features = torch.zeros(len(held), int(count.max()), held[0][0].shape[0])
        for at, group in enumerate(held):
            features[at, : len(group)] = torch.stack(group)
        bandwidth = self.bandwidth
        facts["bandwidth"] = likeliest_bandwidth(features.double(), count) if bandwidth is None else float(bandwidth)
        return Learned({"features": features, "count": count}, facts), images, images

    def holding(self, learned: Learned) -> KernelDensity:
        return KernelDensity(learned=learned, calibration=UNCALIBRATED)
