"""Box-constrained L-BFGS attack (Szegedy et al. 2014).

Szegedy et al., Intriguing properties of neural networks, 2014 (arXiv:1312.6199), section 4.1; the squared distance as
in Carlini and Wagner, 2017 (arXiv:1608.04644), section III-A.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.minimal_steps import movable
from vauban.attacks.parts.penalty_search import Constant, PenaltySearch
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import Loss, logit_of, loss_values, rivals
from vauban.core.norms import Linf
from vauban.core.parameters import Count
from vauban.core.tensors import dot, flat, like, where
from vauban.engine import Oracle, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep

ARMIJO = 1e-4  # share of the decrease promised by the slope that a step must bring
SHORTEST = 1e-6  # in pixels; a line search that comes down to it begins again with the steepest descent
CURVED = 1e-10  # a pair with s.y below this share of y.y says nothing about the curvature


def log_wanted(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    """Logarithm of the probability of what is wanted: log p(t) targeted, log(1 - p(y)) untargeted, `(batch,)`.

    Where the last column means 'rejected': untargeted log(1 - p(y) - p(rejected)).
    """
    others = rivals(logits, goal).logsumexp(1)
    if goal.heading is not None:
        return -F.softplus(others - logit_of(logits, goal.heading))
    own = logit_of(logits, goal.y)
    return -F.softplus((torch.logaddexp(own, logits[:, -1]) if goal.rejects else own) - others)


@dataclass(frozen=True)
class LBFGSState:
    """State of the minimisation at one constant per sample.

    Attributes:
        x: The point, `(batch, ...)`.
        f: Its value, `(batch,)`.
        g: Its gradient, `(batch, ...)`.
        d: The direction from it, `(batch, ...)`.
        rate: Length of the trial step along d, `(batch,)`.
        trial: x + rate d clipped to the box, `(batch, ...)`.
        s, y: The pairs, `(batch, memory, ...)`, newest last; zero where there are none yet.
        c: Weight of the loss, `(batch,)`.
    """

    x: Tensor
    f: Tensor
    g: Tensor
    d: Tensor
    rate: Tensor
    trial: Tensor
    s: Tensor
    y: Tensor
    c: Tensor


@dataclass(frozen=True)
class ProjectedLBFGS(Steps[LBFGSState]):
    """Minimises ||x - x0||_2^2 - c loss(x) over [0,1], at one constant c per sample, by L-BFGS on the free components.

    Components at 0 or 1 that the slope pushes outward are held (Bertsekas, Projected Newton methods, 1982); the
    two-loop recursion (Nocedal, 1980) runs on the others, and x + rate d is clipped to the box. One gradient per step:
    a sample whose trial point decreases enough (Armijo) takes it and begins a new line search, another halves its rate.

    Attributes:
        steps: Number of steps, one gradient each.
        memory: Number of pairs.
        loss: The loss.
    """

    steps: Count
    memory: Count
    loss: Loss
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"
    per_sample: ClassVar[tuple[str, ...]] = ("c",)

    def start(self, oracle: Oracle, **per_sample: Tensor) -> LBFGSState:
        x0, c = oracle.domain.x0, per_sample["c"]
        zero, row = torch.zeros_like(x0), torch.zeros_like(c)
        pairs = zero[:, None].expand(-1, self.memory, *zero.shape[1:])
        return LBFGSState(x0, row + torch.inf, zero, zero, row, x0, pairs, pairs, c)

    def step(self, oracle: Oracle, state: LBFGSState, t: int) -> LBFGSState:
        x = state.trial
        logits, (g,) = oracle.gradient(x, self.loss)
        f = dot(x - oracle.domain.x0, x - oracle.domain.x0) - state.c * loss_values(self.loss, logits, oracle.goal)
        g = 2 * (x - oracle.domain.x0) - like(state.c, g) * g
        taken = f <= state.f + ARMIJO * dot(state.g, x - state.x)  # the first trial is the image itself, under f = inf
        short = ~taken & (Linf.size(x - state.x) < SHORTEST)
        s, y = self._pairs(state, x - state.x, g - state.g, taken)
        state = replace(
            state,
            x=where(taken, x, state.x),
            f=torch.where(taken, f, state.f),
            g=where(taken, g, state.g),
            s=s * like(~short, s),
            y=y * like(~short, y),
        )
        d, fresh = direction(state), taken | short
        first = (1 / flat(state.g).abs().sum(1).clamp_min(torch.finfo(f.dtype).tiny)).clamp_max(1)
        unknown = ~flat(state.y[:, -1] != 0).any(1)
        rate = torch.where(fresh, torch.where(unknown, first, 1), state.rate / 2)
        d = where(fresh, d, state.d)
        return replace(state, d=d, rate=rate, trial=oracle.domain.project(state.x + like(rate, d) * d))

    def candidate(self, oracle: Oracle, state: LBFGSState) -> Tensor:
        return oracle.domain.project(state.x)

    def _pairs(self, state: LBFGSState, s: Tensor, y: Tensor, taken: Tensor) -> tuple[Tensor, Tensor]:
        """Pairs with a new one in place of the oldest, where a step was taken that shows positive curvature."""
        new = taken & (dot(s, y) > CURVED * dot(y, y))
        shifted = torch.cat([state.s[:, 1:], s[:, None]], 1), torch.cat([state.y[:, 1:], y[:, None]], 1)
        return where(new, shifted[0], state.s), where(new, shifted[1], state.y)


def direction(state: LBFGSState) -> Tensor:
    """Direction -H g on the free components, H the inverse Hessian of the pairs; -g where that does not descend."""
    steepest = movable(state.x, -state.g)
    free = steepest != 0
    q = flat(-steepest)
    s, y = ((pairs * free[:, None]).flatten(2) for pairs in (state.s, state.y))
    sy, yy = (s * y).sum(2), (y * y).sum(2)
    known = sy > CURVED * yy
    rho = torch.where(known, 1 / sy, 0)
    shares = []
    for i in reversed(range(s.shape[1])):
        shares.append(rho[:, i] * dot(s[:, i], q))
        q = q - shares[-1][:, None] * y[:, i]
    scale = torch.ones_like(state.f)
    for i in range(s.shape[1]):
        scale = torch.where(known[:, i], sy[:, i] / yy[:, i], scale)
    r = scale[:, None] * q
    for i in range(s.shape[1]):
        r = r + (shares[-1 - i] - rho[:, i] * dot(y[:, i], r))[:, None] * s[:, i]
    d = movable(state.x, -r.view_as(steepest) * free)
    return where(dot(d, state.g) < 0, d, steepest)


@registry.register("l-bfgs", norms=("l2",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class LBFGS(PenaltySearch):
    """Box-constrained L-BFGS: the squared distance minus c times the loss, minimised by a quasi-Newton method in [0,1].

    min_x ||x - x0||_2^2 - c loss(x) subject to x in [0,1], by a limited-memory BFGS with a projected, backtracking line
    search; c is searched per sample, times 10 while nothing succeeds and then by bisection. search_steps * steps
    gradients; the nearest success of all is kept.

    Departures: the distance is squared, since |r| has no gradient at the image; the constant stands before the loss as
    in Carlini and Wagner (the paper's is 1/c); the solver is this file's, which moves all samples at once.

    Attributes:
        search_steps: Number of values of c.
        steps: Number of steps at each c, one gradient each.
        c: First weight of the loss.
        memory: Number of pairs of the quasi-Newton method.
        loss: log p(t) targeted, as in the paper; untargeted (not in the paper) log(1 - p(y)). Another one has to be
            continuous in the image. With the cross-entropy of y the nearest image lies between two values of c: it is
            flat where p(y) rounds to 1 and steep beyond the boundary, so that its minimiser jumps (by up to 34 % too
            far on a linear model).
    """

    search_steps: Count = 9
    steps: Count = 30
    c: Constant = 1.0
    memory: Count = 8
    loss: Loss = log_wanted

    def inner(self, oracle: Oracle) -> ProjectedLBFGS:
        return ProjectedLBFGS(self.steps, self.memory, self.loss)
