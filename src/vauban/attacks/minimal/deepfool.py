"""DeepFool (Moosavi-Dezfooli et al. 2016).

Moosavi-Dezfooli, Fawzi, Frossard, DeepFool: a simple and accurate method to fool deep neural networks, 2016
(arXiv:1511.04599), algorithm 2 and section 3.3; (2.21) of the thesis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.parts.class_boundaries import boundaries, looked_at
from vauban.core.errors import ContractError
from vauban.core.losses import margin
from vauban.core.norms import L2, Linf, Norm
from vauban.core.parameters import Count, NonNegative, Range
from vauban.core.tensors import like
from vauban.engine import Oracle, Steps
from vauban.engine.iterate import Stop
from vauban.engine.record import Keep

# A step of this length, in pixel units of the norm, leaves a tie between two classes. In half precision, whose logits lie
# far apart, it may not, and is doubled until it does.
SHORTEST = 1e-5


@dataclass(frozen=True)
class DeepFoolState:
    """State of DeepFool.

    Attributes:
        x: The iterate, `(batch, ...)`.
        r: Sum of the steps without overshoot, `(batch, ...)`.
        classes: The classes that are looked at, the true one and 'rejected', where there is that, first, `(batch, k)`.
        ties: Steps in a row that began at an exact tie, `(batch,)`.
    """

    x: Tensor
    r: Tensor
    classes: Tensor
    ties: Tensor


@registry.register("deepfool", norms=("l2", "linf"), needs="gradients", targeted=True)
@dataclass(frozen=True)
class DeepFool(Steps[DeepFoolState]):
    """DeepFool: step to the nearest of the linearised class boundaries until the label changes.

    With w_k = grad(z_k - z_y), f_k = z_y - z_k and q the dual of p: l = argmin_k |f_k| / ||w_k||_q, r <- r + |f_l| /
    ||w_l||_q s(w_l), x <- clip(x0 + (1 + overshoot) r), s the steepest direction of unit p-norm. The `classes` largest
    logits of the clean image are looked at: one forward that ranks them, then that many backwards per step. Targeted
    (not in the paper): the same step on the margin of the target, 1 backward. Where the last logit means 'rejected' the
    boundary is to the larger of z_y and that logit, which is looked at in the place of the last class.

    Attributes:
        steps: Number of steps.
        norm: L2 or L-infinity.
        classes: Number of classes that are looked at, the true one included.
        overshoot: Share of the way by which the image goes beyond the linearised boundary.

    Raises:
        ContractError: Another norm.
    """

    steps: Count = 50
    norm: Norm = L2
    classes: Annotated[int, Range(2)] = 10
    overshoot: NonNegative = 0.02
    stop: ClassVar[Stop] = "first"
    keep: ClassVar[Keep] = "first"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm not in (L2, Linf):
            raise ContractError(f"expected norm l2 or linf for deepfool, got {self.norm}")

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that nothing breaks."""
        return self.steps + 2, self.steps * self.classes

    def start(self, oracle: Oracle, **per_sample: Tensor) -> DeepFoolState:
        x0, y = oracle.domain.x0, oracle.goal.y
        targeted = oracle.goal.target is not None
        classes = y[:, None] if targeted else looked_at(oracle, oracle.clean_logits(), self.classes)
        return DeepFoolState(x0, torch.zeros_like(x0), classes, torch.zeros_like(y))

    def step(self, oracle: Oracle, state: DeepFoolState, t: int) -> DeepFoolState:
        if oracle.goal.target is not None:
            logits, (g,) = oracle.gradient(state.x, margin)
            f, w = -margin(logits, oracle.goal)[:, None], g[:, None]
        else:
            _, f, w = boundaries(oracle, state.x, state.classes)
        ties = torch.where((f == 0).any(1), state.ties + 1, 0)
        r = state.r + self._to_nearest(f.abs(), w, SHORTEST * 2.0 ** (ties - 1).clamp_min(0))
        return DeepFoolState(oracle.domain.project(oracle.domain.x0 + (1 + self.overshoot) * r), r, state.classes, ties)

    def _to_nearest(self, f: Tensor, w: Tensor, shortest: Tensor) -> Tensor:
        """Step to the nearest hyperplane f = <w, r>, `(batch, ...)`; zero where all w are.

        Args:
            f: Values, `(batch, k)`, not negative.
            w: Normals, `(batch, k, ...)`.
            shortest: Least length of a step, `(batch,)`.
        """
        distance = f / self.norm.dual(w.flatten(0, 1)).view_as(f)
        distance = torch.where(distance.isfinite(), distance, torch.inf)
        length, nearest = distance.min(1)
        towards = self.norm.steepest(w[torch.arange(len(w), device=w.device), nearest])
        length = torch.where(length.isfinite(), length.maximum(shortest.to(length.dtype)), 0)
        return like(length, towards) * towards
