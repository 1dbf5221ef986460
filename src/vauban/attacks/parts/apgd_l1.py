"""Auto-PGD in the L1 ball: sparse steps whose sparsity follows the best point. Croce and Hein, Mind the box: l1-APGD for
sparse adversarial attacks on image classifiers, 2021 (arXiv:2103.01208), sections 2 and 3."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vauban.attacks.parts.apgd_state import APGDState
from vauban.core.tensors import flat, like
from vauban.engine import Oracle

FIRST_SHARE = 0.2  # of the components that the first steps move
SPARSER = 1.5  # how much sparser than the best perturbation a step is, and how much a step shrinks
SHRUNK = 0.95  # a support below this share of the last one counts as still shrinking
SMALLEST = 0.1  # of the radius: the smallest step


@dataclass(frozen=True)
class APGDL1State(APGDState):
    """State of Auto-PGD in the L1 ball.

    Attributes:
        share: Share of the components that a step moves, `(batch,)`.
        support: Number of components that the best point had changed when last checked, `(batch,)`.
    """

    share: Tensor
    support: Tensor

    @classmethod
    def of(cls, state: APGDState) -> APGDL1State:
        """A state with the first share of components, and all of them as support."""
        components = float(state.x[0].numel())
        ones = torch.ones_like(state.step)
        return cls(**vars(state), share=FIRST_SHARE * ones, support=components * ones)


def project(x: Tensor, x0: Tensor, radius: Tensor) -> Tensor:
    """Projection on the L1 ball around x0 and [0,1] together (proposition 2.1).

    With v = x - x0 the nearest point is x0 + sign(v) min(max(|v| - s, 0), room), room = 1 - x0 where v > 0, else x0. The
    threshold s >= 0 is exact: the L1 norm falls piecewise linearly in s between the breakpoints |v| and |v| - room.

    Args:
        x, x0: Images `(batch, ...)`; x0 in [0,1].
        radius: L1 distances `(batch,)`.

    Returns:
        The nearest points `(batch, ...)`.
    """
    v, centre = flat(x - x0), flat(x0)
    size, room = v.abs(), torch.where(v > 0, 1 - centre, centre)
    breaks = torch.cat([size, size - room], 1).clamp_min(0)
    breaks, order = breaks.sort(1, descending=True)
    moving = torch.where(order < v.shape[1], 1, -1).cumsum(1).to(v.dtype)  # components that change just below a break
    drop = breaks - torch.cat([breaks[:, 1:], torch.zeros_like(breaks[:, :1])], 1)
    norm = (drop * moving).cumsum(1)  # at the next lower break
    over = norm > radius[:, None]
    at = over.to(torch.uint8).argmax(1, keepdim=True)  # the first interval in which the norm passes the radius
    s = breaks.gather(1, at) - (radius[:, None] - (norm - drop * moving).gather(1, at)) / moving.gather(
        1, at
    ).clamp_min(1)
    s = torch.where(over.any(1, keepdim=True), s, torch.zeros_like(s))
    return (centre + v.sign() * (size - s).clamp_min(0)).view_as(x).clamp(0, 1)  # the clamp is the minimum with room


def _within(oracle: Oracle, x: Tensor) -> Tensor:
    """The projection of x, with masked components put back."""
    assert oracle.domain.ball is not None
    assert isinstance(oracle.domain.ball.radius, Tensor)
    if oracle.domain.mask is not None:
        x = torch.where(oracle.domain.mask, x, oracle.domain.x0)
    return project(x, oracle.domain.x0, oracle.domain.ball.radius)


def start(oracle: Oracle, random: bool) -> APGDState:
    """The image, or the projection of Gaussian noise around it."""
    x = oracle.domain.x0
    if random:
        x = _within(oracle, x + oracle.rng.normal("start", tuple(x.shape[1:]), dtype=x.dtype))
    return APGDL1State.of(APGDState.at(x, step=1.0))


def period(steps: int) -> int:
    """Steps between two checkpoints."""
    return max(int(0.04 * steps), 1)


def review(state: APGDState, x0: Tensor) -> APGDState:
    """State after a checkpoint: the sparsity of the steps follows the best point; where its support shrank, the next step
    is the whole radius from it again, elsewhere the step shrinks."""
    assert isinstance(state, APGDL1State)
    support = flat(state.best != x0).sum(1).to(state.step.dtype)
    shrank = support < SHRUNK * state.support
    step = torch.where(shrank, torch.ones_like(state.step), (state.step / SPARSER).clamp_min(SMALLEST))
    share = support / (SPARSER * x0[0].numel())
    return replace(state.back_to_best(shrank), step=step, share=share, support=support)


def move(oracle: Oracle, state: APGDState) -> Tensor:
    """x + step eps s(g) on the largest `share` of the components of the gradient, equal in size, then projected."""
    assert isinstance(state, APGDL1State)
    assert oracle.domain.ball is not None
    size = flat(state.gradient).abs()
    count = (state.share * size.shape[1]).ceil().long().clamp(1, size.shape[1])
    least = size.sort(1, descending=True).values.gather(1, count[:, None] - 1)
    sign = (flat(state.gradient).sign() * (size >= least)).view_as(state.x)
    direction = sign / like(flat(sign).abs().sum(1).clamp_min(1), sign)
    return _within(oracle, state.x + like(state.step, sign) * oracle.domain.ball.scale(sign) * direction)
