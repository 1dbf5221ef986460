"""Square Attack. Andriushchenko, Croce, Flammarion, Hein, Square Attack: a query-efficient black-box adversarial attack
via random search, 2020 (arXiv:1912.00049), algorithms 1 to 3."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.square_patterns import block, flat_unit, frame, humps, pick, signs, tiles, window
from vauban.core.errors import ContractError
from vauban.core.losses import margin
from vauban.core.norms import L2, Ball, Linf
from vauban.core.parameters import Count, Range
from vauban.core.tensors import like, unit
from vauban.engine import Oracle, Steps

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Iterations, of 10 000, at which the share p of changed pixels is halved (section 3.2)."""

AHEAD = 16
"""Steps that are drawn in one call: a call costs as much for one step as for all of them."""


@dataclass(frozen=True)
class SquareState:
    """State of the Square Attack.

    Attributes:
        x: Images of highest margin so far, `(batch, ...)`.
        loss: That margin, `(batch,)`.
        ahead: Random numbers drawn ahead, `(batch, AHEAD, ...)` each.
    """

    x: Tensor
    loss: Tensor
    ahead: tuple[Tensor, ...]


@registry.register("square", norms=("linf", "l2"), needs="scores", targeted=True, randomised=True)
@dataclass(frozen=True)
class Square(Steps[SquareState]):
    """Random search: one random square is proposed per query and kept where it raises the margin.

    L-infinity: vertical stripes of x0 +- eps at the start, then squares of +-eps, one sign per channel. L2: a grid of
    tiles at the start, then the mass of two windows moves into one of them. The share of changed pixels is halved at
    `HALVINGS`, of 10 000 queries or rescaled to `steps`. Images `(batch, channel, height, width)`; vectors
    `(batch, features)` are one row of pixels, in linf only.

    Attributes:
        ball: The budget, in linf or l2.
        steps: Queries, the first one of the start.
        p: Share of pixels that a square covers at first. The default 0.8 is that of AutoAttack (arXiv:2003.01690); the
            paper has 0.05 (linf) and 0.1 (l2) for ImageNet.
        rescaled: Whether the halvings of p are rescaled to `steps`; AutoAttack keeps them where 10 000 queries have them,
            and stops before the smallest squares.

    Raises:
        ContractError: A value outside its range or another norm; when run, images of another shape.

    Departures: the margin serves targeted attacks too (the paper takes the cross-entropy); every sample has squares of its
    own; the L2 proposal is rescaled to the sphere of the ball before the clip to [0,1], as in the authors' released
    program.
    """

    ball: Ball = Linf(8 / 255)
    steps: Count = 5000
    p: Annotated[float, Range(0, 1, open_low=True)] = 0.8
    rescaled: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ball.norm not in (Linf, L2):
            raise ContractError(f"expected a linf or l2 ball for square, got {self.ball}")

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks."""
        return self.steps + 1, 0

    def start(self, oracle: Oracle, **per_sample: Tensor) -> SquareState:
        channels, height, width = frame(oracle.domain.x0)
        assert oracle.domain.ball is not None
        if oracle.domain.ball.norm is Linf:
            d = oracle.rng.signs("stripes", (channels, 1, width), dtype=oracle.domain.x0.dtype).expand(
                -1, -1, height, -1
            )
        elif oracle.domain.x0.dim() == 2:
            raise ContractError("expected images for square in l2, got vectors; use a linf ball")
        else:
            d = unit(tiles(oracle, channels, height, width))
        x = oracle.domain.project(
            oracle.domain.x0 + oracle.domain.ball.scale(oracle.domain.x0) * d.reshape(oracle.domain.x0.shape)
        )
        lowest = torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device)
        return SquareState(x, lowest, self._draw(oracle, 0))

    def step(self, oracle: Oracle, state: SquareState, t: int) -> SquareState:
        ahead = state.ahead if t % AHEAD else self._draw(oracle, t)
        x = state.x if t == 0 else self._proposal(oracle, state.x, [v[:, t % AHEAD] for v in ahead], t)
        loss = margin(oracle.scores(x), oracle.goal)
        better = loss > state.loss
        kept = oracle.domain.mix(state.x, x, like(better, x))
        return SquareState(kept, torch.where(better, loss, state.loss), ahead)

    def _draw(self, oracle: Oracle, t: int) -> tuple[Tensor, ...]:
        """For the steps from t on; L2: uniform numbers, L-infinity: first pixels of squares, channels that go up."""
        channels, height, width = frame(oracle.domain.x0)
        u = oracle.rng.uniform("square", (AHEAD, 5 + channels), t=t, dtype=torch.float64)
        assert oracle.domain.ball is not None
        if oracle.domain.ball.norm is L2:
            return (u,)
        h, w = torch.tensor([self._sides(t + k, height, width) for k in range(AHEAD)], device=u.device).T
        first = pick(u[:, :, 0], height - h + 1) * width + pick(u[:, :, 1], width - w + 1)
        return first[..., None, None], (u[:, :, 2 : 2 + channels, None] >= 0.5).long()

    def share(self, t: int) -> float:
        """The share of pixels that a square covers at step t."""
        at = t * 10_000 / self.steps if self.rescaled else t
        return math.ldexp(self.p, -sum(at > h for h in HALVINGS))

    def _sides(self, t: int, height: int, width: int) -> tuple[int, int]:
        """Height and width of the squares of step t."""
        area = self.share(t) * height * width
        side = min(max(round(math.sqrt(area)), 1), height, width)
        return (1, min(max(round(area), 1), width)) if height == 1 else (side, side)

    def _proposal(self, oracle: Oracle, x: Tensor, drawn: Sequence[Tensor], t: int) -> Tensor:
        assert oracle.domain.ball is not None
        if oracle.domain.ball.norm is Linf:
            return self._coloured(oracle, x, drawn[0], drawn[1], t)
        radius = oracle.domain.ball.scale(x)
        d = x - oracle.domain.x0
        return oracle.domain.project(oracle.domain.x0 + radius * unit(self._moved(d, drawn[0], radius, t)))

    def _coloured(self, oracle: Oracle, x: Tensor, first: Tensor, up: Tensor, t: int) -> Tensor:
        """Algorithm 2: inside a square every pixel goes to x0 +- eps, clipped."""
        channels, height, width = frame(x)
        pattern = block(channels, height, width, *self._sides(t, height, width), x.device)
        return oracle.domain.at_edges(x, first + pattern, up)

    def _moved(self, d: Tensor, u: Tensor, radius: Tensor, t: int) -> Tensor:
        """Algorithm 3: window 2 is emptied, and its mass and the unused part of the budget go to window 1."""
        channels, height, width = frame(d)
        side = max(round(math.sqrt(self.share(t) * height * width)), 3)
        side = min(side + 1 - side % 2, height, width)
        first, second = window(u[:, 0:2], d, side), window(u[:, 2:4], d, side)
        flat = d.flatten(2)
        old = flat.gather(2, first)
        rest = flat.scatter(2, first, 0)
        mass = old.square().sum(2, keepdim=True) + rest.gather(2, second).square().sum(2, keepdim=True)
        unused = (radius.reshape(-1, 1, 1).square() - flat.square().sum((1, 2), keepdim=True)).clamp_min(0)
        shape = humps(side, d.dtype, d.device)
        hump = (
            torch.where(u[:, 4, None, None] < 0.5, shape.T, shape).flatten(1)[:, None] * signs(u[:, 5:], d)[:, :, None]
        )
        new = flat_unit(hump + flat_unit(old)) * (mass + unused / channels).sqrt()
        return rest.scatter(2, second, 0).scatter(2, first, new).view_as(d)
