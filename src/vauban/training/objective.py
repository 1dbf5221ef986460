"""Objective: the scalar that a training step makes small, in two stages, and the images that it makes on the way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import ClassVar, Generic, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from vauban.core.answers import predicted
from vauban.core.contracts import Batch, check_labels, check_logits
from vauban.core.errors import ContractError, VaubanError
from vauban.core.precision import working_type
from vauban.core.spelling import spelled
from vauban.engine import Oracle
from vauban.engine.attack import Attack
from vauban.engine.first_answer import out_of_memory, reason
from vauban.engine.iterate import Steps, iterate
from vauban.engine.network import predict, quiet, shown
from vauban.engine.threat import BoundThreat, probe_classes
from vauban.training.statistics_mode import BatchNorm, normalising_by

Criterion = Callable[[Tensor, Tensor], Tensor]
"""A scalar from logits `(batch, classes)` and labels `(batch,)`."""
Value = tuple[Tensor, Tensor | None]
"""The scalar to differentiate, and logits of the batch's labels, which are only counted, or None."""
Passes = tuple[int, int] | None
"""Forward and backward passes of a sample; None where they are not known."""
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

    Passes are those of each sample, (forwards, backwards); None where an attack does not know its own.

    Attributes:
        made_passes: Of `made`.
        value_passes: Of `value`, its backward through the loss included.
        again_passes: Of a second `value` for what `again` gives.
        passes: Of a step.
        repeats: Steps in a row on one batch.
        asks_answers: Whether `value` asks the network for its answers alone, so that AWP can give it others.
    """

    asks_answers: ClassVar[bool] = True

    @property
    def made_passes(self) -> Passes:
        return 0, 0

    @property
    def value_passes(self) -> Passes:
        return 1, 1

    @property
    def again_passes(self) -> Passes:
        return self.value_passes

    @property
    def passes(self) -> Passes:
        return together(self.made_passes, self.value_passes)

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
class CraftedObjective(Staged[M]):
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

    @property
    def made_passes(self) -> Passes:
        return crafting_passes(self.attack)

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

    def tried(self, network: nn.Module, batch: Batch, reference: bool = False) -> None:
        """Have the attack make one image, before anything is trained.

        Args:
            network: The network to train.
            batch: Samples as they are trained on.
            reference: Whether the attack's loss compares with the clean answer.

        Raises:
            ContractError: It cannot, for want of something that a recipe does not give, or for images outside [0,1].
        """
        one = answered(network, batch)
        with refusing(self.attack), quiet(list(network.modules())):
            answer = predict(network, one.x) if reference else None
            replace(self, batch_norm="evaluation").images(network, one, 0, answer)


def answered(network: nn.Module, batch: Batch) -> Batch:
    """The first sample under the network's own answer, so that an attack that is tried on it has something to do."""
    with quiet(list(network.modules())):
        answer = predicted(predict(network, batch.x[:1]))
    return replace(batch, x=batch.x[:1], y=torch.where(answer < 0, batch.y[:1], answer), ids=batch.ids[:1])


@contextmanager
def refusing(attack: Attack) -> Iterator[None]:
    """Tell errors of an attack that is tried as what a recipe cannot do. Raises ContractError."""
    try:
        yield
    except VaubanError as error:
        raise ContractError(
            f"expected an attack that works with labels, white-box access and these samples alone, got {spelled(attack)}: "
            f"{error}"
        ) from error


def craft(attack: Attack, oracle: Oracle) -> Tensor:
    """The images that an attack makes to train on, `(batch, ...)`.

    A step attack runs all of its steps and hands over its last iterate, which nobody judges: k steps that ask for one
    gradient each cost k forwards and k backwards. An attack with a loop of its own runs as it is.
    """
    if isinstance(attack, Steps):
        return iterate(attack, oracle, stop="never", keep="last", close=False).crafted
    return attack.run(oracle).crafted


def crafting_passes(attack: Attack) -> Passes:
    """Passes of `craft`, which makes no closing check of a step attack."""
    if attack.passes is None:
        return None
    forwards, backwards = attack.passes
    return forwards - isinstance(attack, Steps), backwards


def together(*passes: Passes) -> Passes:
    """Sum of passes; None where one of them is not known."""
    known = [counted for counted in passes if counted is not None]
    if len(known) < len(passes):
        return None
    return sum(forwards for forwards, _ in known), sum(backwards for _, backwards in known)


def logits_of(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Logits `(batch, classes)`, those of half precision in float32; the labels y are checked against them."""
    try:
        answer = network(shown(network, x.clone()))
    except Exception as error:
        if isinstance(error, VaubanError) or out_of_memory(error):
            raise
        alone = "; set batch to 2 or more, or put batch normalisation into evaluation mode" if len(x) == 1 else ""
        raise ContractError(
            f"expected a network that takes images of shape {tuple(x.shape)} in the modes of training, but it failed: "
            f"{reason(error)}{alone}"
        ) from error
    logits = check_logits(answer, len(x)).to(working_type(x.dtype))
    check_labels(y, len(x), logits.shape[1])
    return logits
