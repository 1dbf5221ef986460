"""HopSkipJump. Chen, Jordan, Wainwright, HopSkipJumpAttack: a query-efficient decision-based attack, 2020
(arXiv:1904.02144), algorithms 1 and 2."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.decision import BISECTIONS, begin, boundary, check_starts, reached, same
from vauban.core.contracts import check_images
from vauban.core.errors import ContractError
from vauban.core.norms import L2, Linf, Norm, norm_by_name
from vauban.core.parameters import Count, Positive
from vauban.core.tensors import like, unit, where
from vauban.engine import Oracle, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep

HALVINGS = 25  # of the step along the estimated gradient; the paper sets no bound


@dataclass(frozen=True)
class HopSkipJumpState:
    """State of HopSkipJump.

    Attributes:
        x: Adversarial images at the decision boundary, as the network sees them, `(batch, ...)`.
        alive: Whether there is one, `(batch,)`.
    """

    x: Tensor
    alive: Tensor


@registry.register("hopskipjump", norms=("l2", "linf"), needs="labels", targeted=True, randomised=True)
@dataclass(frozen=True, eq=False)
class HopSkipJump(Steps[HopSkipJumpState]):
    """The nearest adversarial image from labels alone: estimate the gradient at the boundary, step along it, come back.

    Step 0 finds an adversarial image and bisects from it toward x0. Step t >= 1 asks about round(queries sqrt(t))
    images x + delta u, at most `most`; v is the sum of (phi - mean phi) u over the answers phi = +-1 (equation 16),
    normalised (l2) or its sign (linf); the step |x - x0| / sqrt(t) is halved until x + step v is adversarial; bisection
    toward x0 ends at theta. theta = d^(-3/2), delta = |x - x0| / d in l2, theta = d^(-2) in linf, d the number of pixels.
    Rows without a start are left alone and fail.

    Attributes:
        steps: Estimates of the gradient, with step 0.
        norm: l2 or linf.
        queries: Queries of the first estimate.
        most: Queries of an estimate at most.
        tries: Uniform noise images that are tried as a start.
        starts: Images `(n, ...)` that are tried as a start in place of noise, nearest first. A targeted run needs them,
            with images of the target classes.
        lot: Queries of one sample that go at once: a call holds batch x lot images.
        coarse: Least delta in levels per pixel, where the oracle rounds.

    Raises:
        ContractError: A value outside its range or another norm; when run, a targeted goal without `starts`, or `starts` of
            another shape than the images.

    Departures: where the oracle rounds, the boundary is that of the rounded images, delta is at least `coarse` levels per
    pixel and the gradient is estimated from the rounded differences. Queries come in whole lots. Under a query budget,
    a sample asks about at most half of what is left before each step, and stops by itself. theta is never below the
    resolution of the image's dtype.
    """

    steps: Count = 33
    norm: Norm = L2
    queries: Count = 100
    most: Count = 10_000
    tries: Count = 100
    starts: Tensor | None = None
    lot: Count = 25
    coarse: Positive = 2.0
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"

    def __post_init__(self) -> None:
        if isinstance(self.norm, str):
            object.__setattr__(self, "norm", norm_by_name(self.norm))
        super().__post_init__()
        if self.norm not in (L2, Linf):
            raise ContractError(f"expected the norm l2 or linf for hopskipjump, got {self.norm}")
        if self.starts is not None:
            check_images(self.starts, "starts of hopskipjump")

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks."""
        asked = sum(self._wanted(t) + HALVINGS + BISECTIONS for t in range(1, self.steps))
        start = self.tries if self.starts is None else len(self.starts)
        return 1 + start + BISECTIONS + asked + 1, 0

    def start(self, oracle: Oracle, **per_sample: Tensor) -> HopSkipJumpState:
        check_starts(oracle, self.starts, "hopskipjump")
        return HopSkipJumpState(
            oracle.domain.x0, torch.zeros(len(oracle), dtype=torch.bool, device=oracle.domain.x0.device)
        )

    def step(self, oracle: Oracle, state: HopSkipJumpState, t: int) -> HopSkipJumpState:
        if t == 0:
            return HopSkipJumpState(*begin(oracle, self.norm, self.tries, self.starts))
        index = state.alive.nonzero().squeeze(1)
        if not len(index):
            return state
        view, x = oracle.rows(index), state.x[index]
        count = self._count(view, t)
        v = self._direction(view, x, count, t)
        x = boundary(view, self.norm, self._walk(view, x, v, count > 0, t), count > 0)
        return replace(state, x=state.x.index_copy(0, index, x))

    def _count(self, oracle: Oracle, t: int) -> Tensor:
        """Queries for the gradient of each sample, whole lots, `(batch,)`."""
        return (oracle.room // 2).clamp_max(self._wanted(t)) // self.lot * self.lot

    def _wanted(self, t: int) -> int:
        """Queries for the gradient of a sample at step t, whole lots, where the budget allows them."""
        return math.ceil(min(self.queries * math.sqrt(t), self.most) / self.lot) * self.lot

    def _direction(self, oracle: Oracle, x: Tensor, count: Tensor, t: int) -> Tensor:
        """The estimate of the gradient's direction at the boundary, of unit norm (algorithm 2, equation 16).

        Args:
            oracle: Access to the network.
            x: Images at the boundary, `(batch, ...)`.
            count: Queries of each sample, `(batch,)`.
            t: Number of the step.
        """
        shape, d = tuple(x.shape[1:]), x[0].numel()
        delta = self.norm.size(x - oracle.domain.x0) / d
        if oracle.domain.grid is not None:
            delta = delta.clamp_min(self.coarse * math.sqrt(d) / (oracle.domain.grid.levels - 1))
        pull, drift = torch.zeros_like(x), torch.zeros_like(x)  # sums of phi u and of u
        hits = torch.zeros_like(delta)
        for k in range(int(count.max()) // self.lot):
            index = (count > k * self.lot).nonzero().squeeze(1)
            view = oracle.rows(index)
            wide = view.repeat(self.lot)
            u = unit(view.rng.normal("direction", (self.lot, *shape), t=t, draw=k, dtype=x.dtype).flatten(0, 1))
            centre, length = (v[index].repeat_interleave(self.lot, 0) for v in (x, delta))
            point = wide.domain.quantise(centre + like(length, u) * u)
            u = (point - centre) / like(length, u)
            phi = wide.reached(point).to(x.dtype) * 2 - 1
            lots = (len(index), self.lot)
            pull.index_add_(0, index, (like(phi, u) * u).view(*lots, *shape).sum(1))
            drift.index_add_(0, index, u.view(*lots, *shape).sum(1))
            hits.index_add_(0, index, phi.view(lots).sum(1))
        mean = hits / count.clamp_min(1)
        v = where(mean.abs() == 1, pull, pull - like(mean, x) * drift)
        return unit(v) if self.norm is L2 else v.sign()

    def _walk(self, oracle: Oracle, x: Tensor, v: Tensor, rows: Tensor, t: int) -> Tensor:
        """x + step v with the first step of |x - x0| / sqrt(t), half of it, ... that stays adversarial, else x.

        Args:
            oracle: Access to the network.
            x, v: Images at the boundary and directions, `(batch, ...)`.
            rows: Where to look, `(batch,)`.
            t: Number of the step.
        """
        length, moved = self.norm.size(x - oracle.domain.x0) / math.sqrt(t), x
        for _ in range(HALVINGS):
            point = oracle.domain.quantise(x + like(length, x) * v)
            rows = rows & (oracle.room > 0) & ~same(point, x)
            if not bool(rows.any()):
                break
            hit = reached(oracle, point, rows)
            moved, rows, length = where(hit, point, moved), rows & ~hit, length / 2
        return moved
