"""Statistics of convolutions (Li, Li 2017, arXiv:1612.07767): a detector by how the outputs of layers are distributed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from vauban.core.cards import bare
from vauban.core.errors import ContractError
from vauban.core.parameters import Count
from vauban.defences import fitters, registry
from vauban.defences.detectors.calibration import UNCALIBRATED
from vauban.defences.detectors.convolution_stages import KIND, LayerStages, StagesScorer, pixels
from vauban.defences.detectors.layer_features import LayerName, names_of, place_of, with_features
from vauban.defences.detectors.learned import Learned, LearnedDetector
from vauban.defences.detectors.trained import TellingApart, TrainedDetectorFitter, Watcher, one_of
from vauban.defences.fitter import Passed
from vauban.engine.network import quiet
from vauban.engine.samples import Samples, device_of
from vauban.training.history import TrainingHistory
from vauban.training.loop import optimise

LI = "Li, Li 2017, arXiv:1612.07767"
NEGLIGIBLE = 1e-9  # of the largest variance


@registry.register(
    KIND, random=False, differentiable=True, words={"file": "file"}, example="file=convolution-statistics.safetensors"
)
@dataclass(frozen=True, eq=False)
class ConvolutionStatistics(LearnedDetector):
    """Rejects an image that a classifier at every one of several layers takes for an attack's, by how outputs are spread.

    At each layer the channels of every pixel are projected on the principal components of clean images and whitened; of
    each component the mean of |z| over the pixels, the least, the largest and the quartiles go into a linear classifier.
    The statistic is the least of the classifiers' logits: one stage that finds an image clean lets it pass. Li, Li 2017,
    arXiv:1612.07767, sections 3 and 4.

    Attributes:
        file: What `vauban fit --fitter convolution-statistics:attack=[fgsm:eps=0.1]` wrote; it names attack and data.
        learned: Components and classifiers, and
        calibration: a threshold, both in the place of a file.

    Raises:
        ContractError: Neither or both of file and calibration; when wrapped, a file of another detector, no such layer, or
            a network that rejects already; when run, images, classes or maps of another shape.

    Departures: the stages are logistic regressions that are all trained on all images, and the threshold is that of their
    least logit; the paper trains support vector machines one after the other on what the one before has kept.
    """

    registered: ClassVar[str] = KIND
    reference: ClassVar[str] = LI

    @property
    def statistics(self) -> tuple[str, ...]:
        return ("the least logit of the stages",)

    def scorer(self, module: nn.Module) -> StagesScorer:
        for layer in self.held.facts["layers"]:
            place_of(module, layer)
        return StagesScorer(self.held)


class WatchedStages(Watcher):
    """Stages behind a network: their logits for images, `(batch, layers)`.

    Attributes:
        layers: Names.
        stages: The classifiers.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str], stages: LayerStages) -> None:
        super().__init__(network)
        self.layers, self.stages = layers, stages

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.stages(self.features(x, self.layers), self.layers)
        return logits


def every_convolution(module: nn.Module) -> tuple[str, ...]:
    """Names of the convolutions of a network below its defences. Raises ContractError: there is none."""
    names = tuple(name for name, part in bare(module).named_modules() if isinstance(part, nn.Conv2d))
    if not names:
        raise ContractError(
            f"expected a network with convolutions for {KIND!r}, got {type(bare(module)).__name__} without; name layers of "
            "maps: layers=[NAME]"
        )
    return names


