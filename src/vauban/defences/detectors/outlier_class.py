"""A class of its own for adversarial images (Grosse et al. 2017, arXiv:1702.06280), as a detector."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.cards import bare
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.surgery import replaced
from vauban.defences import fitters, registry
from vauban.defences.detectors.base import Scored, Scorer
from vauban.defences.detectors.calibration import UNCALIBRATED
from vauban.defences.detectors.layer_features import last_linear
from vauban.defences.detectors.learned import Learned, LearnedDetector
from vauban.defences.detectors.trained import TrainedDetectorFitter, one_of
from vauban.defences.fitter import Passed
from vauban.engine.network import quiet
from vauban.engine.samples import Samples
from vauban.models import weights
from vauban.training.history import TrainingHistory
from vauban.training.loop import optimise
from vauban.training.objective import CraftedObjective, Value, logits_of

KIND = "outlier-class"
GROSSE = "Grosse, Manoharan, Papernot, Backes, McDaniel 2017, arXiv:1702.06280"


def widened(module: nn.Module) -> nn.Module:
    """A copy of the network below defences whose last linear layer has one output more, which is 0 for every image.

    Raises:
        ContractError: No linear layer.
    """
    network = bare(module)
    head = last_linear(network)
    wide = nn.Linear(head.in_features, head.out_features + 1, head.bias is not None).to(head.weight)
    with torch.no_grad():
        for new, old in ((wide.weight, head.weight), (wide.bias, head.bias)):
            if old is not None:
                new.zero_()
                new[:-1] = old
    wide.training = head.training
    return copy.deepcopy(replaced(network, head, wide))


class OutlierScorer(Scorer):
    """z_{K+1} - max_{k <= K} z_k of the network with K + 1 classes, which answers too.

    Attributes:
        learned: Its tensors.
        changed: The network, behind the defences of the one that it was made from.
    """

    def __init__(self, learned: Learned, changed: nn.Module) -> None:
        super().__init__()
        self.learned, self.changed = learned, changed

    def forward(self, network: nn.Module, x: Tensor) -> Scored:
        self.learned.check_images(KIND, x)
        z = self.changed(x)
        self.learned.check_classes(KIND, z[:, :-1])
        return z[:, :-1], (z[:, -1] - z[:, :-1].amax(1))[:, None]


@registry.register(
    KIND, random=False, differentiable=True, words={"file": "file"}, example="file=outlier-class.safetensors"
)
@dataclass(frozen=True, eq=False)
class OutlierClass(LearnedDetector):
    """Rejects what the network itself calls adversarial: it was fine-tuned with one class more, for images of an attack.

    The statistic is z_{K+1} - max_{k <= K} z_k of the fine-tuned copy, which gives the answers too. Grosse, Manoharan,
    Papernot, Backes, McDaniel 2017, arXiv:1702.06280, section 6.

    Attributes:
        file: What `vauban fit --fitter outlier-class:attack=[fgsm:eps=0.1]` wrote; it names attack and data.
        learned: The tensors of the fine-tuned network, and
        calibration: a threshold, both in the place of a file.

    Raises:
        ContractError: Neither or both of file and calibration; when wrapped, a file of another detector or of another
            network, one without a linear layer, or one that rejects already; when run, images of another shape.

    Departures: the threshold is calibrated; 0 is the paper's. The trained network is fine-tuned, its last linear layer
    widened, with the statistics of batch normalisation as they are and without dropout; the paper trains a new one.
    """

    registered: ClassVar[str] = KIND
    reference: ClassVar[str] = GROSSE

    @property
    def statistics(self) -> tuple[str, ...]:
        return ("the margin of the outlier class",)

    def scorer(self, module: nn.Module) -> OutlierScorer:
        changed = widened(module)
        source = Path("what was learned" if self.file is None else self.file)
        weights.fit_state(changed, self.held.tensors, source)
        return OutlierScorer(self.held, replaced(module, bare(module), changed))


@dataclass
class OutlierObjective(CraftedObjective[Tensor]):
    """(J(x, y) + J(x', K + 1)) / 2, J the cross-entropy, x' the attack's image of x on the network as it was.

    Attributes:
        source: The network as it was.
    """

    source: nn.Module = field(kw_only=True, repr=False)

    def made(self, network: nn.Module, batch: Batch, step: int) -> Tensor:
        return self.images(network, batch, step, source=self.source)

    def value(self, network: nn.Module, batch: Batch, made: Tensor) -> Value:
        clean, attacked = logits_of(network, batch.x, batch.y), logits_of(network, made, batch.y)
        outlier = torch.full_like(batch.y, clean.shape[1] - 1)
        return (F.cross_entropy(clean, batch.y) + F.cross_entropy(attacked, outlier)) / 2, clean


@fitters.register(KIND, words={"attack": "attack"})
@dataclass(frozen=True)
class FitOutlierClass(TrainedDetectorFitter):
    """The network fine-tuned with one class more, for what an attack makes of every second image; the others calibrate.

    Attributes:
        fpr: Share of clean images that may be rejected.
        attack: Makes the images on the network as it was: `attack=[fgsm:eps=0.1]`.
        epochs: Passes over the images.
        batch: Images of a step.
        lr: Learning rate of Adam.

    Raises:
        ContractError: A value outside its range; when fitted, a network whose last linear layer does not give its logits,
            an attack that needs more than labels and gradients, too few images for the share, or a threshold that rejects
            every image that it is checked on.
    """

    kind: ClassVar[str] = KIND

    def trained(
        self, module: nn.Module, samples: Samples, seed: int, checkpoint: Path | None, callback: Passed | None
    ) -> tuple[Learned, TrainingHistory]:
        first = one_of(samples, module)
        facts, changed = self.facts(module, first), widened(module).eval()
        network = replaced(module, bare(module), changed)
        with torch.no_grad(), quiet(list(network.modules())):
            columns = network(first.x).shape[1]
        if columns != facts["classes"] + 1:
            raise ContractError(
                f"expected a network whose last linear layer gives its {facts['classes']} logits for {KIND!r}, got "
                f"{type(bare(module)).__name__}, which it does not"
            )
        objective = OutlierObjective(self.attack, seed=seed, source=module)
        objective.tried(module, first)
        history = optimise(
            network,
            samples,
            objective=objective,
            trainable=lambda _: changed.parameters(),
            training_mode=lambda _: (),
            **self.settings(samples, seed, checkpoint, callback),
        )
        return Learned({name: value.cpu().clone() for name, value in changed.state_dict().items()}, facts), history

    def holding(self, learned: Learned) -> OutlierClass:
        return OutlierClass(learned=learned, calibration=UNCALIBRATED)
