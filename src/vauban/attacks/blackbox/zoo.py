"""ZOO. Chen, Zhang, Sharma, Yi, Hsieh, ZOO: zeroth order optimization based black-box attacks to deep neural networks
without training substitute models, 2017 (arXiv:1708.03999), algorithm 2, equations 4 to 6."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.differences import partials
from vauban.attacks.parts.importance import drawn, importance
from vauban.attacks.parts.penalty_search import Constant, PenaltySearch
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import Loss, margin
from vauban.core.parameters import Count, NonNegative, Positive, Share, StepRate
from vauban.core.tensors import flat
from vauban.engine import Oracle, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep

BETA1, BETA2, TINY = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class ZOOState:
    """State of ZOO at one constant per sample.

    Attributes:
        x: The iterate, `(batch, ...)`.
        m, v: Adam's moments of every coordinate, `(batch, features)`.
        count: Steps that Adam has taken in every coordinate, `(batch, features)`.
        c: Weight of the loss, `(batch,)`.
    """

    x: Tensor
    m: Tensor
    v: Tensor
    count: Tensor
    c: Tensor


@dataclass(frozen=True)
class ZOOSteps(Steps[ZOOState]):
    """Adam on some coordinates at a time of ||x - x0||_2^2 + c [kappa - margin(x)]_+, at one constant c per sample.

    Attributes:
        steps: Number of steps.
        coordinates: Coordinates of a step, two queries each.
        lr: Rate of Adam.
        h: Half the width of a difference.
        kappa: Margin from which the loss is zero.
        uniform: Share of the probability of being drawn that is spread evenly.
        region: Width in pixels of the regions of importance.
        lot: Coordinates that go at once.
    """

    steps: Count
    coordinates: Count
    lr: StepRate
    h: Positive
    kappa: NonNegative
    uniform: Share
    region: Count
    lot: Count
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"
    per_sample: ClassVar[tuple[str, ...]] = ("c",)

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample with enough features."""
        return self.steps * (2 * self.coordinates + 1) + 1, 0

    def start(self, oracle: Oracle, **per_sample: Tensor) -> ZOOState:
        zero = torch.zeros_like(flat(oracle.domain.x0))
        return ZOOState(oracle.domain.x0, zero, zero, zero, per_sample["c"])

    def step(self, oracle: Oracle, state: ZOOState, t: int) -> ZOOState:
        index = drawn(oracle, importance(oracle, state.x, self.region, self.uniform), self.coordinates, t)
        slope = state.c[:, None] * partials(oracle, state.x, index, self.h, self.lot, hinge(self.kappa))
        slope = slope + 2 * flat(state.x - oracle.domain.x0).gather(1, index)
        count = state.count.gather(1, index) + 1
        m = torch.lerp(slope, state.m.gather(1, index), BETA1)
        v = torch.lerp(slope.square(), state.v.gather(1, index), BETA2)
        move = self.lr * (m / (1 - BETA1**count)) / ((v / (1 - BETA2**count)).sqrt() + TINY)
        x = oracle.domain.project(flat(state.x).scatter_add(1, index, -move).view_as(state.x))
        oracle.scores(x)  # so that a success is recorded
        return ZOOState(
            x, state.m.scatter(1, index, m), state.v.scatter(1, index, v), state.count.scatter(1, index, count), state.c
        )


@registry.register("zoo", norms=("l2",), needs="scores", targeted=True, randomised=True)
@dataclass(frozen=True)
class ZOO(PenaltySearch):
    """Carlini and Wagner's objective descended coordinate by coordinate, with derivatives from two scores each.

    min_x ||x - x0||_2^2 + c [max(z_y - max_{k != y} z_k + kappa, 0)] over [0,1]. A step draws `coordinates` of them, takes
    the symmetric difference quotient of the loss in each (equation 6; the distance has its own derivative), and lets Adam
    move them, with moments and a count of steps for each coordinate. They are drawn without repetition and by
    importance: in proportion to the largest |x - x0| of their region in their channel (vectors: to their own), mixed with
    a uniform share. c is searched as in `cw-l2`. A step costs 2 coordinates + 1 queries, the last one of the new image;
    each c costs one more; the nearest success of all queries is kept. Images and feature vectors.

    Attributes:
        search_steps: Number of values of c.
        steps: Number of steps at each c.
        coordinates: Coordinates of a step, 2 queries each; all of an image that has no more.
        lr: Rate of Adam, in pixel units.
        c: First weight of the loss.
        kappa: Margin, in logits, that is asked for where it is above 0; an image with less is then no success.
        h: Half the width of a difference, in pixel units; at least one level where the oracle rounds.
        uniform: Share of the probability of being drawn that is spread evenly over all coordinates; 1: no importance
            sampling.
        region: Width in pixels of the square regions over which the largest change is taken.
        lot: Coordinates of one sample that go at once: a call holds batch x 2 lot images. Nothing but memory depends on it.

    Raises:
        ContractError: A value outside its range.

    Departures: the margin is of the logits: of their log-probabilities, the paper's, it is the same number; x itself for
    the coordinates of tanh, clipped to [0,1] (the paper's setting for ImageNet); differences are over the displacement
    that the network saw, so that a pixel at 0 or 1 has a one-sided one; `uniform`, without which a region that never
    changed is never drawn; no attack in spaces of reduced dimension; Newton's method is left out, which the paper finds
    behind Adam; no early abort.
    """

    search_steps: Count = 5
    steps: Count = 300
    coordinates: Count = 128
    lr: StepRate = 0.01
    c: Constant = 1.0
    kappa: NonNegative = 0.0
    h: Positive = 0.0001
    uniform: Share = 0.2
    region: Count = 4
    lot: Count = 64

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks and that has enough features."""
        return self.search_steps * (self.steps * (2 * self.coordinates + 1) + 1), 0

    def inner(self, oracle: Oracle) -> ZOOSteps:
        some = min(self.coordinates, oracle.domain.x0[0].numel())
        return ZOOSteps(self.steps, some, self.lr, self.h, self.kappa, self.uniform, self.region, self.lot)


def hinge(kappa: float) -> Loss:
    """[kappa - margin]_+, as a loss of logits and goal."""

    def value(logits: Tensor, goal: ResolvedGoal) -> Tensor:
        return (kappa - margin(logits, goal)).clamp_min(0)

    return value
