"""Free adversarial training (Shafahi et al. 2019, arXiv:1904.12843)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vauban.core.contracts import Batch
from vauban.core.parameters import Count, Positive
from vauban.training import registry
from vauban.training.criteria.cross_entropy import PLAIN
from vauban.training.objective import Criterion, Staged, Value, logits_of
from vauban.training.recipe import CRITERION, ObjectivePart


@dataclass
class FreeObjective(Staged[Tensor]):
    """J(clip(x + d)), d moved after each step by the image gradient of the same backward pass that moved the weights.

    d <- clip(d + step_size sign(dJ/dd), -eps, eps), Algorithm 1. The perturbation of a row is taken over by the row in its
    place of the next batch, and kept by a checkpoint.

    Attributes:
        eps: Radius in L-infinity, in pixel units.
        replays: Steps in a row on one batch.
        step_size: Of the perturbation.
        criterion: J.
    """

    eps: float
    replays: int
    step_size: float
    criterion: Criterion = PLAIN
    _kept: Tensor | None = field(default=None, init=False, repr=False)
    _leaf: Tensor | None = field(default=None, init=False, repr=False)

    @property
    def repeats(self) -> int:
        return self.replays

    def made(self, network: nn.Module, batch: Batch, step: int) -> Tensor:
        kept = self._moved()
        if kept is None or kept.shape[1:] != batch.x.shape[1:]:
            kept = torch.zeros_like(batch.x)
        kept = kept.to(batch.x)
        if (lacking := len(batch.x) - len(kept)) > 0:
            kept = F.pad(kept.flatten(1), (0, 0, 0, lacking)).view(-1, *kept.shape[1:])
        self._kept = kept
        self._leaf = kept[: len(batch.x)].clone().requires_grad_()
        return (batch.x + self._leaf).clamp(0, 1)

    def value(self, network: nn.Module, batch: Batch, made: Tensor) -> Value:
        logits = logits_of(network, made, batch.y)
        return self.criterion(logits, batch.y), logits

    def state(self) -> Mapping[str, Tensor]:
        kept = self._moved()
        return {} if kept is None else {"perturbation": kept}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self._kept, self._leaf = state.get("perturbation"), None

    def _moved(self) -> Tensor | None:
        """The perturbation after the last backward pass; None before the first step."""
        if self._kept is not None and self._leaf is not None and self._leaf.grad is not None:
            moved = self._leaf.detach() + self.step_size * self._leaf.grad.sign()
            self._kept = torch.cat([moved.clamp(-self.eps, self.eps), self._kept[len(moved) :]])
            self._leaf = None
        return self._kept


@registry.register("free", words=CRITERION)
@dataclass(frozen=True)
class FreeTraining(ObjectivePart):
    """Free adversarial training: each batch is replayed, and one backward pass moves weights and perturbation alike.

    An epoch costs `replays` plain ones; the authors divide their number by it.

    Attributes:
        eps: Radius in L-infinity, in pixel units.
        replays: Steps in a row on one batch.
        step_size: Of the perturbation, in pixel units; None: eps.
    """

    eps: Positive = 8 / 255
    replays: Count = 4
    step_size: Positive | None = None

    def objective(self, seed: int) -> FreeObjective:
        step_size = self.eps if self.step_size is None else self.step_size
        return FreeObjective(self.eps, self.replays, step_size, self.criterion)
