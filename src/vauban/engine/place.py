"""Where an image may be - unmasked components, the ball, [0,1], the pixel grid - and which images are known to be there."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from vauban.core.norms import Ball, Linf
from vauban.core.pixel_grid import PixelGrid
from vauban.core.tensors import flat


class Place:
    """x0: the originals; mask: what may change; ball: where the running attack may move (None: anywhere in [0,1]); limit:
    what the threat enforces; lattice: the pixel grid around x0, if any."""

    x0: Tensor
    mask: Tensor | None
    ball: Ball | None
    limit: Ball | None
    grid: PixelGrid | None
    _made: MutableMapping[Tensor, int]  # images as the network is shown them, and their versions when made
    _edges: Tensor | None  # the lowest and the highest image inside the ball, `(batch, 2 features)`

    def project(self, x: Tensor) -> Tensor:
        """The nearest point the attacker may use: unmasked components, the ball, then [0,1]."""
        if self.mask is not None:
            x = torch.where(self.mask, x, self.x0)
        if self.ball is not None:
            x = self.ball.project(x, self.x0)
        return x.clamp(0, 1)

    def quantise(self, x: Tensor) -> Tensor:
        """The image that the network is shown for x."""
        if self.mask is not None:
            x = torch.where(self.mask, x, self.x0)
        x = x.clamp(0, 1) if self.grid is None else self.grid.round(x)
        return self._remember(x)

    def shown(self, x: Tensor) -> Tensor:
        """`quantise(x)`, not to be written to: x itself where this view made it so and nobody changed it since."""
        return x if not x.is_inference() and self._made.get(x) == x._version else self.quantise(x)

    def mix(self, a: Tensor, b: Tensor, where: Tensor) -> Tensor:
        """b where `where` is 1 or true, a where it is 0; it broadcasts.

        With limits that hold for each component by itself - no ball, or an L-infinity one - a, b and what is made of them
        are images as the network is shown them, so the mixture need not be rounded again.
        """
        alone = self.ball is None or self.ball.norm is Linf
        if alone:
            a, b = self.shown(a), self.shown(b)
        x = torch.lerp(a, b, where.to(a.dtype))  # exact at 0 and 1, several times faster than torch.where
        return self._remember(x) if alone else x

    def at_edges(self, x: Tensor, index: Tensor, high: Tensor) -> Tensor:
        """x with the components at the flat positions `index` `(batch, ...)` at the ends of an L-infinity ball: the upper
        end where `high`, which broadcasts, is 1, the lower where it is 0; an image as the network is shown it."""
        if self._edges is None:
            assert self.ball is not None
            assert self.ball.norm is Linf
            radius = self.ball.scale(self.x0)
            self._edges = torch.cat([flat(self.quantise(self.x0 - radius)), flat(self.quantise(self.x0 + radius))], 1)
        x = self.shown(x)
        ends = self._edges.gather(1, torch.add(index, high, alpha=x[0].numel()).flatten(1))
        return self._remember(flat(x).scatter(1, index.flatten(1), ends).view_as(x))

    def _forget(self) -> None:
        """Begin anew with other rows or another ball."""
        self._made = WeakTensorKeyDictionary()
        self._edges = None

    def _remember(self, x: Tensor) -> Tensor:
        if not x.is_inference():
            self._made[x] = x._version
        return x

    def admissible(self, x: Tensor) -> Tensor:
        """Whether each image is within the attack's ball and the threat's limit, `(batch,)`."""
        return inside(self.regions, x, self.x0)

    @property
    def regions(self) -> list[Ball]:
        """The attack's ball and the threat's limit, those there are."""
        return [region for region in dict.fromkeys((self.ball, self.limit)) if region is not None]


def inside(regions: Sequence[Ball], x: Tensor, x0: Tensor) -> Tensor:
    """Whether each image is within all the regions around x0, `(batch,)`."""
    ok = torch.ones(len(x), dtype=torch.bool, device=x.device)
    for region in regions:
        ok = ok & region.contains(x, x0)
    return ok
