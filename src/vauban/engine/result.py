"""Result of a run, one row per sample."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from vauban.core.tensors import like


@dataclass(frozen=True)
class Result:
    """Images and costs of a run; every tensor is batch-leading.

    Attributes:
        crafted: The attack's own image, success or not (what adversarial training, transfer and filters need), `(batch,
            ...)`.
        adversarial: The best successful image, the original where none succeeded, `(batch, ...)`.
        rate: Share of the closing answers that reach the goal, 0 or 1 on a deterministic model, float64 `(batch,)`.
        distance: Of `adversarial` in the run's norm, infinite on failure, `(batch,)`.
        forwards, backwards: Passes of this run, int64 `(batch,)`.
        first: Backward passes spent when the first success was seen, -1 without one, int64 `(batch,)`.
        broken_by: Which of `Attack.stages_on` first reached `rate`, int64 `(batch,)`; -1 where that is not said, as
            by every attack that does not run others.
        spared: Whether the attack kept back a part of itself because the sample looked hopeless, bool `(batch,)`: such a
            sample is not known to withstand it, and some of them are audited, see `Attack.audit`.
    """

    crafted: Tensor
    adversarial: Tensor
    rate: Tensor
    distance: Tensor
    forwards: Tensor
    backwards: Tensor
    first: Tensor
    broken_by: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    spared: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.bool))

    def __post_init__(self) -> None:
        if not len(self.broken_by):
            object.__setattr__(self, "broken_by", torch.full_like(self.forwards, -1))
        if not len(self.spared):
            object.__setattr__(self, "spared", torch.zeros_like(self.forwards, dtype=torch.bool))

    @property
    def success(self) -> Tensor:
        """Whether more than half of the closing answers reach the goal, bool `(batch,)`."""
        return self.rate > 0.5

    def __len__(self) -> int:
        return len(self.crafted)

    def choose(self, other: Result, better: Tensor) -> Result:
        """Result of two runs in a row: `other` where `better`, self elsewhere, with the costs of both.

        Args:
            other: The later run, on the same rows.
            better: Which of its rows to take, `(batch,)`.
        """
        merged = {}
        for f in fields(self):
            mine, theirs = getattr(self, f.name), getattr(other, f.name)
            merged[f.name] = torch.where(like(better, mine), theirs, mine)
        merged["forwards"] = self.forwards + other.forwards
        merged["backwards"] = self.backwards + other.backwards
        later = torch.where(other.first >= 0, self.backwards + other.first, other.first)
        merged["first"] = torch.where(self.first >= 0, self.first, later)
        merged["spared"] = (self.spared | other.spared) & ~(merged["rate"] > 0.5)
        return Result(**merged)

    def at(self, index: Tensor) -> Result:
        """Result of some rows."""
        return Result(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def spread(self, index: Tensor, part: Result) -> Result:
        """Self with the rows `index` replaced by `part`."""
        merged = {}
        for f in fields(self):
            value = getattr(self, f.name).clone()
            value[index] = getattr(part, f.name)
            merged[f.name] = value
        return replace(self, **merged)


def untouched(x0: Tensor) -> Result:
    """Result of doing nothing: the originals, no success, no cost."""
    zeros = torch.zeros(len(x0), dtype=torch.int64, device=x0.device)
    distance = torch.full((len(x0),), torch.inf, dtype=x0.dtype, device=x0.device)
    rate = torch.zeros(len(x0), dtype=torch.float64, device=x0.device)
    return Result(x0, x0, rate, distance, zeros, zeros, zeros - 1)
