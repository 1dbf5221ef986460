"""Boundary attack. Brendel, Rauber, Bethge, Decision-based adversarial attacks: reliable attacks against black-box machine
learning models, 2018 (arXiv:1712.04248), algorithm 1 and sections 2.2 to 2.4."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.decision import BISECTIONS, begin, check_starts, reached
from vauban.core.contracts import check_images
from vauban.core.norms import L2
from vauban.core.parameters import Count, Range
from vauban.core.tensors import dot, like, unit, where
from vauban.engine import Oracle, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep

LENGTHENED, SHORTENED = 0.5, 0.2  # of the images on the sphere: between them both steps are left as they are
DEEPER, SHALLOWER = 0.25, 0.1  # of the steps inward
CONVERGED = 1e-7
"""Step inward, of the distance, below which a sample has arrived."""
StepShare = Annotated[float, Range(0, 1, open_low=True, open_high=True)]


@dataclass(frozen=True)
class BoundaryState:
    """State of the boundary attack.

    Attributes:
        x: Adversarial images, `(batch, ...)`.
        alive: Whether there is one, `(batch,)`.
        delta, epsilon: Step along the sphere and step inward, of the distance, `(batch,)`.
        sphere, inward: How many of the last images were adversarial, of either kind, `(batch,)`.
    """

    x: Tensor
    alive: Tensor
    delta: Tensor
    epsilon: Tensor
    sphere: Tensor
    inward: Tensor


@registry.register("boundary", norms=("l2",), needs="labels", targeted=True, randomised=True)
@dataclass(frozen=True, eq=False)
class BoundaryAttack(Steps[BoundaryState]):
    """Random walk along the decision boundary from labels alone: a step on the sphere around x0, then one inward.

    Step 0 finds an adversarial image and bisects from it toward x0. Step t >= 1 asks about x0 + (1 - epsilon) (s - x0)
    with s = x0 + D unit(x - x0 + delta D u), D = |x - x0|, u a Gaussian direction of unit length that is orthogonal to
    x - x0, and goes there where that is adversarial. Each `every` steps it asks about s too. After `window` answers about
    s both delta and epsilon grow by `factor` where more than 1/2 were adversarial, and shrink by it where less than 1/5
    were; after `window` answers about steps inward epsilon alone does, at 1/4 and 1/10. Every sample has its own delta
    and epsilon; one whose epsilon is below 1e-7 has arrived and asks no more. A step is 1 query, or 2. Rows without a
    start are left alone and fail. Images and feature vectors.

    Attributes:
        steps: Steps, with step 0.
        delta: First step along the sphere, as a share of the distance.
        epsilon: First step inward, as a share of the distance.
        factor: By which steps grow and shrink.
        every: Steps between questions about the sphere.
        window: Answers from which a share is taken.
        tries: Uniform noise images that are tried as a start.
        starts: Images `(n, ...)` that are tried as a start in place of noise, nearest first. A targeted run needs them,
            with images of the target classes.

    Raises:
        ContractError: A value outside its range; when run, a targeted goal without `starts`, or `starts` of another shape
            than the images.

    Departures: the walk begins at the boundary and not at the noise; windows follow each other without overlap, of 10
    answers of either kind (the authors' program: 100 about the sphere, asked each 10 steps, and 30 about steps inward,
    with which the steps have hardly their lengths after 1000 queries); where the oracle rounds, the walk is of the images
    before rounding and the labels are those of the rounded ones.
    """

    steps: Count = 5000
    delta: StepShare = 0.01
    epsilon: StepShare = 0.01
    factor: Annotated[float, Range(1, 10, open_low=True)] = 1.5
    every: Count = 5
    window: Count = 10
    tries: Count = 100
    starts: Tensor | None = None
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.starts is not None:
            check_images(self.starts, "starts of boundary")

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that does not arrive."""
        start = 1 + (self.tries if self.starts is None else len(self.starts)) + BISECTIONS
        return start + self.steps - 1 + (self.steps - 1) // self.every + 1, 0

    def start(self, oracle: Oracle, **per_sample: Tensor) -> BoundaryState:
        check_starts(oracle, self.starts, "boundary")
        x0 = oracle.domain.x0
        one = torch.ones(len(x0), dtype=x0.dtype, device=x0.device)
        return BoundaryState(x0, one < 0, self.delta * one, self.epsilon * one, 0 * one, 0 * one)

    def step(self, oracle: Oracle, state: BoundaryState, t: int) -> BoundaryState:
        if t == 0:
            x, alive = begin(oracle, L2, self.tries, self.starts)
            return replace(state, x=x, alive=alive)
        left = oracle.room > 1  # the sphere and the step inward
        walking = state.alive & (state.epsilon > CONVERGED) & left
        if not bool(walking.any()):
            return state
        on_sphere = self._around(oracle, state, t)
        if t % self.every == 0:
            hit = reached(oracle, oracle.domain.project(on_sphere), walking)
            state = replace(state, sphere=state.sphere + hit)
        inward = oracle.domain.project(torch.lerp(on_sphere, oracle.domain.x0, like(state.epsilon, on_sphere)))
        hit = reached(oracle, inward, walking)
        state = replace(state, x=where(hit, inward, state.x), inward=state.inward + hit)
        return self._adapted(state, walking, t)

    def _around(self, oracle: Oracle, state: BoundaryState, t: int) -> Tensor:
        """A random point of the sphere around x0 through x, at delta of its radius from x."""
        x0, d = oracle.domain.x0, state.x - oracle.domain.x0
        u = oracle.rng.normal("direction", tuple(x0.shape[1:]), t=t, dtype=x0.dtype)
        if oracle.domain.mask is not None:
            u = u * oracle.domain.mask
        heading, radius = unit(d), L2.size(d)
        u = unit(u - like(dot(u, heading), u) * heading)
        return x0 + like(radius, d) * unit(heading + like(state.delta, u) * u)

    def _adapted(self, state: BoundaryState, walking: Tensor, t: int) -> BoundaryState:
        """The state with steps of the lengths that the answers so far ask for."""
        delta, epsilon, sphere, inward = state.delta, state.epsilon, state.sphere, state.inward
        if t % (self.every * self.window) == 0:
            scale = self._scale(sphere / self.window, SHORTENED, LENGTHENED)
            delta, epsilon, sphere = (delta * scale).clamp_max(1), epsilon * scale, torch.zeros_like(sphere)
        if t % self.window == 0:
            epsilon = epsilon * self._scale(inward / self.window, SHALLOWER, DEEPER)
            inward = torch.zeros_like(inward)
        epsilon = torch.where(walking, epsilon.clamp_max(0.5), state.epsilon)
        return replace(state, delta=delta, epsilon=epsilon, sphere=sphere, inward=inward)

    def _scale(self, share: Tensor, low: float, high: float) -> Tensor:
        """`factor` where the share is above `high`, its inverse where it is below `low`, else 1."""
        grown = torch.where(share > high, self.factor, torch.ones_like(share))
        return torch.where(share < low, 1 / self.factor, grown)
