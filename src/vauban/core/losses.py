"""Attack losses: (logits `(batch, classes)`, goal) -> `(batch,)`, larger is better for the attacker.

The oracle sums them and never averages, so a sample's gradient does not depend on its batch. "Targeted" below means a goal
with a heading: its target, or the class an untargeted attack moves toward.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.errors import ContractError, UnknownName
from vauban.core.goals import ResolvedGoal, of_goal

Loss = Callable[[Tensor, ResolvedGoal], Tensor]
SATURATED = 2.0**-20  # 1 - p(y) below this is noise in float32
TEMPERED = 6.0  # clean margin of the tempered cross-entropy


def rivals(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    """Logits of the classes that compete with the one the loss is about.

    Returns:
        The logits `(batch, classes)` with minus infinity for the heading or, without one, for y and for 'rejected', which
        is no success. A mask rather than a large number, so that a shift of the logits changes nothing.
    """
    own = goal.y if goal.heading is None else goal.heading
    others = logits.scatter(1, own[:, None], float("-inf"))
    if goal.rejects and goal.heading is None:
        others[:, -1] = float("-inf")
    return others


def defended(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    """The logit an untargeted attack must exceed, `(batch,)`: z_y, or that of 'rejected' where it is larger."""
    own = logit_of(logits, goal.y)
    return torch.maximum(own, logits[:, -1]) if goal.rejects else own


def logit_of(logits: Tensor, label: Tensor) -> Tensor:
    """The logit of one class of each sample, `(batch,)`."""
    return logits.gather(1, label[:, None]).squeeze(1)


@of_goal
def cross_entropy(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    """Cross-entropy: -log p(y) untargeted, log p(t) targeted.

    Where the last column means 'rejected', which is no success: untargeted -log (p(y) + p(rejected)).
    """
    if goal.heading is not None:
        return -F.cross_entropy(logits, goal.heading, reduction="none")
    if goal.rejects:
        return logits.logsumexp(1) - torch.logaddexp(logit_of(logits, goal.y), logits[:, -1])
    return F.cross_entropy(logits, goal.y, reduction="none")


@of_goal
def margin(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    """Margin: max_{k != y} z_k - z_y untargeted, z_t - max_{k != t} z_k targeted; positive where the goal is reached.

    Where the last column means 'rejected' it is no success: max_{k != y, rejected} z_k - max(z_y, z_rejected).
    """
    best = rivals(logits, goal).amax(1)
    return best - defended(logits, goal) if goal.heading is None else logit_of(logits, goal.heading) - best


@of_goal
def dlr(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    """Difference of logits ratio (Croce and Hein 2020, eq. 6, targeted eq. 7), invariant to shift and scale.

    -(z_y - max_{k != y} z_k) / (z_1 - z_3) untargeted, -(z_y - z_t) / (z_1 - (z_3 + z_4) / 2) targeted, with z_1 >= z_2
    >= ... the sorted logits. Targeted with 3 classes the denominator is z_1 - (z_2 + z_3) / 2.

    A class that is never given, of logit minus infinity, is in neither tail.

    Raises:
        ContractError: There are 2 classes: the ratio is -1 or 1 whatever the image, and has no gradient to follow.
    """
    classes = logits.shape[1]
    if classes < 3 or (classes == 3 and goal.rejects and bool((logits[:, -1] == -torch.inf).all())):
        raise ContractError("expected at least 3 classes for the loss dlr, got 2; use margin or auto")
    ordered = logits.sort(1, descending=True).values
    if goal.heading is not None:
        third = min(2, classes - 2)
        tail = (ordered[:, third] + ordered[:, third + 1]) / 2
        if goal.rejects:  # a source without that class has three others
            fewer = (ordered[:, third - 1] + ordered[:, third]) / 2
            tail = torch.where(ordered[:, third + 1] == -torch.inf, fewer, tail)
        gap = logit_of(logits, goal.heading) - logit_of(logits, goal.y)
    else:
        tail = ordered[:, 2]
        gap = margin(logits, goal)
    return gap / (ordered[:, 0] - tail + 1e-12)


@of_goal
def auto(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    """Cross-entropy, and the margin for the samples where the cross-entropy is saturated (the oracle counts them)."""
    lead = margin(logits, goal)
    return torch.where(_saturated(lead, goal), lead, cross_entropy(logits, goal))


def switched(value: Tensor, goal: ResolvedGoal) -> Tensor:
    """Whether `auto` returned the margin, `(batch,)`, from its values: cross-entropies have the other sign."""
    return _saturated(value, goal)


def _saturated(lead: Tensor, goal: ResolvedGoal) -> Tensor:
    """Whether a margin is so far from the goal that the cross-entropy is noise in float32, `(batch,)`."""
    gap = lead if goal.heading is None else -lead  # log(1 - p) to within log(classes) where p is near 1
    return gap < math.log(SATURATED)


@of_goal
def probability_margin(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    """Margin of probabilities: max_{k != y} p_k - p_y untargeted, p_t - max_{k != t} p_k targeted, p the softmax.

    Xie et al., arXiv:2411.15210. Its gradient vanishes where p(y) is 1 to float32.
    """
    return margin(logits.softmax(1), goal)


def tempered_cross_entropy(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    """Cross-entropy of logits over a temperature for each sample, at which the clean image leads by at most `TEMPERED`.

    The temperature is 1 for a sample whose clean margin is below that. A network whose logits are multiplied by a large
    number has no gradient of the cross-entropy in float32, and the same one of this.

    Raises:
        ContractError: The goal has no reference.
    """
    if goal.reference is None:
        raise ContractError(
            "expected a goal with the clean answers as reference for the tempered cross-entropy, got none"
        )
    lead = -margin(goal.reference, goal)
    return cross_entropy(logits / (lead / TEMPERED).clamp_min(1)[:, None].to(logits.dtype), goal)


def divergence(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    """KL(p(reference) || p(x)), p the softmax: how far an answer is from the clean one, whatever the labels are.

    What TRADES (arXiv:1901.08573) and virtual adversarial training (arXiv:1704.03976) raise.

    Raises:
        ContractError: The goal has no reference.
    """
    hint = "; train with the part trades or vat, which gives it, or attack with another loss"
    clean = _reference(goal, "divergence", hint).log_softmax(1)
    return (clean.exp() * (clean - logits.log_softmax(1))).sum(1)


def _reference(goal: ResolvedGoal, loss: str, hint: str = "") -> Tensor:
    """The clean answers `(batch, classes)` that a loss compares with. Raises ContractError where the goal has none."""
    if goal.reference is None:
        raise ContractError(f"expected a goal with the clean answers as reference for the loss {loss}, got none{hint}")
    return goal.reference


LOSSES: dict[str, Loss] = {"auto": auto, "ce": cross_entropy, "margin": margin, "dlr": dlr, "pm": probability_margin}


def loss_by_name(name: str | Loss) -> Loss:
    """A loss from its name, one of `LOSSES`, or a user's own function unchanged. Raises UnknownName."""
    if callable(name):
        return name
    if name not in LOSSES:
        raise UnknownName("loss", name, LOSSES)
    return LOSSES[name]


