"""Objectives: the scalar that a training step makes small."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor, nn
from torch.nn import functional as F

from vauban.core.contracts import Batch, check_labels, check_logits
from vauban.core.precision import working_type
from vauban.engine import Oracle
from vauban.engine.attack import Attack
from vauban.engine.iterate import Steps, iterate
from vauban.engine.network import shown
from vauban.engine.threat import BoundThreat, probe_classes

Criterion = Callable[[Tensor, Tensor], Tensor]
"""A scalar from logits `(batch, classes)` and labels `(batch,)`."""


class Objective(Protocol):
    """(network, batch, step) -> (scalar to differentiate, logits of the batch's labels or None).

    Called with the network in the modes of training, which it leaves as they are. The logits are only counted, for the
    accuracy of an epoch. Steps are numbered through all epochs, from 0.
    """

    def __call__(self, network: nn.Module, batch: Batch, step: int) -> tuple[Tensor, Tensor | None]: ...


@runtime_checkable
class Stateful(Protocol):
    """An objective that remembers something from step to step, which a checkpoint keeps."""

    def state(self) -> Mapping[str, Tensor]: ...
    def load_state(self, state: Mapping[str, Tensor]) -> None: ...


@dataclass(frozen=True)
class CleanObjective:
    """J(x): the criterion on the images as they are."""

    criterion: Criterion = F.cross_entropy

    def __call__(self, network: nn.Module, batch: Batch, step: int) -> tuple[Tensor, Tensor | None]:
        logits = logits_of(network, batch.x, batch.y)
        return self.criterion(logits, batch.y), logits


@dataclass
class AdversarialObjective:
    """alpha J(x) + (1 - alpha) J(x'), x' the attack's image of x on the network of the moment, in evaluation mode.

    With alpha = 0, min_theta E max_{x' in ball} J(x'), Madry et al. 2018 (arXiv:1706.06083), (2.1), x alone is not looked
    at; else Goodfellow et al. 2015 (arXiv:1412.6572), section 6, by one forward for x and one for x'.

    Attributes:
        attack: Makes x'; the last iterate whether it fools or not, unrounded, with random numbers of its own in each step.
        alpha: Share of the clean images, in [0, 1).
        criterion: J.
        seed: Of the attack's random numbers, to which the number of the step is added.
        classes: Number of classes, asked of the network at the first step.
    """

    attack: Attack
    alpha: float = 0.0
    criterion: Criterion = F.cross_entropy
    seed: int = 0
    classes: int | None = field(default=None, init=False, repr=False)

    def __call__(self, network: nn.Module, batch: Batch, step: int) -> tuple[Tensor, Tensor | None]:
        threat, seed = BoundThreat(network, levels=None), self.seed + step
        if self.classes is None:
            self.classes = probe_classes(threat, batch.x[:1].clone(), seed)
        oracle = Oracle.open(threat, batch.x, batch.y, ids=batch.ids, seed=seed, classes=self.classes)
        x = craft(self.attack, oracle).detach().to(batch.x.dtype)
        clean = None if self.alpha == 0 else self.criterion(logits_of(network, batch.x, batch.y), batch.y)
        logits = logits_of(network, x, batch.y)
        attacked = self.criterion(logits, batch.y)
        return (attacked if clean is None else self.alpha * clean + (1 - self.alpha) * attacked), logits


def craft(attack: Attack, oracle: Oracle) -> Tensor:
    """The images that an attack makes to train on, `(batch, ...)`.

    A step attack runs all of its steps and hands over its last iterate, which nobody judges: k steps that ask for one
    gradient each cost k forwards and k backwards. An attack with a loop of its own runs as it is.
    """
    if isinstance(attack, Steps):
        return iterate(attack, oracle, stop="never", keep="last", close=False).crafted
    return attack.run(oracle).crafted


def logits_of(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Logits `(batch, classes)`, those of half precision in float32; the labels y are checked against them."""
    logits = check_logits(network(shown(network, x.clone())), len(x)).to(working_type(x.dtype))
    check_labels(y, len(x), logits.shape[1])
    return logits
