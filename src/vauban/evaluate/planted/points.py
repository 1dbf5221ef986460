"""Random points of a ball around one image, on its pixel grid: the cloud around it, and what a random search would try."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.core.norms import L1, Ball, Linf
from vauban.core.pixel_grid import PixelGrid
from vauban.core.rng import Stream
from vauban.core.tensors import unit

INNER = 0.95
"""Radius of the cloud, as a part of that of the ball."""
SIDES = (2, 4, 8, 16, 32, 64)
"""Sides of the tiles within which a change has one sign, pixels."""


@dataclass(frozen=True, eq=False)
class RandomPoints:
    """Random points of the ball around an image.

    Attributes:
        x: The image, `(1, ...)` in [0,1].
        ball: The bound ball around it: L-infinity, L2 or L1.
        levels: Pixel levels that the points are rounded to, inside the ball; None: none.
        rng: Random numbers of the image.
    """

    x: Tensor
    ball: Ball
    levels: int | None
    rng: Stream

    def cloud(self, n: int) -> Tensor:
        """n points uniform in 0.95 of the ball, `(n, ...)`; of all of it where 0.95 holds no pixel level beside x."""
        part = INNER
        if self.levels is not None and self.ball.norm is Linf:
            highest = float(self.ball.scale(self.x).max())
            part = INNER if INNER * highest * (self.levels - 1) >= 1 else 1.0
        noise = self._noise("inner", n)
        if self.ball.norm is not Linf:
            depth = self.rng.uniform("inner depth", (n,))[0].to(self.x.dtype) ** (1 / self.x.numel())
            noise = noise * depth.view(-1, *(1,) * (self.x.dim() - 1))
        return self._placed(noise, part)

    def trials(self, n: int, tag: str) -> Tensor:
        """n points for a search, `(n, ...)`: in turn uniform noise, corners, and signs in tiles."""
        noise = self._noise(tag, n)
        kind = torch.arange(n, device=self.x.device) % 3
        for k, change in ((1, self._corners), (2, self._tiles)):
            rows = (kind == k).nonzero().squeeze(1)
            noise[rows] = change(f"{tag} {k}", len(rows))
        return self._placed(noise, 1.0)

    def _noise(self, tag: str, n: int) -> Tensor:
        """Changes uniform in the cube, or on the sphere of L2 or L1, of radius one, `(n, ...)`."""
        shape = (n, *self.x.shape[1:])
        uniform = self.rng.uniform(tag, shape, dtype=self.x.dtype)[0]
        if self.ball.norm is Linf:
            return 2 * uniform - 1
        if self.ball.norm is L1:
            signs = self.rng.signs(f"{tag} signs", shape, dtype=self.x.dtype)[0]
            return unit(-signs * torch.log1p(-uniform), 1)
        return unit(self.rng.normal(f"{tag} normal", shape, dtype=self.x.dtype)[0])

    def _corners(self, tag: str, n: int) -> Tensor:
        """Changes by one amount with random signs: of all components in L-infinity, of a random share in L2 and L1."""
        shape = (n, *self.x.shape[1:])
        signs = self.rng.signs(tag, shape, dtype=self.x.dtype)[0]
        if self.ball.norm is Linf:
            return signs
        features = self.x.numel()
        share = features ** -self.rng.uniform(f"{tag} share", (n,))[0].to(self.x.dtype)
        taken = self.rng.uniform(f"{tag} taken", shape, dtype=self.x.dtype)[0].flatten(1)
        chosen = taken < torch.maximum(share[:, None], taken.amin(1, keepdim=True).nextafter(taken.new_ones(1)))
        return unit(signs * chosen.view_as(signs), self.ball.norm.p)

    def _tiles(self, tag: str, n: int) -> Tensor:
        """Changes whose sign is the same within tiles of a random side, in each channel."""
        shape = self.x.shape[1:]
        space = 2 if len(shape) == 3 else 1
        longest = max(shape[-space:])
        sides = [side for side in SIDES if side <= max(2, longest // 2)]
        parts = []
        for i, rows in enumerate(torch.arange(n).tensor_split(len(sides))):
            coarse = [math.ceil(size / sides[i]) for size in shape[-space:]]
            signs = self.rng.signs(f"{tag} {i}", (len(rows), *shape[:-space], *coarse), dtype=self.x.dtype)[0]
            for axis in range(-space, 0):
                signs = signs.repeat_interleave(sides[i], axis).narrow(axis, 0, shape[axis])
            parts.append(signs)
        whole = torch.cat(parts)
        return whole if self.ball.norm is Linf else unit(whole, self.ball.norm.p)

    def _placed(self, noise: Tensor, part: float) -> Tensor:
        """Images at changes of radius one: scaled to a part of the ball, clipped to [0,1], on the grid inside it."""
        wide, radius = self.x.expand(len(noise), *self.x.shape[1:]), self.ball.scale(self.x) * part
        ball = Ball(self.ball.norm, (part * torch.as_tensor(self.ball.radius)).expand(len(noise), *_own(self.ball)))
        images = ball.project((self.x + noise * radius).clamp(0, 1), wide)
        return images.clamp(0, 1) if self.levels is None else PixelGrid(self.levels, wide, ball).round(images)


def _own(ball: Ball) -> tuple[int, ...]:
    """Shape of the radius of one image: () or one for each component."""
    return tuple(torch.as_tensor(ball.radius).shape[1:])
