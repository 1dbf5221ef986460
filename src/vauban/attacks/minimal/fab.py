"""Fast adaptive boundary attack, FAB (Croce and Hein 2020).

Croce and Hein, Minimally distorted adversarial examples with a fast adaptive boundary attack, 2020 (arXiv:1907.02044),
algorithm 1 and sections 2.2 to 2.4; toward given classes, FAB-T: arXiv:2003.01690, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.ball_steps import heading
from vauban.attacks.parts.box_projection import to_hyperplane
from vauban.attacks.parts.class_boundaries import boundaries, lead_of_heading, looked_at
from vauban.attacks.parts.final_search import searched
from vauban.core.errors import BudgetSpent, ContractError
from vauban.core.losses import margin
from vauban.core.norms import L1, L2, Linf, Norm
from vauban.core.parameters import Count, Positive, Range, Share, Whole
from vauban.core.tensors import dot, like, where
from vauban.engine import Oracle, Result, Steps, iterate
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep
from vauban.engine.result import untouched

TINY = 1e-8  # of a way to a hyperplane, in pixel units of the norm
RADIUS = {"linf": 0.3, "l2": 1.0, "l1": 5.0}
"""Radius by norm that random starts are kept to, as in the authors' program."""


@dataclass(frozen=True)
class FABState:
    """State of FAB.

    Attributes:
        x: The iterate, `(batch, ...)`.
        classes: The classes that are looked at, the true one first, `(batch, k)`.
    """

    x: Tensor
    classes: Tensor


