"""RayS. Chen, Gu, RayS: a ray searching method for hard-label adversarial attack, 2020 (arXiv:2006.12792), algorithms 1
to 3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.decision import reached
from vauban.core.norms import Linf, Norm
from vauban.core.parameters import Count, Positive
from vauban.core.tensors import flat, like, where
from vauban.engine import Oracle, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep

DEEPEST = 62
"""Last level, beyond the single components of any image: 64-bit integers are shifted by it."""


@dataclass(frozen=True)
class RaySState:
    """State of RayS.

    Attributes:
        x: Last adversarial image, x0 before the first, `(batch, ...)`.
        d: Signs of the best direction, of the shape of x.
        r: Radius at which it is adversarial; 1 before the first, 0 for an original that is wrong already, `(batch,)`.
        level, block: Block whose signs are turned: number `block` of 2^level, -1 for none, int64 `(batch,)`.
        low, high: Radii between which the direction on trial crosses the boundary, `(batch,)`.
        searching: Whether it is known to cross it within r, and is bisected, `(batch,)`.
    """

    x: Tensor
    d: Tensor
    r: Tensor
    level: Tensor
    block: Tensor
    low: Tensor
    high: Tensor
    searching: Tensor


@registry.register("rays", norms=("linf",), needs="labels", targeted=True)
@dataclass(frozen=True)
class RayS(Steps[RaySState]):
    """Search over directions of signs d for the smallest radius r at which x0 + r d is adversarial, from labels alone.

    The signs of one block of components are turned at a time: the whole, then its halves, quarters, ... down to single
    components, which then repeat. A direction on trial is asked about at the best r so far: where that fails one query
    has settled it; else its radius is found by bisection to `tolerance`, and it is the best direction from then on. The
    nearest image of all queries is kept. No step waits for another sample: each asks one question per sample, of a new
    direction or of a bisection. steps + 1 queries, the first one of the original, the last one the closing check;
    originals that are wrong already cost two. Images and feature vectors.

    Attributes:
        steps: Queries of a sample before the closing check.
        tolerance: Width of the interval at which a bisection ends, in pixel units.

    Raises:
        ContractError: A value outside its range.

    Departures: r starts at 1, beyond which nothing of [0,1] is left, for infinity; the first direction, all signs up, is
    asked about too; targeted goals, which need an image of the target class among the corners of [0,1] that are
    visited.
    """

    steps: Count = 10_000
    tolerance: Positive = 0.001
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"

    @property
    def norm(self) -> Norm:
        return Linf

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that is not wrong from the start."""
        return self.steps + 1, 0

    def start(self, oracle: Oracle, **per_sample: Tensor) -> RaySState:
        x0 = oracle.domain.x0
        one = torch.ones_like(flat(x0)[:, 0])
        first, no = torch.zeros_like(one, dtype=torch.int64), torch.zeros_like(one, dtype=torch.bool)
        return RaySState(x0, torch.ones_like(x0), one, first, first - 1, one * 0, one, no)

    def step(self, oracle: Oracle, state: RaySState, t: int) -> RaySState:
        if t == 0:
            wrong = oracle.reached(oracle.domain.x0)
            return RaySState(**(vars(state) | {"r": torch.where(wrong, 0, state.r)}))
        d, last = _turned(state)
        middle = torch.where(state.searching, (state.low + state.high) / 2, state.r)
        point = oracle.domain.quantise(oracle.domain.x0 + like(middle, d) * d)
        hit = reached(oracle, point, state.r > 0)
        low = torch.where(state.searching & ~hit, middle, torch.where(state.searching, state.low, 0))
        high = torch.where(state.searching & ~hit, state.high, middle)
        settled = state.searching & (high - low <= self.tolerance)
        block = state.block + (settled | ~(state.searching | hit))
        return RaySState(
            where(hit, point, state.x),
            where(settled, d, state.d),
            torch.where(settled, high, state.r),
            *_next_level(state.level, block, last),
            low,
            high,
            (state.searching | hit) & ~settled,
        )


def _turned(state: RaySState) -> tuple[Tensor, Tensor]:
    """The direction on trial, of the shape of x, and the number of the last block of the level, `(batch,)`."""
    features = state.d[0].numel()
    width = ((features - 1) >> state.level) + 1  # ceil(features / 2^level)
    place = torch.arange(features, device=state.d.device) // width[:, None]
    turned = (place == state.block[:, None]).view_as(state.d)
    return torch.where(turned, -state.d, state.d), place[:, -1]


def _next_level(level: Tensor, block: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Level and block, where the blocks of a level are used up the first one of the next, `(batch,)` each."""
    over = block > last
    return (level + over).clamp_max(DEEPEST), torch.where(over, 0, block)
