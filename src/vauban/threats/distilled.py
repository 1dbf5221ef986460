"""Network distilled from a target's scores, and attacked in its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.answers import predicted
from vauban.core.contracts import Batch
from vauban.core.parameters import Positive
from vauban.core.rng import Stream
from vauban.threats import registry
from vauban.threats.fitter import FitterInRounds, fitters
from vauban.threats.trained_on_answers import TrainedOnAnswers
from vauban.training.objective import Passes
from vauban.training.objectives.distillation import DistilledObjective

NEVER = 100.0  # below the smallest finite score of an image: that of a class which is never given
TILES = 7  # on a side of the signs that an image is moved by


@dataclass
class RememberedObjective(DistilledObjective):
    """Distillation from answers that were given before, one for each image by its id.

    Attributes:
        answers: Logits of the teacher `(n, classes)`.
    """

    answers: Tensor

    @property
    def made_passes(self) -> Passes:
        return 0, 0

    def made(self, network: nn.Module, batch: Batch, step: int) -> Tensor:
        return (self.answers[batch.ids] / self.temperature).softmax(1)


@fitters.register("distilled")
@dataclass(frozen=True)
class FitDistilled(FitterInRounds):
    """A network trained on the scores that a target gives to a few images and to images around them.

    The target answers the images; the network is trained to give softmax(z / T), T the temperature (Hinton et al. 2015,
    arXiv:1503.02531). Every image then gives another, clip(x + step s) with s random signs in 7x7 tiles, which is answered
    in turn: after `rounds` rounds 2^rounds times the images have been asked about. Where the target gives labels alone,
    these are what is distilled.

    Attributes:
        model: Architecture of the network, `mnist-c4`.
        rounds: Rounds of further images.
        epochs: Of each training, from the weights of the one before.
        step: How far an image is moved, pixel units.
        lr: Learning rate of Adam.
        temperature: T.
    """

    temperature: Positive = 4.0

    def kept(self, logits: Tensor) -> Tensor:
        return finite(logits)

    def labels(self, answers: Tensor) -> Tensor:
        return predicted(answers).clamp_min(0)

    def directions(self, network: nn.Module, x: Tensor, answers: Tensor, seed: int, number: int) -> Tensor:
        return tiles(x, seed, number)

    def objective(self, target: nn.Module, answers: Tensor) -> RememberedObjective:
        return RememberedObjective(target, self.temperature, answers)


@registry.register("distilled", words={"trained": "model"})
@dataclass(frozen=True, eq=False)
class Distilled(TrainedOnAnswers):
    """A network of the attacker's, distilled from the scores that the target gives, and attacked in its place.

    The network is that of `FitDistilled`, trained before the attack; a sentence says how many answers are asked for. The
    attack itself asks nothing.

    Attributes:
        model: Architecture of the network, `mnist-c4`.
        data: Images to begin with, apart from those that are attacked: `mnist/train[:150]`. Their labels are not used.
        rounds, epochs, step, lr, temperature: As of `FitDistilled`.
        seed: Of the network's initial weights, the order of the images and the signs.
        trained: The network; made before the attack.
    """

    temperature: Positive = 4.0
    registered: ClassVar[str] = "distilled"

    @property
    def fitter(self) -> FitDistilled:
        return FitDistilled(self.model, self.rounds, self.epochs, self.step, self.lr, self.temperature)


def finite(logits: Tensor) -> Tensor:
    """Logits `(batch, classes)` without any that is not finite.

    Minus infinity, a class that is never given, becomes a score far below the others of its row. A row is 0 where its
    largest logit is not finite, which stands for no answer.
    """
    answered = logits.amax(1, keepdim=True).isfinite()  # not where any logit is NaN
    smallest = logits.where(logits.isfinite(), torch.inf).amin(1, keepdim=True)
    return logits.where(logits.isfinite(), smallest - NEVER).where(answered, 0)


def tiles(x: Tensor, seed: int, number: int) -> Tensor:
    """Random signs of the shape of x: for images (batch, channel, height, width) in tiles, else for each component."""
    stream = Stream(seed, torch.arange(len(x), device=x.device))
    if x.dim() != 4:
        return stream.signs("tiles", tuple(x.shape[1:]), t=number, dtype=x.dtype)
    coarse = stream.signs(
        "tiles", (x.shape[1], min(TILES, x.shape[2]), min(TILES, x.shape[3])), t=number, dtype=x.dtype
    )
    return F.interpolate(coarse, x.shape[2:])
