"""Linear bounds of ReLU networks, CROWN (Zhang et al. 2018, arXiv:1811.00866)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.certificates import registry
from vauban.certificates.bounds import linear_margins
from vauban.certificates.deterministic import Deterministic
from vauban.certificates.linear_rows import Region
from vauban.core.errors import ContractError
from vauban.core.norms import L2, Linf, Norm
from vauban.models.intervals import interval_margins
from vauban.models.steps import Step


@registry.register("crown", norms=("linf", "l2"), bounds="plain")
@dataclass(frozen=True)
class CROWN(Deterministic):
    """Linear bounds of the network itself: each ReLU between two lines, the class differences taken back to the image.

    The bounds before each ReLU come from the same method and are cut by intervals, and so are the class differences: a
    radius is never below that of `ibp`. Sequential networks of affine layers, (leaky, bounded) ReLU and max pools; images
    outside [0,1] are not considered. The cost grows with the number of neurons times that of a backward pass, which for a
    neuron of a convolution goes through its window alone.

    Attributes:
        norm: L-infinity or L2.
        largest: The largest radius that is tried, pixel units of [0,1].
        rounds: Radii are multiples of largest / 2^rounds: the radius is the largest of those tried that is proved.

    Raises:
        ContractError: Another norm.
    """

    norm: Norm = Linf

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm not in (Linf, L2):
            raise ContractError(f"expected norm of CROWN as linf or l2, got {self.norm.name}")

    def margins(self, steps: Sequence[Step], region: Region, label: Tensor) -> Tensor:
        low = interval_margins(steps, region.box, label, True)
        own = torch.arange(low.shape[1], device=low.device) == label[:, None]
        left = (~((low > 0) | own).all(1)).nonzero().squeeze(1)  # what intervals prove needs no lines
        if len(left):
            some = Region(region.x[left], region.radius[left], region.norm)
            low[left] = linear_margins(steps, some, label[left])
        return low
