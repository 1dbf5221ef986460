"""The bilateral filter in front of a network, whose transfer table is 4.3 of the thesis of H. Zhang (Deep learning in
adversarial context, Rennes 2021), section 4.4.4."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vauban.defences.base import InputDefence, check_image, check_positive, register
from vauban.laplacian.bilateral import bilateral


@register("bilateral")
@dataclass(frozen=True)
class Bilateral(InputDefence):
    """sum_q k(p, q) x_q / sum_q k(p, q), k = exp(-|p - q|^2 / (2 sigma_domain^2) - |x_p - x_q|^2 / (2 sigma_range^2)).

    q runs over the pixels of the image within 3 sigma_domain of p; |x_p - x_q| is the Euclidean distance over channels.
    Images (batch, channel, height, width) in [0,1]; sigma_domain in pixels, sigma_range in [0,1] units. The defaults are
    the source's, whose units are read so from their size: its domain kernel is narrower than a pixel, a neighbour on a
    flat region weighs 0.14. Differentiable, through its weights as well, hence attacked through its true gradient: the
    adaptive threat needs no BPDA. The table's attacker knows the network and not the filter; as a defence judge the filter
    by the adaptive threat. Raises ContractError unless both widths are finite and above 0, and for vectors.
    """

    reference = "Tomasi, Manduchi 1998, ICCV"
    sigma_domain: float = 0.5
    sigma_range: float = 0.2

    def __post_init__(self) -> None:
        check_positive("sigma_domain", self.sigma_domain)
        check_positive("sigma_range", self.sigma_range)

    def apply(self, x: Tensor) -> Tensor:
        return bilateral(check_image(x, "the bilateral filter"), self.sigma_domain, self.sigma_range)
