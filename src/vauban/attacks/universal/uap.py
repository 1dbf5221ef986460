"""Fitting a universal perturbation. Moosavi-Dezfooli, Fawzi, Fawzi, Frossard, Universal adversarial perturbations, 2017
(arXiv:1610.08401), algorithm 1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from vauban.attacks import fitters
from vauban.attacks.minimal.deepfool import DeepFool, DeepFoolState
from vauban.attacks.parts.ball_steps import check_norm
from vauban.attacks.parts.class_boundaries import looked_at
from vauban.attacks.parts.fit_oracles import FitOracles
from vauban.attacks.parts.fitter import FitCallback, FitResult
from vauban.attacks.universal.shift import KIND, UniversalPerturbation, shifted
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.goals import Goal, Untargeted
from vauban.core.norms import L2, Ball, Linf
from vauban.core.parameters import Count, NonNegative, Parameters, Range
from vauban.engine import BoundThreat, Oracle, iterate


@fitters.register(KIND, norms=("linf", "l2"), needs="gradients", targeted=True)
@dataclass(frozen=True)
class Universal(Parameters):
    """One v with ||v||_p <= eps that fools the share `rate` of the images.

    For each image x in order that x + v does not fool: dv the smallest L2 step that takes x + v over the boundary, by
    DeepFool; v <- P_{p,eps}(v + dv), P the projection on the ball. After each pass over all images the share of fooled
    ones is measured. Fooled: the network's label is another one than that of x itself (targeted: it is the target, and that
    of x is not), so the data's labels are not used. The last v counts.

    Attributes:
        ball: The budget, in linf or l2, with one radius for all images.
        rate: Share of fooled images at which the passes end.
        epochs: Passes at most.
        steps, classes, overshoot: As in `DeepFool`; the defaults are those of the authors' code.
        batch: Images of a batch of the data that are looked at together: their steps are computed from one v and the mean
            of these is added; 1 is the paper's algorithm, for which it does not matter how the data are divided into
            batches.

    Raises:
        ContractError: A value outside its range, another norm, or a radius per image.

    Departures: x + v and x + v + dv are clipped to [0,1], and dv is the change that is left of the step; a step that does
    not cross within `steps` is not added; the images keep their order in every pass.
    """

    ball: Ball = Linf(10 / 255)
    rate: Annotated[float, Range(0, 1, open_low=True)] = 0.8
    epochs: Count = 10
    steps: Count = 10
    classes: Annotated[int, Range(2)] = 10
    overshoot: NonNegative = 0.02
    batch: Count = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_norm(self.ball, Linf, L2)
        if isinstance(self.ball.radius, Tensor):
            raise ContractError(f"expected one radius for all images, got {self.ball}")

    def fit(
        self,
        threat: BoundThreat,
        batches: Iterable[Batch],
        goal: Goal | None = None,
        *,
        seed: int = 0,
        callback: FitCallback | None = None,
    ) -> FitResult[UniversalPerturbation]:
        """Fit v to images.

        Args:
            threat: Grants gradients, scores and labels, without budget or limit; levels=None fits as the paper does,
                without rounding.
            batches: Images, gone through twice per epoch; they may be made anew each time.
            goal: Untargeted by default.
            seed: Of a random network.
            callback: Called as callback(images, rate) after each pass.

        Raises:
            ContractError: A threat or batches of another kind.
        """
        if threat.budget is not None or threat.limit is not None:
            raise ContractError("expected a threat without budget and limit to fit a universal perturbation")
        oracles = FitOracles(threat, batches, goal or Untargeted(), seed)
        v, rate, epochs = oracles.still(), 0.0, 0
        while epochs < self.epochs and rate < self.rate:
            for oracle in oracles:
                v = self._over(oracle, v)
            reached = [self._fooled(oracle.confined(self.ball), v)[oracle.goal.aims] for oracle in oracles]
            rate, epochs = float(torch.cat(reached).double().mean().nan_to_num()), epochs + 1
            if callback is not None:
                callback(oracles.images, rate)
        return FitResult(
            UniversalPerturbation(v, self.ball), rate, oracles.images, epochs, oracles.forwards, oracles.backwards
        )

    def save(self, fitted: FitResult[UniversalPerturbation], path: Path, meta: dict[str, Any]) -> None:
        """Write the perturbation, what fitting it has cost, and `meta`."""
        told = {name: getattr(fitted, name) for name in ("rate", "images", "epochs", "forwards", "backwards")}
        fitted.attack.save(path, {**meta, "fit": told})

    def load(self, path: Path) -> UniversalPerturbation:
        """The attack that a file holds."""
        return UniversalPerturbation(file=path)

    def _fooled(self, oracle: Oracle, v: Tensor) -> Tensor:
        """Which images reach the goal with v added, `(batch,)`."""
        return oracle.reached(shifted(oracle, v))

    def _over(self, oracle: Oracle, v: Tensor) -> Tensor:
        """v after one pass over the images of an oracle."""
        inside = oracle.confined(self.ball)
        for rows in torch.split(torch.arange(len(oracle), device=v.device), self.batch):
            x = shifted(inside.rows(rows), v)
            logits = oracle.rows(rows).scores(x)
            goal = oracle.goal.rows(rows)
            left = goal.aims & ~goal.reached(logits)
            if bool(left.any()):
                v = self._project(v + self._step(oracle.rows(rows[left]), x[left], logits[left]))
        return v

    def _step(self, oracle: Oracle, x: Tensor, logits: Tensor) -> Tensor:
        """The mean of the smallest steps that take images over the boundary, of those that get there.

        Args:
            oracle: Access to the network, for the rows of x.
            x: Images `(batch, ...)`.
            logits: Of x, `(batch, classes)`.

        Returns:
            A step of the shape of one image.
        """
        inner = DeepFoolFrom(self.steps, L2, self.classes, self.overshoot, begin=x, logits=logits)
        result = iterate(inner, oracle)
        crossed = (result.adversarial - x)[result.success]
        return crossed.sum(0) / max(1, len(crossed))

    def _project(self, v: Tensor) -> Tensor:
        radius = torch.as_tensor(self.ball.radius, dtype=v.dtype, device=v.device)
        return self.ball.norm.project(v[None], radius[None])[0]


@dataclass(frozen=True)
class DeepFoolFrom(DeepFool):
    """DeepFool that begins at other images than the originals.

    Attributes:
        begin: Images `(batch, ...)`.
        logits: Of these, `(batch, classes)`.
    """

    begin: Tensor = field(kw_only=True)
    logits: Tensor = field(kw_only=True)

    def start(self, oracle: Oracle, **per_sample: Tensor) -> DeepFoolState:
        y, r = oracle.goal.y[:, None], (self.begin - oracle.domain.x0) / (1 + self.overshoot)
        classes = y if oracle.goal.target is not None else looked_at(oracle, self.logits, self.classes)
        return DeepFoolState(self.begin, r, classes, torch.zeros_like(oracle.goal.y))
