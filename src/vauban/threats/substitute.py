"""Substitute trained on a target's labels (Papernot et al. 2017, Practical black-box attacks, arXiv:1602.02697)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from vauban.core.answers import predicted
from vauban.core.losses import logit_of
from vauban.core.rng import seeded
from vauban.engine.network import differentiate, quiet
from vauban.threats import registry
from vauban.threats.fitter import LOT, FitterInRounds, fitters
from vauban.threats.trained_on_answers import TrainedOnAnswers


@fitters.register("substitute")
@dataclass(frozen=True)
class FitSubstitute(FitterInRounds):
    """A network trained on the labels that a target gives, with Jacobian-based augmentation.

    Papernot et al., algorithm 1: the target labels a few images; the network is trained on them; every image x with label y
    gives another, clip(x + lambda sign(dz_y/dx)), along which the network's answer changes most (Jacobian-based
    augmentation); these are labelled in turn. After `rounds` rounds 2^rounds times the images have been asked about.
    `vauban fit` writes a weights file, which the threats `transfer` and `ensemble` attack.

    Attributes:
        model: Architecture of the network, `mnist-c4`.
        rounds: Rounds of augmentation.
        epochs: Of each training, from the weights of the one before.
        step: lambda, pixel units.
        lr: Learning rate of Adam.

    Departures: the paper trains from new weights in each round; here training goes on. Its reservoir sampling is left
    out.
    """

    told: ClassVar[str] = "labels"

    def kept(self, logits: Tensor) -> Tensor:
        return predicted(logits).clamp_min(0)  # 0 where it gives no label

    def labels(self, answers: Tensor) -> Tensor:
        return answers

    def directions(self, network: nn.Module, x: Tensor, answers: Tensor, seed: int, number: int) -> Tensor:
        return slopes(network, x, answers, seed, number).sign()


@registry.register("substitute", words={"trained": "model"})
@dataclass(frozen=True, eq=False)
class Substitute(TrainedOnAnswers):
    """A network of the attacker's, trained on the labels that the target gives, and attacked in its place.

    The network is that of `FitSubstitute`, trained before the attack; a sentence says how many labels were asked for. The
    attack itself asks nothing.

    Attributes:
        model: Architecture of the network, `mnist-c4`.
        data: Images to begin with, apart from those that are attacked: `mnist/train[:150]`. Their labels are not used.
        rounds, epochs, step, lr: As of `FitSubstitute`.
        seed: Of the network's initial weights and the order of the images.
        trained: The network; made before the attack.
    """

    registered: ClassVar[str] = "substitute"

    @property
    def fitter(self) -> FitSubstitute:
        return FitSubstitute(self.model, self.rounds, self.epochs, self.step, self.lr)


def slopes(network: nn.Module, x: Tensor, y: Tensor, seed: int = 0, number: int = 0) -> Tensor:
    """dz_y/dx of every image, `(batch, ...)`; what a random network draws follows from the seed and a number."""
    made = []
    with quiet(list(network.modules())), seeded(seed, "slopes", number, device=x.device):
        for part, label in zip(torch.split(x, LOT), torch.split(y, LOT), strict=True):
            _, _, (g,), _ = differentiate(network, part, [partial(logit_of, label=label)])
            made.append(g)
    return torch.cat(made)
