"""Objective: the scalar that a training step makes small, in two stages, and the images that it makes on the way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn

from vauban.core.contracts import Batch, check_labels, check_logits
from vauban.core.precision import working_type
from vauban.engine import Oracle
from vauban.engine.attack import Attack
from vauban.engine.iterate import Steps, iterate
from vauban.engine.network import shown
from vauban.engine.threat import BoundThreat, probe_classes
from vauban.training.statistics_mode import BatchNorm, normalising_by

Criterion = Callable[[Tensor, Tensor], Tensor]
"""A scalar from logits `(batch, classes)` and labels `(batch,)`."""
Value = tuple[Tensor, Tensor | None]
"""The scalar to differentiate, and logits of the batch's labels, which are only counted, or None."""
M = TypeVar("M")


class Objective(Protocol):
    """(network, batch, step) -> (scalar to differentiate, logits of the batch's labels or None).

    Called with the network in the modes of training, which it leaves as they are. The logits are only counted, for the
    accuracy of an epoch. Steps are numbered through all epochs, from 0.
    """

    def __call__(self, network: nn.Module, batch: Batch, step: int) -> Value: ...


@runtime_checkable
class Stateful(Protocol):
    """An objective that remembers something from step to step, which a checkpoint keeps."""

    def state(self) -> Mapping[str, Tensor]: ...
    def load_state(self, state: Mapping[str, Tensor]) -> None: ...


class Staged(ABC, Generic[M]):
    """Objective in two stages, so that another one can ask for its value at other weights and the same images.

    Attributes:
        passes: Forward and backward passes of a step for each sample, those of what it makes included; None where an attack
            does not know its own.
        repeats: Steps in a row on one batch.
    """

    @property
    def passes(self) -> tuple[int, int] | None:
        return 1, 1

    @property
    def repeats(self) -> int:
        return 1

    @abstractmethod
    def made(self, network: nn.Module, batch: Batch, step: int) -> M:
        """What the step is taken on: images, targets."""

    @abstractmethod
    def value(self, network: nn.Module, batch: Batch, made: M) -> Value:
        """The scalar and the logits, for what was made."""

    def again(self, made: M) -> M:
        """What was made, for a second value: without what the first one has used up."""
        return made

    def __call__(self, network: nn.Module, batch: Batch, step: int) -> Value:
        return self.value(network, batch, self.made(network, batch, step))


@dataclass
class Crafted(Staged[M]):
    """Base of objectives with an attack that makes images on the network of the moment.

    Attributes:
        attack: Makes the images; the last iterates whether they fool or not, unrounded, with random numbers of their own in
            each step.
        seed: Of the attack's random numbers, to which the number of the step is added.
        batch_norm: Mode of batch normalisation meanwhile; all else is in evaluation mode.
        classes: Number of classes, asked of the network at the first step.
    """

    attack: Attack
    seed: int = field(default=0, kw_only=True)
    batch_norm: BatchNorm = field(default="evaluation", kw_only=True)
    classes: int | None = field(default=None, init=False, repr=False)

    def images(
        self,
        network: nn.Module,
        batch: Batch,
        step: int,
        reference: Tensor | None = None,
        source: nn.Module | None = None,
    ) -> Tensor:
        """The attack's images of a batch, `(batch, ...)`.

        Args:
            network: The network in training.
            batch: The originals.
            step: Number of the step.
            reference: Logits that the attack's loss compares with, `(batch, classes)`.
            source: Network to attack in the place of `network`.
        """
        threat, seed = BoundThreat(source or network, levels=None), self.seed + step
        if self.classes is None:
            self.classes = probe_classes(threat, batch.x[:1].clone(), seed)
        oracle = Oracle.open(threat, batch.x, batch.y, ids=batch.ids, seed=seed, classes=self.classes)
        if reference is not None:
            oracle = oracle.with_goal(replace(oracle.goal, reference=reference))
        with normalising_by(network, self.batch_norm):
            return craft(self.attack, oracle).detach().to(batch.x.dtype)


def craft(attack: Attack, oracle: Oracle) -> Tensor:
    """The images that an attack makes to train on, `(batch, ...)`.

    A step attack runs all of its steps and hands over its last iterate, which nobody judges: k steps that ask for one
    gradient each cost k forwards and k backwards. An attack with a loop of its own runs as it is.
    """
    if isinstance(attack, Steps):
        return iterate(attack, oracle, stop="never", keep="last", close=False).crafted
    return attack.run(oracle).crafted


def with_crafting(attack: Attack, forwards: int, backwards: int) -> tuple[int, int] | None:
    """Passes of a step: those of `craft`, and some more; None where the attack does not know its own."""
    if attack.passes is None:
        return None
    own = attack.passes[0] - isinstance(attack, Steps)  # without the closing check
    return own + forwards, attack.passes[1] + backwards


def logits_of(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Logits `(batch, classes)`, those of half precision in float32; the labels y are checked against them."""
    logits = check_logits(network(shown(network, x.clone())), len(x)).to(working_type(x.dtype))
    check_labels(y, len(x), logits.shape[1])
    return logits


def passes_of(objective: Any) -> tuple[int, int] | None:
    """Passes that an objective declares; None for one that declares none."""
    declared = getattr(objective, "passes", None)
    return None if declared is None else (int(declared[0]), int(declared[1]))
