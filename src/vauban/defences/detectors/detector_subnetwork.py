"""Detector subnetwork (Metzen et al. 2017): features of a layer to whether an image is of an attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from vauban.core.cards import bare
from vauban.core.errors import ContractError
from vauban.core.parameters import Range
from vauban.core.rng import seeded
from vauban.defences import fitters, registry
from vauban.defences.detectors.base import Scored
from vauban.defences.detectors.calibration import UNCALIBRATED
from vauban.defences.detectors.layer_features import PENULTIMATE, LayerName, place_of, with_features
from vauban.defences.detectors.learned import FeatureScorer, Learned, LearnedDetector
from vauban.defences.detectors.trained import TellingApart, TrainedDetectorFitter, Watcher, one_of
from vauban.defences.fitter import Passed
from vauban.engine.network import quiet
from vauban.engine.samples import Samples, device_of
from vauban.training.history import TrainingHistory
from vauban.training.loop import optimise

KIND = "detector-subnetwork"
METZEN = "Metzen, Genewein, Fischer, Bischoff 2017, arXiv:1702.04267"


class Subnetwork(nn.Sequential):
    """Features of a layer to a logit, positive for an adversarial image, `(batch, 1)`.

    Of maps: a 3x3 convolution, a maximum over 2x2 where they are that large, a 3x3 convolution, the mean over height and
    width, a linear layer. Of rows: two linear layers. ReLU between them.

    Args:
        shape: Of the features of an image, `(d,)` or `(channels, height, width)`.
        width: Maps of the first convolution, twice as many of the second, or units of the hidden layer.

    Raises:
        ContractError: Features of another number of dimensions.
    """

    def __init__(self, shape: Sequence[int], width: int) -> None:
        if len(shape) == 1:
            super().__init__(nn.Linear(shape[0], width), nn.ReLU(), nn.Linear(width, 1))
            return
        if len(shape) != 3:
            raise ContractError(
                f"expected features (batch, d) or maps (batch, channels, height, width) for {KIND!r}, got "
                f"{('batch', *shape)}; name another layer"
            )
        pool = nn.MaxPool2d(2) if min(shape[1:]) >= 2 else nn.Identity()
        first, second = nn.Conv2d(shape[0], width, 3, padding=1), nn.Conv2d(width, 2 * width, 3, padding=1)
        mean = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        super().__init__(first, nn.ReLU(), pool, second, nn.ReLU(), *mean, nn.Linear(2 * width, 1))


class SubnetworkScorer(FeatureScorer):
    """The logit of the small network.

    Attributes:
        learned: Its tensors; facts `shape` and `width`.
        subnetwork: The small network, in the type of the large one.
    """

    def __init__(self, learned: Learned, dtype: torch.dtype) -> None:
        super().__init__(KIND, learned)
        self.subnetwork = Subnetwork(learned.facts["shape"], learned.facts["width"])
        self.subnetwork.load_state_dict(dict(learned.tensors))
        self.subnetwork.to(dtype).requires_grad_(False)

    def forward(self, network: nn.Module, x: Tensor) -> Scored:
        logits, (feature,) = self.asked(network, x)
        if list(feature.shape[1:]) != list(self.learned.facts["shape"]):
            raise ContractError(
                f"expected features of shape {tuple(self.learned.facts['shape'])} of layer {self.layers[0]!r}, which "
                f"{KIND} was fitted on, got {tuple(feature.shape[1:])}; fit another one"
            )
        return logits, self.subnetwork(feature)


@registry.register(
    KIND, random=False, differentiable=True, words={"file": "file"}, example="file=detector-subnetwork.safetensors"
)
@dataclass(frozen=True, eq=False)
class DetectorSubnetwork(LearnedDetector):
    """Rejects what a small network, which reads the features of a layer, takes for an image of an attack.

    The statistic is its logit; the network itself stays as it is. Metzen, Genewein, Fischer, Bischoff 2017,
    arXiv:1702.04267, section 3.

    Attributes:
        file: What `vauban fit --fitter detector-subnetwork:attack=[fgsm:eps=0.1]` wrote; it names attack and data.
        learned: The tensors of the small network, and
        calibration: a threshold, both in the place of a file.

    Raises:
        ContractError: Neither or both of file and calibration; when wrapped, a file of another detector, no such layer, or
            a network that rejects already; when run, images, classes or features of another shape.

    Departures: a small network of two convolutions or one hidden layer; trained against the images of a fixed attack on the
    network alone, not against an adversary that knows the detector (section 3.3); the threshold is calibrated, where the
    paper's is 0.
    """

    registered: ClassVar[str] = KIND
    reference: ClassVar[str] = METZEN

    @property
    def statistics(self) -> tuple[str, ...]:
        return ("the logit of the subnetwork",)

    def scorer(self, module: nn.Module) -> SubnetworkScorer:
        place_of(module, *self.held.facts["layers"])
        dtypes = [p.dtype for p in bare(module).parameters() if p.is_floating_point()]
        return SubnetworkScorer(self.held, dtypes[0] if dtypes else torch.float32)


class Reading(Watcher):
    """The small network behind a layer of the large one: a logit for each image.

    Attributes:
        layer: Name.
        subnetwork: The small one.
    """

    def __init__(self, network: nn.Module, layer: str, subnetwork: Subnetwork) -> None:
        super().__init__(network)
        self.layer, self.subnetwork = layer, subnetwork

    def forward(self, x: Tensor) -> Tensor:
        (feature,) = self.features(x, (self.layer,))
        logit: Tensor = self.subnetwork(feature.to(torch.float32))
        return logit


@fitters.register(KIND, words={"attack": "attack"})
@dataclass(frozen=True)
class FitDetectorSubnetwork(TrainedDetectorFitter):
    """A small network trained to tell every second image from what an attack makes of it; the others calibrate.

    Attributes:
        fpr: Share of clean images that may be rejected.
        attack: Makes the images on the network: `attack=[fgsm:eps=0.1]`.
        layer: Name, as in `named_modules()`; "penultimate" is the input of the last linear layer.
        width: Of the small network, see `Subnetwork`.
        epochs: Passes over the images.
        batch: Images of a step.
        lr: Learning rate of Adam.

    Raises:
        ContractError: A value outside its range; when fitted, no such layer, an attack that needs more than labels and
            gradients, too few images for the share, or a threshold that rejects every image that it is checked on.
    """

    layer: LayerName = PENULTIMATE
    width: Annotated[int, Range(1, 4096)] = 32
    kind: ClassVar[str] = KIND

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "layer", str(self.layer))  # a part of a Sequential may be a number

    def trained(
        self, module: nn.Module, samples: Samples, seed: int, checkpoint: Path | None, callback: Passed | None
    ) -> tuple[Learned, TrainingHistory]:
        layer, first = str(self.layer), one_of(samples, module)
        with torch.no_grad(), quiet(list(module.modules())):
            _, (feature,) = with_features(module, (layer,), first.x)
        shape = list(feature.shape[1:])
        facts = {**self.facts(module, first), "layers": [layer], "shape": shape, "width": self.width}
        with seeded(seed, KIND):
            subnetwork = Subnetwork(shape, self.width)
        subnetwork.to(device_of(module))
        objective = TellingApart(self.attack, seed=seed)
        objective.tried(module, first)
        history = optimise(
            Reading(module, layer, subnetwork),
            samples,
            objective=objective,
            trainable=lambda _: subnetwork.parameters(),
            training_mode=lambda _: subnetwork.modules(),
            **self.settings(samples, seed, checkpoint, callback),
        )
        return Learned({name: value.cpu().clone() for name, value in subnetwork.state_dict().items()}, facts), history

    def holding(self, learned: Learned) -> DetectorSubnetwork:
        return DetectorSubnetwork(learned=learned, calibration=UNCALIBRATED)