def loss_values(loss: Loss, logits: Tensor, goal: ResolvedGoal) -> Tensor:
    """Values of a loss, one per sample, `(batch,)`; a plain PyTorch loss (logits, y) is asked in its own way.

    Of a plain loss: its value at y untargeted, minus its value at the heading targeted, as `cross_entropy` does.

    Raises:
        ContractError: It returns something else; the message names the loss.
    """
    if not _plain(loss):
        return check_loss(loss(logits, goal), len(logits), loss)
    plain = cast(Callable[[Tensor, Tensor], Tensor], loss)
    if goal.heading is not None:
        return -check_loss(plain(logits, goal.heading), len(logits), loss)
    return check_loss(plain(logits, goal.y), len(logits), loss)


def check_loss(value: Any, batch: int, loss: Loss) -> Tensor:
    """Loss values, checked: one per sample, `(batch,)`. Raises ContractError, which names the loss."""
    if isinstance(value, Tensor) and value.shape == (batch,):
        return value
    name = getattr(loss, "__name__", type(loss).__name__)
    if not isinstance(value, Tensor):
        kind = type(value).__name__
    else:
        kind = "a single number" if value.dim() == 0 else f"shape {tuple(value.shape)}"
    raise ContractError(
        f"expected loss {name} to return one value per image, shape ({batch},), got {kind}; do not average: "
        "reduction='none' in PyTorch's losses"
    )


LABELS = frozenset({"y", "target", "targets", "label", "labels", "y_true", "true", "truth"})
"""Names of the second parameter of a plain loss where it is not annotated."""


def _plain(loss: Loss) -> bool:
    """Whether a loss takes labels as its second argument, by the annotation or else the name of that parameter."""
    try:
        return _takes_labels(loss)
    except TypeError:  # not hashable
        return _takes_labels.__wrapped__(loss)


@lru_cache(maxsize=64)
def _takes_labels(loss: Loss) -> bool:
    asked = loss.forward if isinstance(loss, nn.Module) else loss
    try:
        parameters = list(inspect.signature(asked).parameters.values())
    except ValueError:  # a built-in function without a signature
        return False
    if len(parameters) < 2:
        return False
    note = parameters[1].annotation
    kind = (note if isinstance(note, str) else getattr(note, "__name__", "")).split(".")[-1].strip("'\"")
    if kind in ("Tensor", ResolvedGoal.__name__):
        return kind == "Tensor"
    return parameters[1].name.lower() in LABELS
