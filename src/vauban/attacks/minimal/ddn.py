"""Decoupled direction and norm. Rony et al., Decoupling direction and norm for efficient gradient-based L2 adversarial
attacks and defenses, 2019 (arXiv:1811.09600), algorithm 1; (2.20) of the thesis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.ascent import Ascent
from vauban.attacks.minimal.moves import cosine
from vauban.core.losses import Loss, auto
from vauban.core.tensors import like, unit
from vauban.engine import Ask
from vauban.engine.iterate import Keep, Stop


@dataclass(frozen=True)
class Sphere:
    """The image and the radius `(batch,)` of the sphere it was put on."""

    x: Tensor
    eps: Tensor


@registry.register("ddn", norms=("l2",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class DDN(Ascent[Sphere]):
    """Decoupled direction and norm: a gradient step, then back to a sphere that shrinks while the image is adversarial.

    eps <- (1 - gamma) eps where x is adversarial, (1 + gamma) eps elsewhere; d <- x - x0 + alpha_t g / ||g||_2;
    x <- Q(x0 + eps d / ||d||_2). alpha is annealed by a cosine from `alpha` to `alpha_last`; eps starts at `eps`, in
    pixel units; Q clips to [0,1] and rounds to the door's grid. One gradient per step. Loss: `auto` (the paper's
    cross-entropy wherever it has a gradient), option `margin`. Departures: the radius is the paper's own eps and not
    the thesis' ||x - x0||_2, which clipping makes smaller; where the gradient vanishes the direction is kept.
    """

    steps: int = 100
    eps: float = 1.0
    gamma: float = 0.05
    alpha: float = 1.0
    alpha_last: float = 0.01
    loss: Loss = auto
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"

    def start(self, ask: Ask, **knobs: Tensor) -> Sphere:
        return Sphere(ask.x0, torch.full_like(ask.x0.flatten(1)[:, 0], self.eps))

    def move(self, ask: Ask, state: Sphere, t: int, logits: Tensor, g: Tensor) -> Sphere:
        adversarial = ask.won(logits)
        eps = state.eps * torch.where(adversarial, 1 - self.gamma, 1 + self.gamma)
        d = state.x - ask.x0 + cosine(t, self.steps, self.alpha, self.alpha_last) * unit(g)
        return Sphere(ask.snap(ask.x0 + like(eps, d) * unit(d)), eps)
