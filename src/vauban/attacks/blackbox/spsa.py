"""SPSA. Uesato, O'Donoghue, van den Oord, Kohli, Adversarial risk and the dangers of evaluating against weak attacks,
2018 (arXiv:1802.05666), algorithm 1; the estimate is Spall's (1992)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.ball_steps import check_norm
from vauban.attacks.parts.differences import check_unswitched, estimate, reach
from vauban.attacks.parts.optimisers import Adam, AdamMoments
from vauban.core.losses import Loss, margin
from vauban.core.norms import L2, Ball, Linf
from vauban.core.parameters import Count, Positive, StepRate
from vauban.engine import Oracle, Steps


@dataclass(frozen=True)
class SPSAState:
    """State of SPSA.

    Attributes:
        x: The iterate, `(batch, ...)`.
        moments: Adam's two moments.
    """

    x: Tensor
    moments: AdamMoments


@registry.register("spsa", norms=("linf", "l2"), needs="scores", targeted=True, randomised=True)
@dataclass(frozen=True)
class SPSA(Steps[SPSAState]):
    """Adam along a gradient that is estimated by simultaneous perturbation, all components at once up or down.

    g_t = 1 / pairs sum_j (f(x_t + delta v_j) - f(x_t - delta v_j)) / (2 delta) v_j with v_j of random signs (whose
    inverse, component by component, is v_j itself); Adam on g_t, then the projection on the ball and [0,1]. A step costs
    2 pairs + 1 queries, the last one of x_{t+1}. Images and feature vectors.

    Attributes:
        ball: The budget, in linf or l2.
        steps: Number of steps.
        pairs: Pairs of an estimate, 2 queries each. The paper has 1024 to 4096; more of them follow the gradient more
            closely, at the same cost of a query.
        delta: Size of a probe in every component, in pixel units; at least one level where the oracle rounds.
        lr: Rate of Adam, in pixel units.
        loss: f, which is raised; any but `auto`, which is two losses.
        lot: Pairs of one sample that go at once: a call holds batch x 2 lot images. Nothing but memory depends on it.

    Raises:
        ContractError: A value outside its range, another norm, or the loss `auto`.

    Departures: `pairs` is 64 by default; L2; v_j is the displacement of the images as the network sees them, over delta.
    """

    ball: Ball = Linf(8 / 255)
    steps: Count = 100
    pairs: Count = 64
    delta: Positive = 0.01
    lr: StepRate = 0.01
    loss: Loss = margin
    lot: Count = 25

    def __post_init__(self) -> None:
        super().__post_init__()
        check_norm(self.ball, Linf, L2)
        check_unswitched(self.loss, "spsa")

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks."""
        return self.steps * (2 * self.pairs + 1) + 1, 0

    def start(self, oracle: Oracle, **per_sample: Tensor) -> SPSAState:
        return SPSAState(oracle.domain.x0, Adam(self.lr).begin(oracle.domain.x0))

    def step(self, oracle: Oracle, state: SPSAState, t: int) -> SPSAState:
        shape, dtype = tuple(state.x.shape[1:]), state.x.dtype

        def draw(j: int) -> Tensor:
            return oracle.rng.signs("direction", shape, t=t, draw=j, dtype=dtype)

        g = estimate(oracle, state.x, draw, self.pairs, self.lot, reach(oracle, self.delta), self.loss)
        x, moments = Adam(self.lr).climb(state.x, g, state.moments, t)
        x = oracle.domain.project(x)
        oracle.scores(x)  # so that a success is seen, and recorded
        return SPSAState(x, moments)
