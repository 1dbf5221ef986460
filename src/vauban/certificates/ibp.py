"""Interval bound propagation (Gowal et al. 2018, arXiv:1810.12715)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from vauban.certificates import registry
from vauban.certificates.deterministic import Deterministic
from vauban.certificates.linear_rows import Region
from vauban.core.norms import Linf, Norm
from vauban.models.intervals import interval_margins
from vauban.models.steps import Step


@registry.register("ibp", norms=("linf",), bounds="plain")
@dataclass(frozen=True)
class IBP(Deterministic):
    """Interval bounds of the network itself: every layer's outputs lie between what the intervals before it allow.

    The affine layers after the last activation are folded into the class differences z_y - z_k, so that one affine layer is
    bounded exactly. Images outside [0,1] are not considered. Sequential networks of affine layers (Linear, convolutions,
    batch normalisation, average pools, the normalisation of `wrap`) and rising functions (ReLU and its kin, bounded
    ReLU, sigmoid, tanh, softplus, max pools). Loose but for networks that were trained for it.

    Attributes:
        largest: The largest radius that is tried, pixel units of [0,1].
        rounds: Radii are multiples of largest / 2^rounds: the radius is the largest of them that is proved.
    """

    rising: ClassVar[bool] = True

    @property
    def norm(self) -> Norm:
        return Linf

    def margins(self, steps: Sequence[Step], region: Region, label: Tensor) -> Tensor:
        return interval_margins(steps, region.box, label, True)
