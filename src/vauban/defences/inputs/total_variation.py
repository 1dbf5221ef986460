"""Total variation minimisation over a random part of the pixels (Guo et al. 2018, arXiv:1711.00117, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from vauban.core.parameters import NonNegative, Range
from vauban.defences.base import InputDefence, check_image, register

NORM = 9.0  # bound of |K|^2, K z = (differences of z, kept pixels of z): 8 of the differences, 1 of the mask


@register("total-variation")
@dataclass(frozen=True)
class TotalVariation(InputDefence):
    """The image z of least |M (z - x)| + weight TV(z), where the mask M keeps each component with a probability.

    TV(z) = sum_k (sum_i |z(i,:,k) - z(i-1,:,k)| + sum_j |z(:,j,k) - z(:,j-1,k)|), every norm that of L2 and none squared:
    of the mask over the whole image, of the differences over a row or a column. Images (batch, channel, height, width).
    The mask is from torch's global generator, which the oracle forks and seeds. z is found by the first-order primal-dual
    method of Chambolle and Pock (2011, doi:10.1007/s10851-010-0251-1, algorithm 1) and clipped to [0,1]. Guo, Rana, Cisse,
    van der Maaten 2018, arXiv:1711.00117, section 4; thesis of H. Zhang, Equations 6.1 and 6.2. BPDA differentiates the
    identity, as Athalye, Carlini, Wagner 2018 (arXiv:1802.00420, section 5.3) do.

    Attributes:
        keep: Probability that a component stays in the data term.
        weight: lambda, the weight of the total variation.
        iterations: Of the primal-dual method.

    Raises:
        ContractError: A value outside its range, or no batch of images.

    Departures: Equation 6.1 prints the mask as 1 - M, which would keep what was dropped; the thesis's p of the norms is 2.
    As the data term is not squared, a small weight keeps the remaining pixels exactly and fills in the others.
    """

    reference = "Guo, Rana, Cisse, van der Maaten 2018, arXiv:1711.00117"
    random: ClassVar[bool] = True
    differentiable: ClassVar[bool] = False
    draws: ClassVar[int] = 16
    keep: Annotated[float, Range(0, 1, open_low=True)] = 0.5
    weight: NonNegative = 0.03
    iterations: Annotated[int, Range(1, 100_000)] = 100

    def apply(self, x: Tensor) -> Tensor:
        check_image(x, "total variation")
        mask = (torch.rand_like(x) < self.keep).to(x.dtype)
        with torch.no_grad():
            return minimised(x, mask, self.weight, self.iterations).clamp(0, 1)


def minimised(x: Tensor, mask: Tensor, weight: float, iterations: int) -> Tensor:
    """The minimiser of `objective` after some iterations, from the image whose dropped components are its mean.

    Args:
        x: Images `(batch, channel, height, width)`.
        mask: 1 for what the data term keeps, else 0; of the shape of x.
        weight: Of the total variation.
        iterations: Of the primal-dual method.
    """
    pair, part = NORM**0.5, (1, 2, 3)
    tau = sigma = 0.99 / pair
    mean = (mask * x).sum(part, keepdim=True) / mask.sum(part, keepdim=True).clamp_min(1)
    z = mask * x + (1 - mask) * mean
    ahead = z
    data, down, across = torch.zeros_like(z), torch.zeros_like(z[:, :, 1:]), torch.zeros_like(z[..., 1:])
    for _ in range(iterations):
        data = _in_ball(data + sigma * mask * (ahead - x), part, 1.0)
        down = _in_ball(down + sigma * ahead.diff(dim=2), (3,), weight)
        across = _in_ball(across + sigma * ahead.diff(dim=3), (2,), weight)
        step = mask * data
        step[:, :, 1:] += down
        step[:, :, :-1] -= down
        step[..., 1:] += across
        step[..., :-1] -= across
        new = z - tau * step
        z, ahead = new, 2 * new - z
    return z


def objective(z: Tensor, x: Tensor, mask: Tensor, weight: float) -> Tensor:
    """|M (z - x)| + weight TV(z) of every image, `(batch,)`."""
    variation = z.diff(dim=2).norm(dim=3).sum((1, 2)) + z.diff(dim=3).norm(dim=2).sum((1, 2))
    value: Tensor = (mask * (z - x)).flatten(1).norm(dim=1) + weight * variation
    return value


def _in_ball(v: Tensor, part: tuple[int, ...], radius: float) -> Tensor:
    """v with every part of it projected on the L2 ball of a radius."""
    norm: Tensor = torch.linalg.vector_norm(v, dim=part, keepdim=True)
    return v * (radius / norm.clamp_min(torch.finfo(v.dtype).tiny)).clamp_max(1)
