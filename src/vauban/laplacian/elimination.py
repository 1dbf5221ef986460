"""Elimination order of the pixels of a grid, for `nested_dissection`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

Place = tuple[int, int]
TILE = 7  # the longest side of a tile


@dataclass(frozen=True, eq=False)
class EliminationLevel:
    """Fronts of one level, translates of one another: each has s pixels of its own and a ring of b others.

    Attributes:
        own: s.
        pixels: Pixels in the framed grid, the own ones first, int64 `(number, s + b)`.
        i: Positions in a front of the one of two neighbours, of which one at least is the front's own, int64 `(pairs,)`.
        j: Positions of the other.
        edges: Numbers of the edges between them, int64 `(number, pairs)`.
        halves: Numbers of white and of black fronts, which come in that order.
        rings: Rings of the white and of the black fronts, `(half, b)` each.
        child: For each child of a front, its number in the level before, `(number,)`.
        children: For each child, where its ring lies in the front, and which part of the ring that is.
    """

    own: int
    pixels: Tensor
    i: Tensor
    j: Tensor
    edges: Tensor
    halves: list[int]
    rings: list[Tensor]
    child: tuple[Tensor, ...]
    children: tuple[tuple[Tensor, Tensor], ...]


class EliminationPlan:
    """Levels of fronts that eliminate a height x width grid.

    A frame of pixels outside lies above and left of the image, and padding up to whole tiles below and right. The last
    front is the last row and column.

    Attributes:
        rows: Rows of the framed grid.
        columns: Columns of the framed grid.
        levels: From tiles to the last front.
    """

    def __init__(self, height: int, width: int, device: torch.device) -> None:
        (tall, down), (wide, across) = _tiles(height), _tiles(width)
        self.rows, self.columns = 1 + tall * 2**down, 1 + wide * 2**across
        self.levels: list[EliminationLevel] = []
        self._rank = torch.zeros(1, dtype=torch.long, device=device)  # where a front, row by row, comes in its level
        h, w, rows, columns = tall - 1, wide - 1, 2**down, 2**across
        own = [(r, c) for r in range(h) for c in range(w)]
        ring = _ring(h, w, rows, columns)
        self._add(own, ring, (tall, wide), (rows, columns), [], [], device)
        while rows * columns > 1:
            before = ring
            if columns > 1 and (columns >= rows):
                own, shift, w, columns = [(r, w) for r in range(h)], (0, w + 1), 2 * w + 1, columns // 2
            else:
                own, shift, h, rows = [(h, c) for c in range(w)], (h + 1, 0), 2 * h + 1, rows // 2
            ring = _ring(h, w, rows, columns)
            self._add(own, ring, (h + 1, w + 1), (rows, columns), before, [(0, 0), shift], device)
        last = [(h, c) for c in range(w + 1)] + [(r, w) for r in range(h)]
        self._add(last, [], (h + 1, w + 1), (1, 1), ring, [(0, 0)], device)

    @staticmethod
    @lru_cache(maxsize=16)
    def of(height: int, width: int, device: torch.device) -> EliminationPlan:
        """The plan of a grid, made once."""
        return EliminationPlan(height, width, device)

    def frame(self, v: Tensor) -> Tensor:
        """Signals v `(..., height, width)` on the framed grid, zero outside."""
        return F.pad(v, (1, self.columns - 1 - v.shape[-1], 1, self.rows - 1 - v.shape[-2]))

    def _add(
        self,
        own: Sequence[Place],
        ring: Sequence[Place],
        step: Place,
        number: Place,
        before: Sequence[Place],
        shifts: Sequence[Place],
        device: torch.device,
    ) -> None:
        """Append a level.

        Args:
            own: Own pixels of the first front, by row and column.
            ring: Its ring.
            step: Rows and columns from a front to the next.
            number: Fronts below and beside each other.
            before: The ring of the first front of the level before.
            shifts: Where the children begin in a front.
            device: Of the index tensors.
        """
        places = [*own, *ring]
        at = {place: k for k, place in enumerate(places)}

        def tensor(values: Sequence[int]) -> Tensor:
            return torch.tensor(values, dtype=torch.long, device=device)

        def spread(values: Tensor) -> Tensor:
            """Values of the first front, shifted to every front, `(number, values)`."""
            top = torch.arange(number[0], device=device) * (step[0] * self.columns)
            left = torch.arange(number[1], device=device) * step[1]
            shifted: Tensor = (top[:, None] + left).flatten()[:, None] + values
            return shifted

        links = [
            (at[a], at[b], (a[0] + 1) * self.columns + a[1] + 1 + below * self.rows * self.columns)
            for a in places
            for below, b in enumerate([(a[0], a[1] + 1), (a[0] + 1, a[1])])
            if b in at and min(at[a], at[b]) < len(own)
        ]
        i, j, edges = (tensor([link[k] for link in links]) for k in range(3))
        row, column = torch.arange(number[0], device=device), torch.arange(number[1], device=device)
        order = ((row[:, None] + column) % 2).flatten().argsort(stable=True)
        child, children = [], []
        for shift in shifts:
            pairs = [(at[p], k) for k, (r, c) in enumerate(before) if (p := (r + shift[0], c + shift[1])) in at]
            children.append((tensor([p for p, _ in pairs]), tensor([k for _, k in pairs])))
            split = [1 + (s > 0) for s in shifts[-1]]
            child_row, child_column = row * split[0] + (shift[0] > 0), column * split[1] + (shift[1] > 0)
            position = child_row[:, None] * (number[1] * split[1]) + child_column
            child.append(self._rank[position.flatten()[order]])
        self._rank = order.argsort()
        halves = [len(order) - len(order) // 2, len(order) // 2]
        pixels = spread(tensor([(r + 1) * self.columns + c + 1 for r, c in places]))[order]
        rings = list(torch.split(pixels[:, len(own) :].contiguous(), halves))
        self.levels.append(
            EliminationLevel(len(own), pixels, i, j, spread(edges)[order], halves, rings, tuple(child), tuple(children))
        )


def _tiles(side: int) -> tuple[int, int]:
    """(t, k): 2^k tiles of t pixels cover a side, the last pixel of a tile being the line between it and the next."""
    k = 0
    while -(-side // 2**k) > TILE:
        k += 1
    return max(2, -(-side // 2**k)), k


def _ring(h: int, w: int, rows: int, columns: int) -> list[Place]:
    """Pixels that h x w ones touch, without those outside the image for every one of the rows x columns fronts."""
    left = [(r, -1) for r in range(h)] if columns > 1 else []
    top = [(-1, c) for c in range(w)] if rows > 1 else []
    return [*left, *top, *[(r, w) for r in range(h)], *[(h, c) for c in range(w)]]
