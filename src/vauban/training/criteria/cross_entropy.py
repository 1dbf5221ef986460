"""Cross-entropy, the criterion where none is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vauban.core.parameters import Parameters
from vauban.training.criteria import registry

if TYPE_CHECKING:
    from torch import Tensor


@registry.register("cross-entropy")
@dataclass(frozen=True)
class CrossEntropy(Parameters):
    """Mean of -log p(y) over the batch."""

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        from torch.nn import functional as F

        return F.cross_entropy(logits, y)


PLAIN = CrossEntropy()
"""The criterion where none is named."""
