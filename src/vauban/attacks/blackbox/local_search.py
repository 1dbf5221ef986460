"""Greedy local search. Narodytska, Kasiviswanathan, Simple black-box adversarial attacks on deep neural networks, 2017
(arXiv:1612.06299), algorithm LocSearchAdv."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.pixel_trials import colours, painted, worth
from vauban.attacks.parts.square_patterns import frame
from vauban.core.norms import L0, Norm
from vauban.core.parameters import Count, Range, Whole
from vauban.engine import Oracle, Steps


@dataclass(frozen=True)
class LocalSearchState:
    """State of the local search.

    Attributes:
        x: The iterate, `(batch, ...)`.
        near: Pixels that the next round may ask about, bool `(batch, height, width)`.
    """

    x: Tensor
    near: Tensor


@registry.register("local-search", norms=("l0",), needs="scores", targeted=True, randomised=True)
@dataclass(frozen=True)
class LocalSearch(Steps[LocalSearchState]):
    """Greedy local search over pixels: those whose change hurts most are perturbed, then their neighbours are asked about.

    A round asks about `candidates` images, each with one pixel of the iterate sent to the far end of [0,1] in every
    channel; the `changed` pixels at which p(y) is lowest (targeted: p(t) highest) are perturbed for good by x -> 1/2 +
    r (x - 1/2), which a step of 1 brings back into [0,1] where it left it (the paper's CYCLIC); the next candidates are the
    pixels within `side` rows and columns of them. A round costs candidates + 1 queries, the last one of the new iterate.
    At most steps x changed pixels change, in all channels. Images `(batch, channel, height, width)`; vectors are one row
    of pixels.

    Attributes:
        steps: Rounds.
        candidates: Pixels of a round, 1 query each; all of an image that has no more.
        changed: Pixels that a round perturbs.
        side: Half the side of the square around a perturbed pixel.
        r: Factor of the perturbation about the middle of [0,1].
        lot: Queries of one sample that go at once: a call holds batch x lot images. Nothing but memory depends on it.

    Raises:
        ContractError: A value outside its range; when run, images of another shape.

    Departures: a pixel on trial goes to the far end of [0,1], where the paper lets it leave the image's range, on the side
    where it is; the first round is of `candidates` random pixels, the paper's of a tenth of the image; a neighbourhood
    with fewer pixels is filled up with others at random, one with more is thinned at random as the paper does;
    targeted goals; a pixel on trial that succeeds by itself is a success.
    """

    steps: Count = 150
    candidates: Count = 128
    changed: Count = 5
    side: Whole = 5
    r: Annotated[float, Range(1, 2, open_low=True)] = 1.5
    lot: Count = 64

    @property
    def norm(self) -> Norm:
        return L0

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks and that has enough pixels."""
        return self.steps * (self.candidates + 1) + 1, 0

    def start(self, oracle: Oracle, **per_sample: Tensor) -> LocalSearchState:
        x0 = oracle.domain.x0
        _, height, width = frame(x0)
        return LocalSearchState(x0, torch.ones(len(x0), height, width, dtype=torch.bool, device=x0.device))

    def step(self, oracle: Oracle, state: LocalSearchState, t: int) -> LocalSearchState:
        place = self._candidates(oracle, state.near, t)
        value = torch.cat([self._on_trial(oracle, state.x, some) for some in torch.split(place, self.lot, 1)], 1)
        best = place.gather(1, value.topk(min(self.changed, place.shape[1]), 1).indices)
        channels = frame(state.x)[0]
        colour = cyclic(colours(state.x, best, channels), self.r)
        x = oracle.domain.project(painted(state.x, best[:, None], colour[:, None]).squeeze(1))
        oracle.scores(x)  # so that a success is seen, and recorded
        return LocalSearchState(x, neighbours(state.near, best, self.side))

    def _candidates(self, oracle: Oracle, near: Tensor, t: int) -> Tensor:
        """Flat positions of the pixels to ask about, those of the neighbourhood first, `(batch, k)`."""
        key = oracle.rng.uniform("pixels", (near[0].numel(),), t=t, dtype=torch.float64) + near.flatten(1)
        if oracle.domain.mask is not None:
            channels = frame(oracle.domain.x0)[0]
            free = oracle.domain.mask.reshape(len(near), channels, -1).any(1)
            key = torch.where(free, key, key - 2)
        return key.topk(min(self.candidates, key.shape[1]), 1).indices

    def _on_trial(self, oracle: Oracle, x: Tensor, place: Tensor) -> Tensor:
        """Worth of the images with one pixel at the far end of [0,1] each, `(batch, k)`."""
        far = (colours(x, place, frame(x)[0]) < 0.5).to(x.dtype)
        return worth(oracle, painted(x, place[:, :, None], far[:, :, None]))


def cyclic(x: Tensor, r: float) -> Tensor:
    """1/2 + r (x - 1/2), brought back into [0,1] by a step of 1 (the paper's CYCLIC, between LB = -1/2 and UB = 1/2)."""
    moved = 0.5 + r * (x - 0.5)
    return moved - (moved > 1).to(x.dtype) + (moved < 0).to(x.dtype)


def neighbours(near: Tensor, place: Tensor, side: int) -> Tensor:
    """Pixels within `side` rows and columns of those at `place` `(batch, n)`, bool of the shape of `near`."""
    marked = torch.zeros(len(near), near[0].numel(), device=near.device).scatter(1, place, 1.0).view(near.shape)
    return F.max_pool2d(marked[:, None], 2 * side + 1, stride=1, padding=side).squeeze(1) > 0
