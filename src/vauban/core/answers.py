"""Answer of a network: the label that a row of logits stands for, the rows that stand for none, and labels it can give."""

from __future__ import annotations

from torch import Tensor, nn

from vauban.core.contracts import check_labels
from vauban.core.errors import ContractError

NO_LABEL = -1
"""In the place of a label where the logits are not finite: equal to no label and to no target."""


ALL = frozenset({"gradients", "scores", "labels"})
"""What a network may be asked for."""


def revealed(network: nn.Module) -> frozenset[str]:
    """What a network can be asked for: all, or what the black boxes in it answer, each by its attribute `grants`."""
    told = ALL
    for part in network.modules():
        own = getattr(part, "grants", None)
        if isinstance(own, frozenset):
            told &= own
    return told


def hides_scores(network: nn.Module) -> bool:
    """Whether a black box in a network tells the largest scores alone, by its attribute `hides_scores`."""
    return any(getattr(part, "hides_scores", False) is True for part in network.modules())


def predicted(logits: Tensor) -> Tensor:
    """The class of the largest logit, int64 `(batch,)`; ties go to the first, NO_LABEL where that logit is not finite.

    The one reading of logits, for goals, verdicts and accuracies alike. A network that answers NaN or infinity has made an
    error on that image: the answer is not the label, so it counts as misclassified; an untargeted attack has reached its
    goal, a targeted one has not. Minus infinity beside a finite largest logit is a class that is never given.
    """
    top, label = logits.max(1)  # NaN where any logit is
    return label.where(top.isfinite(), NO_LABEL)


def check_answerable(y: Tensor, batch: int, logits: int, rejects: bool) -> Tensor:
    """Labels, checked against a network with some number of logits, the last of which may mean 'rejected'.

    Returns:
        y itself.

    Raises:
        ContractError: y has another type or shape, a label is none of the network's classes, or is 'rejected'.
    """
    if rejects and bool((check_labels(y, batch, logits) == logits - 1).any()):
        raise ContractError(
            f"expected labels in [0, {logits - 2}] for a model whose last of {logits} logits means 'rejected', got "
            f"{logits - 1}; does the model have a logit more than the data have classes?"
        )
    return check_labels(y, batch, logits)