@registry.register("fab", norms=("linf", "l2", "l1"), needs="gradients", targeted=True, randomised=True)
@dataclass(frozen=True)
class FAB(Steps[FABState]):
    """Fast adaptive boundary: steps to the nearest linearised boundary inside [0,1], drawn toward the original.

    With f_k = z_k - z_y, w_k its gradient and q the dual of p: s = argmin_k |f_k| / ||w_k||_q; d and d0 are the shortest
    ways in the p-norm, inside [0,1], from x and from x0 to the hyperplane f_s + <w_s, . - x> = 0 (closed forms); alpha =
    min(||d|| / (||d|| + ||d0||), `alpha_max`); x <- clip((1 - alpha) (x + eta d) + alpha (x0 + eta d0)). Where x is
    adversarial it goes back to x0 + beta (x - x0). A step costs a backward pass for each class and two forwards, one for
    the gradients and one to see whether x is adversarial. The nearest success of all restarts is then moved along its line
    to x0 by a final search.

    With `n_target`, FAB-T: a run toward each of the likeliest wrong classes t, whose only boundary is f_t, one backward a
    step; success is any misclassification. A targeted goal has one boundary too, that of its margin; where the nearest
    image lies at a corner of two boundaries it may end just outside of it.

    Departures: the `classes` largest logits of the clean image are looked at, as in DeepFool, where the paper looks at all;
    the final search is a false position on the margin.

    Attributes:
        steps: Number of steps of each run.
        norm: L-infinity, L2 or L1.
        restarts: Number of runs, the first from the image, the others from random points at half the smaller of the
            distance of the nearest success and `eps`.
        n_target: Number of classes to go toward one by one; 0: to the nearest boundary.
        classes: Number of classes that are looked at, the true one included, where n_target is 0.
        eps: Radius of the random starts, in pixel units (pixels in [0,1]); None: 0.3 for linf, 1 for l2, 5 for l1.
        alpha_max: Largest weight of the way from the original.
        eta: Length of a step in ways to the hyperplane; above 1 it goes beyond.
        beta: Share of the distance that is kept after a success.
        search_steps: Queries of the final search, beside those at both of its ends.

    Raises:
        ContractError: Another norm.
    """

    steps: Count = 100
    norm: Norm = Linf
    restarts: Count = 1
    n_target: Whole = 0
    classes: Annotated[int, Range(2)] = 10
    eps: Positive | None = None
    alpha_max: Share = 0.1
    eta: Annotated[float, Range(1, 10)] = 1.05
    beta: Share = 0.9
    search_steps: Whole = 3
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"
    per_sample: ClassVar[tuple[str, ...]] = ("radius",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm not in (Linf, L2, L1):
            raise ContractError(f"expected norm linf, l2 or l1 for fab, got {self.norm}")

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample at most: where something breaks it, the final search included."""
        runs, search = self.restarts * max(1, self.n_target), self.search_steps and self.search_steps + 2
        asked = self.restarts if self.n_target == 0 else 1
        return runs * (2 * self.steps + 1) + asked + search, runs * self.steps * (1 if self.n_target else self.classes)

    def run(self, oracle: Oracle) -> Result:
        try:
            oracles = self.headed(oracle)
        except BudgetSpent:
            return untouched(oracle.domain.x0)
        asked = int(self.n_target > 0 and oracle.goal.target is None)
        total = untouched(oracle.domain.x0)
        eps = self.eps or RADIUS[self.norm.name]
        for number in range(len(oracles) * self.restarts):
            own, fresh = oracles[number // self.restarts], number % self.restarts
            radius = {"radius": total.distance.clamp_max(eps) / 2} if fresh else {}
            part = iterate(self, own.fresh(number) if number else own, per_sample=radius)
            nearer = part.success & (~total.success | (part.distance < total.distance))
            total = total.choose(part, nearer if number else torch.ones_like(nearer))
        return searched(oracle, replace(total, forwards=total.forwards + asked), self.norm, self.search_steps)

    def headed(self, oracle: Oracle) -> list[Oracle]:
        """The oracle itself, or with `n_target` one toward each class, for which one query is counted."""
        if self.n_target == 0 or oracle.goal.target is not None:
            return [oracle]
        wrong = oracle.goal.wrong_classes(oracle.clean_logits()).flip(1)[:, : self.n_target]
        return [heading(oracle, label) for label in wrong.unbind(1)]

    def start(self, oracle: Oracle, **per_sample: Tensor) -> FABState:
        x, classes = oracle.domain.x0, oracle.goal.y[:, None]
        if oracle.goal.heading is None:
            classes = looked_at(oracle, oracle.clean_logits(), self.classes)
        if "radius" in per_sample:
            draw = oracle.rng.uniform if self.norm is Linf else oracle.rng.normal
            drawn = draw("start", tuple(x.shape[1:]), dtype=x.dtype)
            drawn = 2 * drawn - 1 if self.norm is Linf else drawn
            x = self._boxed(oracle, x + like(per_sample["radius"] / self.norm.size(drawn), x) * drawn)
        return FABState(x, classes)

    def step(self, oracle: Oracle, state: FABState, t: int) -> FABState:
        x0, x = oracle.domain.x0, state.x
        f, w = self._nearest(oracle, state)
        way = to_hyperplane(x, w, -f, self.norm)
        bias = to_hyperplane(x0, w, -f.double() - dot(w.double(), (x0 - x).double()), self.norm)
        short, long = self.norm.size(way).clamp_min(TINY), self.norm.size(bias).clamp_min(TINY)
        alpha = like((short / (short + long)).clamp_max(self.alpha_max), x)
        moved = self._boxed(oracle, (1 - alpha) * (x + self.eta * way) + alpha * (x0 + self.eta * bias))
        back = self._boxed(oracle, x0 + self.beta * (moved - x0))
        return FABState(where(oracle.won(_logits(oracle, moved)), back, moved), state.classes)

    def _nearest(self, oracle: Oracle, state: FABState) -> tuple[Tensor, Tensor]:
        """Value `(batch,)` and gradient `(batch, ...)` of the boundary that is nearest when linearised."""
        if oracle.goal.heading is not None:
            logits, (g,) = oracle.gradient(state.x, lead_of_heading)
            return lead_of_heading(logits, oracle.goal), g
        _, f, w = boundaries(oracle, state.x, state.classes)
        distance = f.abs() / self.norm.dual(w.flatten(0, 1)).view_as(f)
        nearest = distance.nan_to_num(torch.inf).argmin(1)
        here = torch.arange(len(w), device=w.device)
        return f[here, nearest], w[here, nearest]

    def _boxed(self, oracle: Oracle, x: Tensor) -> Tensor:
        """x in [0,1] and on unmasked components; a ball is no bound on the way, only on what succeeds."""
        mask = oracle.domain.mask
        return (x if mask is None else torch.where(mask, x, oracle.domain.x0)).clamp(0, 1)


def _logits(oracle: Oracle, x: Tensor) -> Tensor:
    """Logits at x: those of the target by a query, or where only gradients are granted the sources' own."""
    if "scores" in oracle.threat.grants and not oracle.threat.sources:
        return oracle.scores(x)
    return oracle.gradient(x, margin)[0]
