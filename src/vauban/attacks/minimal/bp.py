"""Boundary projection, BP (Zhang et al. 2020).

Zhang, Avrithis, Furon, Amsaleg, Walking on the edge: fast, low-distortion adversarial examples, 2020
(arXiv:1912.02153), algorithms 1 and 2; chapter 5 of the thesis, whose equation numbers are quoted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.ascent import Ascent
from vauban.attacks.parts.minimal_steps import StateKind, remembered
from vauban.core.losses import Loss, auto
from vauban.core.norms import L2
from vauban.core.parameters import Count, NonNegative, Positive, Range
from vauban.core.tensors import dot, like, unit
from vauban.engine import Oracle
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep

TRIES = 7  # of the line search (5.7), of the 7 to 10 of section 5.3: with 2 it stops short, 4 % farther on CIFAR-10
SHY = 1e-4  # relative safety margin on the squared distance: the line search stops just inside the wanted radius
TINY = 1e-30


@dataclass(frozen=True)
class BPState:
    """State of boundary projection.

    Attributes:
        x: The iterate y_i, `(batch, ...)`.
        crossed: Whether the boundary has been crossed before, `(batch,)`: stage 2, else stage 1.
    """

    x: Tensor
    crossed: Tensor


def outward(rho: Tensor, size: Tensor, eps: Tensor, retreat: bool = False) -> tuple[Tensor, Tensor]:
    """Step of case OUT, (5.3)-(5.4): z on the plane through y orthogonal to u, at distance eps of x.

    z - x = along u + share r. Where the plane is farther than eps: its nearest point to x, or with `retreat` that point
    moved toward x down to eps.

    Args:
        rho: <r, u>, `(batch,)`, with r = y - x.
        size: ||r||, `(batch,)`.
        eps: The wanted distance of z, `(batch,)`.
        retreat: Whether z may leave the plane toward x.

    Returns:
        `along` and `share`, `(batch,)` each.
    """
    depth = rho.clamp(-eps, eps) if retreat else rho
    leaning = rho.square()
    across = (size.square() - leaning).clamp_min(TINY)  # of r, in the plane, squared
    share = ((eps.square() - leaning).clamp_min(0) / across).sqrt()
    return torch.addcmul(depth, share, rho, value=-1), share


def inward(rho: Tensor, size: Tensor, eps: Tensor) -> Tensor:
    """Length of the step of case IN, (5.9), from y along u, `(batch,)`: z is on the sphere of radius eps around x.

    Args:
        rho: <r, u>, `(batch,)`, with r = y - x.
        size: ||r||, `(batch,)`.
        eps: The radius, `(batch,)`, at least `size`.
    """
    return torch.addcmul(eps.square() - size.square(), rho, rho).clamp_min(0).sqrt() - rho


@registry.register("bp", norms=("l2",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class BP(Ascent[BPState]):
    """Boundary projection: reach the boundary, then walk along it while the distance falls.

    One gradient per iteration. With u = g / ||g||_2 the attacker's direction (the papers' -g), r = y - x and gamma_i
    rising from gamma_min to 1 (5.1): stage 1, until the first success: y <- Q(y + alpha gamma_i u). Stage 2, OUT where
    y is adversarial: z = `outward` at eps = gamma_i ||r||, y <- Q(y + b (z - y)) with b from a short search so that the
    rounded image is at the distance of z (5.7); IN elsewhere: z = `inward` at eps = ||r|| / gamma_i, y <- Q(y + b (z -
    y)) with b = max(1, beta_min / ||z - y||) (5.10), so that rounding does not undo the step. Q clips to [0,1] and
    rounds to the pixel grid of the threat. With state="free" Q only clips and b = 1: the state is never rounded, the
    network is shown rounded images all the same, and the nearest rounded success is kept. Rounding the one image that
    an attack without a grid ends with is a threat with levels=None whose images are rounded afterwards.

    Departures: stage 1 is rounded too, so that stage 2 starts on the grid. With `retreat`, OUT moves toward x down to
    eps where the whole plane is farther than that; as printed (retreat=False) z is then the plane's nearest point,
    which is y itself on a linear network: the distance of the first success is never reduced there.

    Attributes:
        steps: Number of steps, one gradient each.
        alpha: Length of the steps of stage 1, in pixel units (pixels in [0,1]) of L2, before its factor gamma_i.
        gamma_min: First value of gamma, the factor by which a step changes the distance; it rises to 1.
        beta_min: Least length of a step of case IN, in pixel units of L2, (5.10).
        loss: What is raised: `auto`, the papers' cross-entropy wherever it has a gradient; option `margin`, for which
            (5.2) makes the level set the boundary.
        state: "quantised" rounds the iterate in every step, the papers' Q_IN and Q_OUT; "free" remembers it unrounded.
        search: Whether a quantised state looks for b as above; False takes Q(z) (b = 1), as does a threat without a
            grid.
        retreat: Whether OUT leaves the plane toward the original where the plane is too far.
    """

    steps: Count = 20
    alpha: Positive = 2.0
    gamma_min: Annotated[float, Range(0, 1, open_low=True)] = 0.7
    beta_min: NonNegative = 0.1
    loss: Loss = auto
    state: StateKind = "free"
    search: bool = True
    retreat: bool = True
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"

    def start(self, oracle: Oracle, **per_sample: Tensor) -> BPState:
        return BPState(oracle.domain.x0, torch.zeros(len(oracle), dtype=torch.bool, device=oracle.domain.x0.device))

    def move(self, oracle: Oracle, state: BPState, t: int, logits: Tensor, g: Tensor) -> BPState:
        y = state.x
        gamma = self.gamma_min + t / (self.steps + 1) * (1 - self.gamma_min)
        out = oracle.won(logits)
        crossed = state.crossed | out
        r, u = y - oracle.domain.x0, unit(g)
        rho, size = dot(r, u), L2.size(r)
        eps = gamma * size
        along, share = outward(rho, size, eps, self.retreat)
        ahead = inward(rho, size, size / gamma)
        if self._searches(oracle):
            ahead = ahead.clamp_min(self.beta_min)  # (5.10)
        ahead = torch.where(crossed, ahead, self.alpha * gamma)
        # every case is a step z - y in the plane of r and u; only OUT has a part along r
        d = torch.addcmul(like((share - 1) * out, r) * r, like(torch.where(out, along, ahead), u), u)
        if not self._searches(oracle):
            return BPState(remembered(oracle.domain, self.state, y + d), crossed)
        square, wanted = size.square(), eps if self.retreat else torch.maximum(eps, rho.abs())
        beta = self._search(oracle, y, d, square, torch.addcmul(along * rho, share, square), wanted)
        return BPState(oracle.domain.quantise(torch.addcmul(y, like(torch.where(out, beta, 1), y), d)), crossed)

    def _search(self, oracle: Oracle, y: Tensor, d: Tensor, square: Tensor, inner: Tensor, wanted: Tensor) -> Tensor:
        """Factor b of (5.7) for case OUT, `(batch,)`.

        The smallest b at which the image y + b d, rounded, is no farther from x than z, nearly; at most the b of the
        point of the line that is nearest to x. ||r + b d||^2 = square + q ((foot - b)^2 - foot^2); rounding adds what
        the last try shows, nearly the same for the next b.

        Args:
            oracle: The rows.
            y: The iterates, `(batch, ...)`.
            d: z - y, `(batch, ...)`.
            square: ||r||^2, `(batch,)`.
            inner: <r, z - x>, `(batch,)`.
            wanted: The distance of z, `(batch,)`.
        """
        goal = wanted.square()
        p = square - inner
        q = torch.sub(goal + square, inner, alpha=2).clamp_min(TINY)  # ||d||^2
        foot, goal = p / q, goal * (1 - SHY)
        beta = torch.ones_like(p)
        low, most = torch.zeros_like(p), foot.clamp_min(1)
        high = most
        for _ in range(TRIES):
            rounded = L2.size(oracle.domain.quantise(torch.addcmul(y, like(beta, y), d)).sub_(oracle.domain.x0))
            far = rounded > wanted
            low, high = torch.where(far, beta, low), torch.where(far, high, beta)
            excess = rounded.square() - goal
            root = foot - torch.addcdiv((foot - beta).square(), excess, q, value=-1).clamp_min(0).sqrt()
            beta = root.where((low < root) & (root < high), torch.lerp(low, high, 0.5))
        return torch.where(high < most, high, beta)  # the nearest b inside, else the next try unseen

    def _searches(self, oracle: Oracle) -> bool:
        """Whether b is searched: not without a grid, nor for a free state."""
        return oracle.domain.grid is not None and self.state == "quantised" and self.search
