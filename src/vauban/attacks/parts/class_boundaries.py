"""Linearised boundaries between the class that must be left and those that may be reached."""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.core.goals import ResolvedGoal
from vauban.core.losses import defended, logit_of, margin
from vauban.core.norms import Norm
from vauban.core.tensors import like
from vauban.engine import Oracle

TINY = 1e-12


def looked_at(oracle: Oracle, logits: Tensor, count: int) -> Tensor:
    """The true class, 'rejected' where there is that, and the largest wrong logits `(batch, classes)`: `(batch, count)`."""
    lead = [oracle.goal.y[:, None]]
    if oracle.goal.rejects:
        lead.append(torch.full_like(lead[0], oracle.classes - 1))
    wrong = oracle.goal.wrong_classes(logits).flip(1)
    return torch.cat([*lead, wrong[:, : max(1, count - len(lead))]], 1)


def boundaries(oracle: Oracle, x: Tensor, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Boundaries of an untargeted goal, linearised at x: one forward and a backward for each class.

    Args:
        oracle: Asked for one Jacobian.
        x: Images `(batch, ...)`.
        classes: As `looked_at` gives them, `(batch, k)`.

    Returns:
        Logits `(batch, classes)`, values z_j - z_own `(batch, m)` of the wrong classes, own the larger of the true class
        and 'rejected', and their gradients `(batch, m, ...)`.
    """
    logits, jacobian = oracle.jacobian(x, classes)
    z = logits.gather(1, classes)
    lead = 1 + oracle.goal.rejects
    own = z[:, :lead].argmax(1, keepdim=True)
    gradients = jacobian[:, lead:] - jacobian.take_along_dim(like(own[:, 0], jacobian), 1)
    return logits, z[:, lead:] - z.gather(1, own), gradients


def nearest_classes(oracle: Oracle, x: Tensor, logits: Tensor, norm: Norm, count: int, among: int = 10) -> Tensor:
    """Wrong classes whose linearised boundary is nearest, nearest first, int64 `(batch, count)`; untargeted.

    By (z_y - z_k) / ||grad (z_y - z_k)||_q, q the dual of the norm (DeepFool; as an order of targets MALT, Melamed et al.,
    arXiv:2407.02240). One forward, and a backward for each class that is looked at.

    Args:
        oracle: Asked for one Jacobian.
        x: Where the logits are linearised, `(batch, ...)`.
        logits: The logits there, `(batch, classes)`.
        norm: Of the distance.
        count: Number of classes; fewer where there are fewer.
        among: Classes that are looked at, the likeliest.
    """
    classes = looked_at(oracle, logits, among)
    _, lead, gradients = boundaries(oracle, x, classes)
    slope = torch.stack([norm.dual(g) for g in gradients.unbind(1)], 1).clamp_min(TINY)
    order = (-lead / slope).argsort(dim=1, stable=True)
    return classes[:, 1 + oracle.goal.rejects :].gather(1, order)[:, :count]


def lead_of_heading(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    """z_t - z_y toward the class t that an untargeted attack heads for, 'rejected' in the place of y where larger; with a
    target the margin, `(batch,)`."""
    if goal.target is not None or goal.toward is None:
        return margin(logits, goal)
    return logit_of(logits, goal.toward) - defended(logits, goal)
