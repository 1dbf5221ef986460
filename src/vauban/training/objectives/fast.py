"""Fast adversarial training: one step from a random start (Wong, Rice and Kolter 2020, arXiv:2001.03994)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import cross_entropy
from vauban.core.parameters import Positive
from vauban.core.rng import Stream
from vauban.engine.network import differentiate, quiet
from vauban.training import registry
from vauban.training.criteria.cross_entropy import PLAIN
from vauban.training.objective import Criterion, Passes, Staged, Value, logits_of
from vauban.training.recipe import CRITERION, ObjectivePart
from vauban.training.statistics_mode import BatchNorm, normalising_by


@dataclass
class FastObjective(Staged[Tensor]):
    """J(x'), x' = x + d after one step from a random point (Algorithm 3).

    d uniform in [-eps, eps], then clip(d + alpha eps sign(g), -eps, eps), g the image gradient at x + d.

    Attributes:
        eps: Radius in L-infinity, in pixel units.
        alpha: Length of the step as a share of eps.
        criterion: J.
        seed: Of the starts, keyed by sample and step.
        batch_norm: Mode of batch normalisation while the gradient g is taken.
    """

    eps: float
    alpha: float
    criterion: Criterion = PLAIN
    seed: int = 0
    batch_norm: BatchNorm = "evaluation"

    @property
    def made_passes(self) -> Passes:
        return 1, 1

    def made(self, network: nn.Module, batch: Batch, step: int) -> Tensor:
        x, shape = batch.x, tuple(batch.x.shape[1:])
        d = self.eps * (2 * Stream(self.seed, batch.ids).uniform("fast", shape, t=step, dtype=x.dtype) - 1)
        d = (x + d).clamp(0, 1) - x
        loss = partial(cross_entropy, goal=ResolvedGoal(batch.y))
        with quiet(list(network.modules())), normalising_by(network, self.batch_norm):
            _, _, (g,), _ = differentiate(network, x + d, [loss])
        return (x + (d + self.alpha * self.eps * g.sign()).clamp(-self.eps, self.eps)).clamp(0, 1)

    def value(self, network: nn.Module, batch: Batch, made: Tensor) -> Value:
        logits = logits_of(network, made, batch.y)
        return self.criterion(logits, batch.y), logits


@registry.register("fast", words=CRITERION)
@dataclass(frozen=True)
class FastTraining(ObjectivePart):
    """Fast adversarial training: images by one step of 1.25 eps from a random point of the ball.

    Attributes:
        eps: Radius in L-infinity, in pixel units.
        alpha: Length of the step as a share of eps.
        batch_norm: Mode of batch normalisation while the images are made.
    """

    eps: Positive = 8 / 255
    alpha: Positive = 1.25
    batch_norm: BatchNorm = "evaluation"

    def objective(self, seed: int) -> FastObjective:
        return FastObjective(self.eps, self.alpha, self.criterion, seed, self.batch_norm)
