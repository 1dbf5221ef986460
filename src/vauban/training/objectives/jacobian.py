"""Jacobian penalty (Hoffman et al. 2019, arXiv:1908.02729), for contractive networks (Gu and Rigazio, arXiv:1412.5068)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vauban.core.contracts import Batch
from vauban.core.parameters import NonNegative, Whole
from vauban.core.rng import Stream
from vauban.training import registry
from vauban.training.criteria.cross_entropy import PLAIN
from vauban.training.objective import Criterion, Passes, Staged, Value, logits_of
from vauban.training.recipe import CRITERION, ObjectivePart


@dataclass
class JacobianObjective(Staged[int]):
    """J(x) + (weight / 2) mean ||dz/dx||_F^2, z the logits.

    The norm is estimated without bias by n random unit vectors v of the logits, (classes / n) sum_v ||d(v z)/dx||^2
    (Algorithm 1 of Hoffman et al.), or summed over all classes.

    Attributes:
        weight: Of the penalty.
        projections: n, one backward pass each beside that of the loss; 0: one for each class.
        criterion: J.
        seed: Of the random vectors, keyed by sample and step.
    """

    weight: float
    projections: int
    criterion: Criterion = PLAIN
    seed: int = 0

    @property
    def value_passes(self) -> Passes:
        return (1, 1 + self.projections) if self.projections else None

    def made(self, network: nn.Module, batch: Batch, step: int) -> int:
        return step

    def value(self, network: nn.Module, batch: Batch, made: int) -> Value:
        x = batch.x.detach().clone().requires_grad_()
        logits = logits_of(network, x, batch.y)
        vectors = self._vectors(batch, logits, made)
        squared = logits.new_zeros(len(x))
        for v in vectors:
            (g,) = torch.autograd.grad(logits, x, v, create_graph=True)
            squared = squared + g.square().flatten(1).sum(1)
        if self.projections:
            squared = squared * logits.shape[1] / self.projections
        return self.criterion(logits, batch.y) + self.weight / 2 * squared.mean(), logits.detach()

    def _vectors(self, batch: Batch, logits: Tensor, step: int) -> list[Tensor]:
        """What the logits are multiplied by, `(batch, classes)` each."""
        classes = logits.shape[1]
        if not self.projections:
            return [torch.eye(classes).to(logits)[k].expand_as(logits) for k in range(classes)]
        stream = Stream(self.seed, batch.ids)
        drawn = [stream.normal("jacobian", (classes,), t=step, draw=j) for j in range(self.projections)]
        return [F.normalize(v, dim=1).to(logits.dtype) for v in drawn]


@registry.register("jacobian", words=CRITERION)
@dataclass(frozen=True)
class JacobianPenalty(ObjectivePart):
    """Contractive training: the loss, and the squared Frobenius norm of the logits' derivative in the image.

    Attributes:
        weight: Of the penalty.
        projections: Random projections that estimate it, one backward pass each; 0: exactly, one for each class.
    """

    weight: NonNegative = 0.01
    projections: Whole = 1

    def objective(self, seed: int) -> JacobianObjective:
        return JacobianObjective(self.weight, self.projections, self.criterion, seed)
