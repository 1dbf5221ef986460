"""NES. Ilyas, Engstrom, Athalye, Lin, Black-box adversarial attacks with limited queries and information, 2018
(arXiv:1804.08598), algorithm 1 and section 3.1."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.ball_steps import advance, check_norm
from vauban.attacks.parts.differences import check_unswitched, estimate, reach
from vauban.attacks.parts.stepsize import StepSize, stepped
from vauban.core.losses import Loss, margin
from vauban.core.norms import L2, Ball, Linf
from vauban.core.parameters import Count, Positive
from vauban.engine import Oracle, Point, Steps


@registry.register("nes", norms=("linf", "l2"), needs="scores", targeted=True, randomised=True)
@dataclass(frozen=True)
class NES(Steps[Point], StepSize):
    """Projected ascent along a gradient that is estimated from scores by a natural evolution strategy.

    g_t = 1 / pairs sum_j (f(x_t + sigma u_j) - f(x_t - sigma u_j)) / (2 sigma) u_j with Gaussian u_j, antithetic pairs;
    x_{t+1} = P(x_t + alpha eps s(g_t)), s the steepest direction of unit norm (linf: the sign), P the projection on the
    ball and [0,1]. A step costs 2 pairs + 1 queries, the last one of x_{t+1}. Images and feature vectors.

    Attributes:
        ball: The budget, in linf or l2.
        steps: Number of steps.
        pairs: Antithetic pairs of an estimate, 2 queries each.
        sigma: Standard deviation of a probe in pixel units; at least one level where the oracle rounds.
        rel_stepsize: alpha, the length of a step as a share of the radius eps; None: 0.2, the paper's 0.01 at eps 0.05.
        abs_stepsize: The length of a step in pixel units, in the place of rel_stepsize.
        loss: f, which is raised; any but `auto`, which is two losses.
        lot: Pairs of one sample that go at once: a call holds batch x 2 lot images. Nothing but memory depends on it.

    Raises:
        ContractError: A value outside its range, another norm, or the loss `auto`.

    Departures: the margin of the logits for the log-probability of the target class; untargeted goals; no momentum and no
    halving of the step, which the authors' program adds; u_j is the displacement of the images as the network sees
    them, over sigma.
    """

    ball: Ball = Linf(8 / 255)
    steps: Count = 200
    pairs: Count = 25
    sigma: Positive = 0.001
    rel_stepsize: Positive | None = None
    abs_stepsize: Positive | None = None
    loss: Loss = margin
    lot: Count = 25

    def __post_init__(self) -> None:
        super().__post_init__()
        check_norm(self.ball, Linf, L2)
        check_unswitched(self.loss, "nes")

    @property
    def usual_stepsize(self) -> float:
        return 0.2

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks."""
        return self.steps * (2 * self.pairs + 1) + 1, 0

    def start(self, oracle: Oracle, **per_sample: Tensor) -> Point:
        return Point(oracle.domain.x0)

    def step(self, oracle: Oracle, state: Point, t: int) -> Point:
        shape, dtype = tuple(state.x.shape[1:]), state.x.dtype

        def draw(j: int) -> Tensor:
            return oracle.rng.normal("direction", shape, t=t, draw=j, dtype=dtype)

        g = estimate(oracle, state.x, draw, self.pairs, self.lot, reach(oracle, self.sigma), self.loss)
        x = advance(oracle, state.x, g, stepped(self, oracle, state.x))
        oracle.scores(x)  # so that a success is seen, and recorded
        return Point(x)
