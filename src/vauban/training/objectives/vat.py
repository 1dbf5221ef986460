"""Virtual adversarial training (Miyato et al. 2018, arXiv:1704.03976)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import divergence
from vauban.core.parameters import Count, NonNegative, Positive
from vauban.core.rng import Stream
from vauban.core.tensors import unit
from vauban.engine.network import differentiate, predict, quiet
from vauban.training import registry
from vauban.training.criteria.cross_entropy import PLAIN
from vauban.training.objective import Criterion, Passes, Staged, Value, logits_of
from vauban.training.recipe import CRITERION, ObjectivePart
from vauban.training.statistics_mode import BatchNorm, normalising_by


@dataclass
class VirtualObjective(Staged[Tensor]):
    """J(x) + alpha KL(p(x) || p(x + r)), r = eps d, d the unit direction in which the answer changes most, (5) to (8).

    d is found by power iteration from a random direction: d <- g / ||g||, g = grad_r KL(p(x) || p(x + r)) at r = xi d. The
    points x + xi d are not clipped, x + r is, to [0,1]. p(x) in the penalty is a constant.

    Attributes:
        eps: Length of r in L2, in pixel units.
        xi: Length of the finite difference. 1e-6, as printed in places, is noise in float32.
        steps: Power iterations.
        alpha: Weight of the divergence.
        criterion: J.
        seed: Of the random directions, keyed by sample and step.
        batch_norm: Mode of batch normalisation while r is made.
    """

    eps: float
    xi: float
    steps: int
    alpha: float
    criterion: Criterion = PLAIN
    seed: int = 0
    batch_norm: BatchNorm = "evaluation"

    @property
    def made_passes(self) -> Passes:
        return self.steps + 1, self.steps

    @property
    def value_passes(self) -> Passes:
        return 2, 2

    def made(self, network: nn.Module, batch: Batch, step: int) -> Tensor:
        d = virtual_direction(self, network, batch, step)
        return (batch.x + self.eps * d).clamp(0, 1)

    def value(self, network: nn.Module, batch: Batch, made: Tensor) -> Value:
        clean = logits_of(network, batch.x, batch.y)
        goal = ResolvedGoal(batch.y, reference=clean.detach())
        apart = divergence(logits_of(network, made, batch.y), goal).mean()
        return self.criterion(clean, batch.y) + self.alpha * apart, clean


def virtual_direction(objective: VirtualObjective, network: nn.Module, batch: Batch, step: int) -> Tensor:
    """Unit directions `(batch, ...)` in which the network's answers change most, by its power iteration."""
    x = batch.x
    d = unit(Stream(objective.seed, batch.ids).normal("vat", tuple(x.shape[1:]), t=step, dtype=x.dtype))
    with quiet(list(network.modules())), normalising_by(network, objective.batch_norm):
        loss = partial(divergence, goal=ResolvedGoal(batch.y, reference=predict(network, x)))
        for _ in range(objective.steps):
            _, _, (g,), _ = differentiate(network, x + objective.xi * d, [loss])
            d = unit(g)
    return d.to(x.dtype)


@registry.register("vat", words=CRITERION)
@dataclass(frozen=True)
class VirtualTraining(ObjectivePart):
    """Virtual adversarial training: the loss, and how far the answer moves in the direction in which it moves most.

    Attributes:
        eps: Length of the perturbation in L2, in pixel units.
        xi: Length of the finite difference.
        steps: Power iterations.
        alpha: Weight of the divergence.
        batch_norm: Mode of batch normalisation while the perturbations are made.
    """

    eps: Positive = 2.1
    xi: Positive = 1e-2
    steps: Count = 1
    alpha: NonNegative = 1.0
    batch_norm: BatchNorm = "evaluation"

    def objective(self, seed: int) -> VirtualObjective:
        return VirtualObjective(self.eps, self.xi, self.steps, self.alpha, self.criterion, seed, self.batch_norm)
