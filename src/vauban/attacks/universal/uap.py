"""Fitting a universal perturbation. Moosavi-Dezfooli, Fawzi, Fawzi, Frossard, Universal adversarial perturbations, 2017
(arXiv:1610.08401), algorithm 1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vauban.attacks import fitters
from vauban.attacks.minimal.deepfool import DeepFool, DeepFoolState
from vauban.attacks.parts.ball_steps import check_norm
from vauban.attacks.parts.fit_oracles import FitOracles
from vauban.attacks.parts.fitter import FitCallback, FitResult
from vauban.attacks.universal.shift import KIND, UniversalPerturbation, shifted
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.goals import Goal, Untargeted
from vauban.core.norms import L2, Ball, Linf
from vauban.engine import BoundThreat, Oracle, iterate


@fitters.register(KIND, norms=("linf", "l2"), needs="gradients", targeted=True)
@dataclass(frozen=True)
class Universal:
    """One v with ||v||_p <= eps that fools the share `rate` of the images.

    For each image x in order that x + v does not fool: dv the smallest L2 step that takes x + v over the boundary, by
    DeepFool with `steps`, `classes` and `overshoot`; v <- P_{p,eps}(v + dv). After each pass over all images the share of
    fooled ones is measured; `epochs` passes at most, or until it is at least `rate`. Fooled: the network's label is
    another one than that of x itself (targeted: it is the target), so the data's labels are not used. P is the projection
    on the ball; the last v counts. batch: images of a batch of the data that are looked at together: their steps are
    computed from one v and the mean of these is added; 1 is the paper's algorithm, for which it does not matter how the
    data are divided into batches. steps, classes and overshoot are the defaults of the authors' code. Raises ContractError
    for norms other than L-infinity and L2 and parameters out of range.

    Departures: x + v and x + v + dv are clipped to [0,1], and dv is the change that is left of the step; a step that does
    not cross within `steps` is not added; the images keep their order in every pass.
    """

    ball: Ball = Linf(10 / 255)
    rate: float = 0.8
    epochs: int = 10
    steps: int = 10
    classes: int = 10
    overshoot: float = 0.02
    batch: int = 1

    def __post_init__(self) -> None:
        check_norm(self.ball, Linf, L2)
        if isinstance(self.ball.radius, Tensor):
            raise ContractError(f"expected one radius for all images, got {self.ball}")
        if not 0 < self.rate <= 1 or min(self.epochs, self.steps, self.batch) < 1 or self.classes < 2:
            raise ContractError(f"expected 0 < rate <= 1, epochs, steps, batch >= 1 and classes >= 2, got {self}")

    def fit(
        self,
        threat: BoundThreat,
        batches: Iterable[Batch],
        goal: Goal | None = None,
        *,
        seed: int = 0,
        callback: FitCallback | None = None,
    ) -> FitResult[UniversalPerturbation]:
        """Fit v to the images of `batches`, which are gone through twice per epoch; they may be made anew each time.

        The threat grants gradients, scores and labels, without budget or limit; levels=None fits as the paper does, without
        rounding. seed: of a random network. Raises ContractError where the threat or the batches are not of this kind.
        """
        if threat.budget is not None or threat.limit is not None:
            raise ContractError("expected a threat without budget and limit to fit a universal perturbation")
        doors = FitOracles(threat, batches, goal or Untargeted(), seed)
        v, rate, epochs = doors.still(), 0.0, 0
        while epochs < self.epochs and rate < self.rate:
            for oracle in doors:
                v = self._over(oracle, v)
            reached = [self._fooled(oracle.confined(self.ball), v) for oracle in doors]
            rate, epochs = float(torch.cat(reached).double().mean()), epochs + 1
            if callback is not None:
                callback(doors.images, rate)
        return FitResult(
            UniversalPerturbation(v, self.ball), rate, doors.images, epochs, doors.forwards, doors.backwards
        )

    def save(self, fitted: FitResult[UniversalPerturbation], path: Path, meta: dict[str, Any]) -> None:
        """Write the perturbation, what fitting it has cost, and `meta`."""
        told = {name: getattr(fitted, name) for name in ("rate", "images", "epochs", "forwards", "backwards")}
        fitted.attack.save(path, {**meta, "fit": told})

    def load(self, path: Path) -> UniversalPerturbation:
        """The attack that a file holds."""
        return UniversalPerturbation(path)

    def _fooled(self, oracle: Oracle, v: Tensor) -> Tensor:
        return oracle.reached(shifted(oracle, v))

    def _over(self, oracle: Oracle, v: Tensor) -> Tensor:
        """v after one pass over the images of a door."""
        inside = oracle.confined(self.ball)
        for rows in torch.split(torch.arange(len(oracle), device=v.device), self.batch):
            x = shifted(inside.rows(rows), v)
            logits = oracle.rows(rows).scores(x)
            left = ~oracle.goal.rows(rows).reached(logits)
            if bool(left.any()):
                v = self._project(v + self._step(oracle.rows(rows[left]), x[left], logits[left]))
        return v

    def _step(self, oracle: Oracle, x: Tensor, logits: Tensor) -> Tensor:
        """The mean of the smallest steps that take the images x over the boundary, of those that get there."""
        inner = DeepFoolFrom(self.steps, L2, self.classes, self.overshoot, begin=x, logits=logits)
        found = iterate(inner, oracle)
        crossed = (found.adversarial - x)[found.success]
        return crossed.sum(0) / max(1, len(crossed))

    def _project(self, v: Tensor) -> Tensor:
        radius = torch.as_tensor(self.ball.radius, dtype=v.dtype, device=v.device)
        return self.ball.norm.project(v[None], radius[None])[0]


@dataclass(frozen=True)
class DeepFoolFrom(DeepFool):
    """DeepFool that begins at the images `begin` in place of the originals, where the logits are known."""

    begin: Tensor = field(kw_only=True)
    logits: Tensor = field(kw_only=True)

    def start(self, oracle: Oracle, **per_sample: Tensor) -> DeepFoolState:
        y, r = oracle.goal.y[:, None], (self.begin - oracle.domain.x0) / (1 + self.overshoot)
        if oracle.goal.target is None:
            y = torch.cat([y, oracle.goal.wrong_classes(self.logits).flip(1)[:, : self.classes - 1]], 1)
        return DeepFoolState(self.begin, r, y)
