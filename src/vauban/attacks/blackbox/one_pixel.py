"""One-pixel attack. Su, Vargas, Sakurai, One pixel attack for fooling deep neural networks, 2019 (arXiv:1710.08864),
section III; differential evolution is Storn's and Price's (1997)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.pixel_trials import painted, worth
from vauban.attacks.parts.square_patterns import frame
from vauban.core.norms import L0, Norm
from vauban.core.parameters import Count, Range
from vauban.core.tensors import like
from vauban.engine import Oracle, Steps


@dataclass(frozen=True)
class OnePixelState:
    """State of the one-pixel attack.

    Attributes:
        genes: Row, column and colour of every pixel of every member, all in [0,1], `(batch, population, pixels, 2 +
            channels)`.
        value: Worth of each member, `(batch, population)`.
        x: Image of the best member, `(batch, ...)`.
    """

    genes: Tensor
    value: Tensor
    x: Tensor


@registry.register("one-pixel", norms=("l0",), needs="scores", targeted=True, randomised=True)
@dataclass(frozen=True)
class OnePixel(Steps[OnePixelState]):
    """Differential evolution over where a few pixels are and of what colour.

    A member is row, column and colour of `pixels` pixels. Step 0 draws the population: places uniformly, colours from
    N(1/2, 1/2). Every later step makes one child per member, g_1 + factor (g_2 - g_3) of three other members drawn
    at random (no crossover), which takes its parent's place where p(y) is no higher (targeted: p(t) no
    lower). A step costs `population` queries. At most `pixels` pixels change, in all channels. Images `(batch, channel,
    height, width)`; vectors are one row of pixels.

    Attributes:
        steps: Generations, with the first population.
        pixels: Pixels that may change.
        population: Members, 1 query each in every generation.
        factor: Scale of the difference.
        lot: Queries of one sample that go at once: a call holds batch x lot images. Nothing but memory depends on it.

    Raises:
        ContractError: A value outside its range; when run, images of another shape.

    Departures: a place outside the image is drawn anew, a colour outside [0,1] is clipped, of which the paper says
    nothing; a member that succeeds ends the run, the paper's at p(t) above 90 % or p(y) below 5 %; distances are counted
    in components, so a pixel of three channels counts up to three.
    """

    steps: Count = 100
    pixels: Count = 1
    population: Annotated[int, Range(4)] = 400
    factor: Annotated[float, Range(0, 2, open_low=True)] = 0.5
    lot: Count = 100

    @property
    def norm(self) -> Norm:
        return L0

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks."""
        return self.steps * self.population + 1, 0

    def start(self, oracle: Oracle, **per_sample: Tensor) -> OnePixelState:
        x0 = oracle.domain.x0
        shape = self.population, self.pixels
        place = oracle.rng.uniform("place", (*shape, 2), dtype=x0.dtype)
        colour = 0.5 + 0.5 * oracle.rng.normal("colour", (*shape, frame(x0)[0]), dtype=x0.dtype)
        lowest = torch.full((len(x0), self.population), -torch.inf, dtype=x0.dtype, device=x0.device)
        return OnePixelState(torch.cat([place, colour.clamp(0, 1)], 3), lowest, x0)

    def step(self, oracle: Oracle, state: OnePixelState, t: int) -> OnePixelState:
        genes = state.genes if t == 0 else self._children(oracle, state.genes, t)
        value = torch.cat([worth(oracle, self._images(oracle, some)) for some in torch.split(genes, self.lot, 1)], 1)
        fitter = value >= state.value
        genes = torch.where(like(fitter.flatten(), genes.flatten(0, 1)).view(*fitter.shape, 1, 1), genes, state.genes)
        value = torch.where(fitter, value, state.value)
        best = value.argmax(1)[:, None, None, None].expand(-1, 1, *genes.shape[2:])
        return OnePixelState(genes, value, self._images(oracle, genes.gather(1, best)).squeeze(1))

    def _children(self, oracle: Oracle, genes: Tensor, t: int) -> Tensor:
        """One child per member, of three others."""
        u = oracle.rng.uniform("parents", (self.population, 3), t=t, dtype=torch.float64)
        index = others(u)
        shape = genes.shape
        one, two, three = (genes.flatten(2).gather(1, i[:, :, None].expand(-1, -1, shape[2] * shape[3])) for i in index)
        child = (one + self.factor * (two - three)).view(shape)
        place = child[..., :2]
        anew = oracle.rng.uniform("place", tuple(place.shape[1:]), t=t, dtype=genes.dtype)
        return torch.cat([torch.where((place >= 0) & (place < 1), place, anew), child[..., 2:].clamp(0, 1)], 3)

    def _images(self, oracle: Oracle, genes: Tensor) -> Tensor:
        """The images that members stand for, `(batch, members, ...)`."""
        x0 = oracle.domain.x0
        _, height, width = frame(x0)
        row = (genes[..., 0] * height).long().clamp_max(height - 1)
        column = (genes[..., 1] * width).long().clamp_max(width - 1)
        return painted(x0, row * width + column, genes[..., 2:])


def others(u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Three members for each of n, different from it and from one another, each such triple equally likely.

    Args:
        u: Uniform numbers `(batch, n, 3)`.

    Returns:
        Positions `(batch, n)` each.
    """
    n = u.shape[1]
    first = 1 + (u[..., 0] * (n - 1)).long()  # as distances around the circle of members
    second = 1 + (u[..., 1] * (n - 2)).long()
    second = second + (second >= first)
    third = 1 + (u[..., 2] * (n - 3)).long()
    third = third + (third >= torch.minimum(first, second))
    third = third + (third >= torch.maximum(first, second))
    member = torch.arange(n, device=u.device)
    return (member + first) % n, (member + second) % n, (member + third) % n
