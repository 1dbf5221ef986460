"""Answers of a black box as logits: scores, probabilities, the largest of them, rounded ones, or labels alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from vauban.core.contracts import check_labels, check_logits
from vauban.core.errors import ContractError
from vauban.core.parameters import Count, Parameters, Range, Whole

Kind = Literal["scores", "probabilities", "labels"]
Classes = Annotated[int, Range(2)]
UNTOLD = -torch.inf
"""In the place of a score that a black box does not tell."""
SUM = 1e-3
"""By how much probabilities of one image may miss 1, beside what rounding takes."""


@dataclass(frozen=True)
class Answers(Parameters):
    """What a black box tells of an image; what it answers beyond that is left out before anybody sees it.

    Attributes:
        kind: `scores` are taken as logits, `probabilities` by their logarithms; of `labels` nothing else is told.
        classes: Number of classes; None: as many as there are scores.
        top: How many of the largest scores are told; None: all.
        digits: Decimals to which scores are rounded; None: not rounded.

    Raises:
        ContractError: A value out of its range, or values that do not go together.
    """

    kind: Kind = "scores"
    classes: Classes | None = None
    top: Count | None = None
    digits: Whole | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind == "labels" and not (self.top is None and self.digits is None):
            raise ContractError(
                "expected labels alone, got top or digits beside them, which are of scores; leave them out"
            )
        if self.top == 1 and self.kind == "scores":
            raise ContractError(
                "expected top=2 or more of scores, got 1, whose score alone says nothing; use answers=labels, or "
                "answers=probabilities where that is what it is"
            )
        if self.top is not None and self.classes is not None and self.top >= self.classes:
            raise ContractError(f"expected top below the {self.classes} classes, got {self.top}; leave it out for all")

    @property
    def grants(self) -> frozenset[str]:
        """What a threat may grant of them."""
        return frozenset({"labels"} if self.kind == "labels" else {"scores", "labels"})

    def logits(self, answer: Tensor, batch: int, name: str) -> Tensor:
        """Logits `(batch, classes)` float64 of an answer, whose largest is that of the label that was answered.

        Probabilities are floored at half of what rounding shows. A score that is not told lies below those that are: of
        probabilities what is left of 1 is shared evenly, other scores are one below the smallest.

        Args:
            answer: Scores `(batch, classes)`, `UNTOLD` where the service left them out; or labels `(batch,)`.
            batch: Number of images.
            name: What messages call the black box.

        Raises:
            ContractError: It is something else.
        """
        if answer.dim() == 1:
            return self._of_labels(answer, batch, name)
        scores = check_logits(answer if answer.is_floating_point() else answer.float(), batch).double()
        self._check(scores, name)
        label = scores.argmax(1)
        if self.kind == "labels":
            return one_hot(label, scores.shape[1]).double()
        told = self._told(scores)
        if self.digits is not None:
            scores = scores.round(decimals=self.digits)
        if not bool(told.all()):
            scores = scores.where(told, self._below(scores, told)[:, None])
        logits = scores.clamp_min(self._floor).log() if self.kind == "probabilities" else scores
        return _with_label(logits, label)

    def _of_labels(self, answer: Tensor, batch: int, name: str) -> Tensor:
        if self.kind != "labels":
            raise ContractError(
                f"expected scores ({batch}, classes) from the oracle {name!r}, got {tuple(answer.shape)}; "
                "if these are labels, say labels_only=True, as a word answers=labels"
            )
        if self.classes is None:
            raise ContractError(f"the oracle {name!r} returns labels; say how many classes there are: classes=...")
        if answer.is_floating_point() or answer.dtype == torch.bool:
            raise ContractError(f"expected integer labels from the oracle {name!r}, got {answer.dtype}")
        return one_hot(check_labels(answer.long(), batch, self.classes), self.classes).double()

    def _check(self, scores: Tensor, name: str) -> None:
        n = scores.shape[1]
        if self.classes is not None and n != self.classes:
            raise ContractError(f"expected {self.classes} scores per image from the oracle {name!r}, got {n}")
        if self.top is not None and self.top >= n:
            raise ContractError(f"expected top below the {n} classes of the oracle {name!r}, got {self.top}")
        known = scores if self.top is None else scores[scores != UNTOLD]
        if not bool(torch.isfinite(known).all()) or not bool((scores > UNTOLD).any(1).all()):
            raise ContractError(f"expected finite scores from the oracle {name!r}, got NaN or infinity")
        if self.kind != "probabilities":
            return
        rounding = n * 10.0**-self.digits if self.digits is not None else 0.0
        total = scores.clamp_min(0).sum(1)
        short = bool((total < 1 - SUM - rounding).any()) and bool((scores > UNTOLD).all())
        if bool((known < -SUM).any()) or bool((total > 1 + SUM + rounding).any()) or short:
            raise ContractError(
                f"expected probabilities that sum to 1 from the oracle {name!r}, got scores from {float(known.min()):.4g} "
                f"to {float(known.max()):.4g}; use answers=scores for anything else"
            )

    def _told(self, scores: Tensor) -> Tensor:
        """Which scores are told, bool `(batch, classes)`."""
        told = scores > UNTOLD
        if self.top is not None:
            largest = torch.zeros_like(told).scatter(1, scores.topk(self.top, 1).indices, True)
            told = told & largest
        return told

    def _below(self, scores: Tensor, told: Tensor) -> Tensor:
        """The score of every class that is not told, `(batch,)`."""
        smallest = scores.where(told, torch.inf).amin(1)
        if self.kind != "probabilities":
            return smallest - 1
        left = (1 - scores.where(told, 0).sum(1)).clamp_min(0) / (~told).sum(1).clamp_min(1)
        return torch.minimum(left, smallest)

    @property
    def _floor(self) -> float:
        """The smallest probability that a logarithm is taken of."""
        return torch.finfo(torch.float32).tiny if self.digits is None else 0.5 * 10.0**-self.digits


def _with_label(logits: Tensor, label: Tensor) -> Tensor:
    """The logits, that of the label just above one that it ties with: rounding changes no label."""
    top = logits.amax(1, keepdim=True)
    above = top + 1e-6 * top.abs().clamp_min(1)
    tied = logits.argmax(1, keepdim=True) != label[:, None]
    return torch.where(tied, logits.scatter(1, label[:, None], above), logits)
