"""Adversarial training epoch by epoch, section 5.5 of H. Zhang's thesis."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from vauban.core.contracts import Batch
from vauban.core.rng import fold
from vauban.engine.attack import Attack
from vauban.engine.samples import Concatenated, Samples
from vauban.training import registry
from vauban.training.adversarial_set import adversarial_set
from vauban.training.objective import answered, refusing
from vauban.training.recipe import RecipePart
from vauban.training.samples import DerivedSamples, TrainingSamples


@registry.register("epoch-at", words={"attack": "attack"})
@dataclass(frozen=True)
class EpochAdversarial(RecipePart):
    """Adversarial training by epochs: each sees the data and what the attack made of all of it just before.

    Section 5.5 of the thesis: at the end of an epoch the network is frozen, adversarial versions of the whole training set
    are made with the reference attack, and the next epoch trains on the originals plus these. In between they are held in
    memory, one byte per component of 8-bit images.

    Attributes:
        attack: Makes the images, by its own parameters and its own rule of stopping.
        first: Whether the first epoch has adversarial images too, for a network that is trained already.
    """

    attack: Attack
    first: bool = False

    def check(self, network: nn.Module, batch: Batch) -> None:
        with refusing(self.attack):
            adversarial_set(self.attack, network, answered(network, batch))

    def samples(self, data: TrainingSamples, seed: int) -> TrainingSamples:
        return _Beside(data, self.attack, self.first, seed)


@dataclass(frozen=True, eq=False)
class _Beside(DerivedSamples):
    """The samples and their adversarial versions of each epoch, with one set of random numbers per epoch."""

    attack: Attack
    first: bool
    seed: int

    def epoch(self, network: nn.Module, number: int) -> Samples:
        originals = self.data.epoch(network, number)
        if number == 0 and not self.first:
            return originals
        made = adversarial_set(self.attack, network, originals, seed=fold(self.seed, "forge", number))
        return Concatenated(originals, made)