@fitters.register(KIND, words={"attack": "attack", "layers": "texts"})
@dataclass(frozen=True)
class FitConvolutionStatistics(TrainedDetectorFitter):
    """Principal components of the layers, of every second image, and classifiers of what an attack makes of them.

    Attributes:
        fpr: Share of clean images that may be rejected.
        attack: Makes the images on the network: `attack=[fgsm:eps=0.1]`.
        layers: Names, as in `named_modules()`, `layers=[0][3]`; empty: every convolution.
        components: Of each layer at most, those of the largest variance.
        epochs: Passes over the images.
        batch: Images of a step.
        lr: Learning rate of Adam.

    Raises:
        ContractError: A value outside its range; when fitted, no such layer or none of maps, an attack that needs more than
            labels and gradients, too few images for the share, or a threshold that rejects every image that it is checked
            on.
    """

    layers: tuple[LayerName, ...] | LayerName = ()
    components: Count = 32
    kind: ClassVar[str] = KIND

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "layers", names_of(self.kind, self.layers, least=0))

    def trained(
        self, module: nn.Module, samples: Samples, seed: int, checkpoint: Path | None, callback: Passed | None
    ) -> tuple[Learned, TrainingHistory]:
        first = one_of(samples, module)
        layers = names_of(self.kind, self.layers, least=0) or every_convolution(module)
        stages = self._stages(module, layers, samples)
        facts = {**self.facts(module, first), "layers": list(layers), "sizes": stages.sizes}
        objective = TellingApart(self.attack, seed=seed)
        objective.tried(module, first)
        history = optimise(
            WatchedStages(module, layers, stages),
            samples,
            objective=objective,
            trainable=lambda _: stages.parameters(),
            training_mode=lambda _: (),
            **self.settings(samples, seed, checkpoint, callback),
        )
        return Learned({name: value.cpu().clone() for name, value in stages.state_dict().items()}, facts), history

    def _stages(self, module: nn.Module, layers: Sequence[str], samples: Samples) -> LayerStages:
        """Stages with the components of clean images, and the mean and spread of their summaries; not yet trained."""
        sums = [_Moments() for _ in layers]
        for features in self._outputs(module, layers, samples):
            for one, feature, layer in zip(sums, features, layers, strict=True):
                one.add(pixels(feature, layer))
        components = [one.components(self.components) for one in sums]
        stages = LayerStages([list(axes.shape) for _, axes in components], learning=True).to(device_of(module))
        for at, (mean, axes) in enumerate(components):
            stages.get_buffer(f"mean_{at}").copy_(mean)
            stages.get_buffer(f"axes_{at}").copy_(axes)
        spread = [_Moments() for _ in layers]
        for features in self._outputs(module, layers, samples):
            for one, told in zip(spread, stages.summaries(features, layers), strict=True):
                one.add(told)
        for at, one in enumerate(spread):
            stages.get_buffer(f"centre_{at}").copy_(one.mean)
            stages.get_buffer(f"spread_{at}").copy_(one.variance.clamp_min(NEGLIGIBLE).sqrt())
        return stages

    def _outputs(self, module: nn.Module, layers: Sequence[str], samples: Samples) -> Iterator[list[Tensor]]:
        """What the layers give for clean images, a batch at a time."""
        for index in torch.split(torch.arange(len(samples)), self.batch):
            with torch.no_grad(), quiet(list(module.modules())):
                yield with_features(module, layers, samples.batch(index).to(device_of(module)).x)[1]

    def holding(self, learned: Learned) -> ConvolutionStatistics:
        return ConvolutionStatistics(learned=learned, calibration=UNCALIBRATED)


class _Moments:
    """Sums over rows `(n, d)`, from which their mean, variance and principal components follow."""

    def __init__(self) -> None:
        self.count, self.sums, self.products = 0, torch.zeros(()), torch.zeros(())

    def add(self, rows: Tensor) -> None:
        """More rows."""
        wide = rows.detach().double()
        self.count += len(wide)
        self.sums = self.sums.to(wide) + wide.sum(0)
        self.products = self.products.to(wide) + wide.T @ wide

    @property
    def mean(self) -> Tensor:
        return self.sums / self.count

    @property
    def covariance(self) -> Tensor:
        return self.products / self.count - self.mean.outer(self.mean)

    @property
    def variance(self) -> Tensor:
        return self.covariance.diagonal()

    def components(self, most: int) -> tuple[Tensor, Tensor]:
        """The mean, and at most so many eigenvectors of the largest eigenvalues over their roots, `(d, k)`."""
        values, vectors = torch.linalg.eigh(self.covariance)
        kept = min(most, max(1, int((values > NEGLIGIBLE * values[-1]).sum())))
        return self.mean, vectors[:, -kept:] / values[-kept:].clamp_min(NEGLIGIBLE).sqrt()
