"""Label smoothing (Szegedy et al. 2016, arXiv:1512.00567, section 7), in the form of "Efficient Defenses" (2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor
from torch.nn import functional as F

from vauban.core.parameters import Parameters, Range
from vauban.training.criteria import registry


@registry.register("label-smoothing")
@dataclass(frozen=True)
class LabelSmoothing(Parameters):
    """Cross-entropy with the target `share` at the label and (1 - share) / (m - 1) at each of the m - 1 other classes.

    Zantedeschi et al. 2017 (arXiv:1707.06728) use share = 0.9. What PyTorch calls `label_smoothing=e` is the share
    1 - e + e / m.

    Attributes:
        share: Of the label, in (0, 1]; 1 is the cross-entropy.
    """

    share: Annotated[float, Range(0, 1, open_low=True)] = 0.9

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        others = logits.shape[1] - 1
        at_label = F.nll_loss(log := logits.log_softmax(1), y)
        if others == 0:
            return at_label
        at_others = -log.sum(1).mean() - at_label
        return self.share * at_label + (1 - self.share) / others * at_others
