"""Domain of an attack: unmasked components, ball, [0,1], pixel grid, and which images are known to lie in it."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from vauban.core.norms import Ball, Linf
from vauban.core.pixel_grid import PixelGrid
from vauban.core.precision import rounded_to
from vauban.core.tensors import flat


class Domain:
    """Where the images of some rows may be.

    Attributes:
        x0: The originals, `(batch, ...)` in [0,1].
        mask: True where the attacker may change a component, of the shape of x0; None: everywhere.
        ball: The bound ball in which the running attack moves; None: all of [0,1].
        limit: The bound ball that the threat enforces; None: no limit.
        grid: The pixel grid around x0; None: images are not rounded to levels.
        half: The half-precision type in which images are handed over, which they are rounded to without a grid; None: no
            such type.
    """

    def __init__(
        self,
        x0: Tensor,
        mask: Tensor | None = None,
        ball: Ball | None = None,
        limit: Ball | None = None,
        grid: PixelGrid | None = None,
        half: torch.dtype | None = None,
    ) -> None:
        self.x0, self.mask, self.ball, self.limit, self.grid, self.half = x0, mask, ball, limit, grid, half
        # quantised images, with their versions when made
        self._made: MutableMapping[Tensor, int] = WeakTensorKeyDictionary()
        self._edges: Tensor | None = None  # the lowest and the highest image inside the ball, `(batch, 2 features)`

    def __len__(self) -> int:
        return len(self.x0)

    def rows(self, index: Tensor) -> Domain:
        """Domain of some of the rows (a boolean mask or integers)."""
        x0 = self.x0[index]
        ball = None if self.ball is None else self.ball.rows(index)
        return Domain(
            x0,
            None if self.mask is None else self.mask[index],
            ball,
            None if self.limit is None else self.limit.rows(index),
            None if self.grid is None else replace(self.grid, x0=x0, ball=ball),
            self.half,
        )

    def confined(self, ball: Ball) -> Domain:
        """Domain of the same rows inside a bound ball."""
        grid = None if self.grid is None else replace(self.grid, ball=ball)
        return Domain(self.x0, self.mask, ball, self.limit, grid, self.half)

    def continuous(self) -> Domain:
        """Domain of the same rows without a pixel grid."""
        return Domain(self.x0, self.mask, self.ball, self.limit, None, self.half)

    def project(self, x: Tensor) -> Tensor:
        """Nearest point the attacker may use: unmasked components, the ball, then [0,1]."""
        if self.mask is not None:
            x = torch.where(self.mask, x, self.x0)
        if self.ball is not None:
            x = self.ball.project(x, self.x0)
        return x.clamp(0, 1)

    def quantise(self, x: Tensor) -> Tensor:
        """Image that the network is shown for x: masked, in [0,1], on the pixel grid."""
        if self.mask is not None:
            x = torch.where(self.mask, x, self.x0)
        x = x.clamp(0, 1) if self.grid is None else self.grid.round(x)
        if self.half is not None and self.grid is None:
            x = rounded_to(self.half, x, self.x0, self.ball)
        return self._remember(x)

    def quantised(self, x: Tensor) -> Tensor:
        """`quantise(x)`, not to be written to: x itself where this domain made it so and nobody changed it since."""
        return x if not x.is_inference() and self._made.get(x) == x._version else self.quantise(x)

    def mix(self, a: Tensor, b: Tensor, where: Tensor) -> Tensor:
        """Mixture of images: b where `where` is 1 or true, a where it is 0.

        With limits that hold for each component by itself - no ball, or an L-infinity one - a, b and the mixture are
        quantised images, so the mixture need not be rounded again.

        Args:
            a, b: Images `(batch, ...)`.
            where: 0 or 1; it broadcasts against them.
        """
        componentwise = self.ball is None or self.ball.norm is Linf
        if componentwise:
            a, b = self.quantised(a), self.quantised(b)
        x = torch.lerp(a, b, where.to(a.dtype))  # exact at 0 and 1, several times faster than torch.where
        return self._remember(x) if componentwise else x

    def at_edges(self, x: Tensor, index: Tensor, high: Tensor) -> Tensor:
        """Quantised image x with some components at the ends of an L-infinity ball.

        Args:
            x: Images `(batch, ...)`.
            index: Flat positions of the components, `(batch, ...)`.
            high: 1 for the upper end, 0 for the lower; broadcasts against `index`.

        Returns:
            Quantised images of the shape of x.
        """
        if self._edges is None:
            assert self.ball is not None
            assert self.ball.norm is Linf
            radius = self.ball.scale(self.x0)
            self._edges = torch.cat([flat(self.quantise(self.x0 - radius)), flat(self.quantise(self.x0 + radius))], 1)
        x = self.quantised(x)
        ends = self._edges.gather(1, torch.add(index, high, alpha=x[0].numel()).flatten(1))
        return self._remember(flat(x).scatter(1, index.flatten(1), ends).view_as(x))

    def admissible(self, x: Tensor) -> Tensor:
        """Whether each image is within the attack's ball and the threat's limit, `(batch,)`."""
        return inside(self.regions, x, self.x0)

    @property
    def regions(self) -> list[Ball]:
        """Balls that an image must be in: the attack's and the threat's limit, those there are, each once."""
        return [region for region in dict.fromkeys((self.ball, self.limit)) if region is not None]

    def _remember(self, x: Tensor) -> Tensor:
        if not x.is_inference():
            self._made[x] = x._version
        return x


def inside(regions: Sequence[Ball], x: Tensor, x0: Tensor) -> Tensor:
    """Whether each image is within all the bound balls around x0, `(batch,)`."""
    ok = torch.ones(len(x), dtype=torch.bool, device=x.device)
    for region in regions:
        ok = ok & region.contains(x, x0)
    return ok
