"""The best epoch's network: adversarial training overfits (Rice, Wong and Kolter 2020, arXiv:2002.11569)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from vauban.engine.attack import Attack
from vauban.engine.samples import Samples, accuracy, device_of
from vauban.training.adversarial_set import attacked_accuracy
from vauban.training.objective import answered, refusing
from vauban.training.selection import Selection
from vauban.training.selections import registry


@registry.register("best", words={"attack": "attack"})
@dataclass(frozen=True)
class BestEpoch(Selection):
    """The network of the epoch that labels most held-out samples right under an attack; of equal ones the first.

    The samples are a part of the training data that is not trained on, never the test set.

    Attributes:
        attack: The attack, by its own rule of stopping; None: the images as they are.
    """

    attack: Attack | None = None

    def check(self, network: nn.Module, held: Samples) -> None:
        if self.attack is not None:
            one = held.batch(torch.arange(1)).to(device_of(network))
            with refusing(self.attack):
                attacked_accuracy(self.attack, network, answered(network, one))

    def score(self, network: nn.Module, held: Samples, seed: int) -> float:
        if self.attack is None:
            return accuracy(network, held)
        return attacked_accuracy(self.attack, network, held, seed=seed)
