"""Jacobian-based saliency map attack, JSMA (Papernot et al. 2016).

Papernot et al., The limitations of deep learning in adversarial settings, 2016 (arXiv:1511.07528), algorithms 2 and 3,
equations (8)-(10).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.ball_steps import heading
from vauban.attacks.parts.saliency_pairs import best_pair
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import cross_entropy, logit_of
from vauban.core.norms import L0, Norm
from vauban.core.parameters import Count, Range
from vauban.core.tensors import flat
from vauban.engine import Oracle, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep

Change = Annotated[float, Range(-1, 0, open_high=True)] | Annotated[float, Range(0, 1, open_low=True)]
"""A number from -1 to 1 other than 0."""


@dataclass(frozen=True)
class JSMAState:
    """State of JSMA.

    Attributes:
        x: The iterate, `(batch, ...)`.
        toward: The class it moves toward, `(batch,)`.
        open: Whether it can still move, bool `(batch,)`.
    """

    x: Tensor
    toward: Tensor
    open: Tensor


def target_logit(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    """Logit z_t of the class that is headed for, `(batch,)`."""
    assert goal.heading is not None
    return logit_of(logits, goal.heading)


def other_logits(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    """Sum of the logits z_j over j != t, `(batch,)`."""
    assert goal.heading is not None
    return logits.scatter(1, goal.heading[:, None], 0).sum(1)


@registry.register("jsma", norms=("l0",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class JSMA(Steps[JSMAState]):
    """Jacobian saliency map: change the pair of features that most raises the target and lowers the other classes.

    With alpha = sum_{i=p,q} dF_t/dx_i and beta = sum_{i=p,q} sum_{j!=t} dF_j/dx_i: (p, q) = argmax -alpha beta over the
    pairs with alpha > 0 and beta < 0 (theta < 0: alpha < 0 and beta > 0), then x_p, x_q <- clip(x + theta). The best of
    all pairs is exact, without a features x features matrix. Features are components: a colour pixel has three. One at
    0 or 1 leaves the search, and at most floor(gamma features) of them change: a pair is begun while two more fit,
    afterwards only features changed already move on. A sample with no pair left stops and costs nothing more.

    Untargeted (not in the paper): toward the most likely wrong class of the clean image, one counted query; success is
    any misclassification.

    Departures: the defaults are what works (softmax, both signs); output="logits", signs="one" is the attack as printed.
    On C4 with MNIST and targets (y + 1) mod 10 that one reaches 0.984 of them with 30 changed pixels, the defaults reach
    all with 18. gamma counts features, which at theta = 1 is the paper's count of steps; where no pair has alpha > 0 and
    beta < 0, which the paper leaves open, the sample stops.

    Attributes:
        steps: Bound on the number of steps, beside gamma.
        theta: Change of a feature in one step, in pixel units (pixels in [0,1]), not 0; the image is rounded to the
            pixel grid of the threat.
        gamma: Share of the features that may change.
        output: "softmax", where beta = -alpha: 1 forward and 1 backward per step, of log p_t, which ranks pairs as p_t does
            and does not vanish with it; "logits" (what the paper differentiates), 2 backwards.
        signs: "both" looks for the best pair to move by theta and the best to move by -theta and takes the better of the
            two (Wiyatno and Xu 2018, arXiv:1808.07945), at the same passes; a feature never turns back. "one" is the
            paper's.
    """

    steps: Count = 250
    theta: Change = 1.0
    gamma: Annotated[float, Range(0, 1, open_low=True)] = 0.145
    output: Literal["logits", "softmax"] = "softmax"
    signs: Literal["one", "both"] = "both"
    stop: ClassVar[Stop] = "first"
    keep: ClassVar[Keep] = "first"

    @property
    def norm(self) -> Norm:
        return L0

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks and that gamma does not stop."""
        return self.steps + 2, self.steps * (2 if self.output == "logits" else 1)

    def start(self, oracle: Oracle, **per_sample: Tensor) -> JSMAState:
        toward = oracle.goal.target
        if toward is None:
            toward = oracle.goal.wrong_classes(oracle.clean_logits())[:, -1]
        return JSMAState(oracle.domain.x0, toward, self._movable(oracle, oracle.domain.x0))

    def step(self, oracle: Oracle, state: JSMAState, t: int) -> JSMAState:
        index = state.open.nonzero().squeeze(1)
        if not len(index):
            return state
        standing, x = (oracle, state.x) if len(index) == len(state.x) else (oracle.rows(index), state.x[index])
        change = self._move(standing, x, *self._derivatives(standing, x, state.toward[index]))
        moved = standing.domain.quantise(standing.domain.project(x + change))
        still = flat(moved != x).any(1) & self._movable(standing, moved)
        return JSMAState(state.x.index_copy(0, index, moved), state.toward, state.open.index_copy(0, index, still))

    def _derivatives(self, standing: Oracle, x: Tensor, toward: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of the target's output and of minus the sum of the others, `(batch, features)` each."""
        standing = heading(standing, toward)
        if self.output == "softmax":
            _, (up,) = standing.gradient(x, cross_entropy)
            up = flat(up)
            return up, up
        _, (up, others) = standing.gradient(x, target_logit, other_logits)
        return flat(up), -flat(others)

    def _move(self, standing: Oracle, x: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Change of the images: theta or -theta on the best pair, zero elsewhere, shaped as x."""
        move, best = torch.zeros_like(a), torch.zeros(len(a), dtype=torch.float64, device=a.device)
        for theta, domain in self._domains(standing, x):
            sign = math.copysign(1, theta)
            up = (sign * a).where(domain, -torch.inf)
            pair, value = best_pair(up, up if b is a else (sign * b).where(domain, -torch.inf))
            step = torch.zeros_like(a).scatter(1, pair, theta)
            move = torch.where((value > best)[:, None], step, move)
            best = torch.maximum(value, best)
        return move.view_as(x)

    def _domains(self, standing: Oracle, x: Tensor) -> Iterator[tuple[float, Tensor]]:
        """Pairs of a step and the features that may take it, bool `(batch, features)`, one for each sign."""
        d = flat(x - standing.domain.x0)
        changed = d != 0
        allowed = changed | (changed.sum(1) + 2 <= self._most(standing))[:, None]
        if standing.domain.mask is not None:
            allowed = allowed & flat(standing.domain.mask)
        for theta in (self.theta, -self.theta) if self.signs == "both" else (self.theta,):
            ahead = (flat(x) < 1) & (d >= 0) if theta > 0 else (flat(x) > 0) & (d <= 0)
            yield theta, allowed & ahead

    def _most(self, standing: Oracle) -> Tensor:
        """Largest number of features that may change, `(batch,)`: gamma's, or that of a smaller L0 ball."""
        count = math.floor(self.gamma * flat(standing.domain.x0).shape[1] + 1e-6)  # 0.29 * 100 is 28.999999999999996
        most = torch.full((len(standing),), count, dtype=standing.domain.x0.dtype, device=standing.domain.x0.device)
        for region in (standing.domain.ball, standing.domain.limit):
            if region is not None and region.norm is L0:
                most = torch.minimum(most, torch.as_tensor(region.radius))
        return most

    def _movable(self, standing: Oracle, x: Tensor) -> Tensor:
        """Whether a sample has a pair left to choose from, `(batch,)`."""
        counts = [domain.sum(1) for _, domain in self._domains(standing, x)]
        return torch.stack(counts).amax(0) >= 2
