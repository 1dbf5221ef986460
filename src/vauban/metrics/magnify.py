"""Adversarial magnification: an image divided by its own local contrast, which makes a perturbation visible."""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError
from vauban.laplacian.bilateral import bilateral
from vauban.metrics.base import check_tensors


@named_arguments
def magnify(x: Tensor, *, beta: float = 0.8, sigma_domain: float = 5.0, sigma_range: float = 5 / 255) -> Tensor:
    """Local structure (x - m) / (beta s + (1 - beta) S) of images, of any sign; 0 where the denominator is.

    m = b(x) is the bilateral filter of x, s = sqrt(b((x - m)^2)) with the filter guided by x, and S the standard deviation
    of the channel over the image. It needs no reference image. A constant image gives zero. H. Zhang's thesis (Deep
    learning in adversarial context, Rennes 2021), eq. 4.16, with two readings: the root of s has exponent +1/2 (printed
    -1/2), and the range width 5 of its figure 4.1 is 5 of 255 grey levels. The filter stops at three domain widths.

    Args:
        x: Images `(batch, channel, height, width)` in [0,1].
        beta: Share of the local deviation in the denominator, from 0 to 1.
        sigma_domain: Width of the filter in pixels.
        sigma_range: Width of the filter in units of x.

    Returns:
        Maps of the shape of x.

    Raises:
        ContractError: x are no images, beta lies outside [0, 1], or a width is not positive.
    """
    check_tensors(x)
    if x.dim() != 4 or not x.is_floating_point():
        raise ContractError(f"expected float images (batch, channel, height, width), got {x.dtype} {tuple(x.shape)}")
    if not 0 <= beta <= 1:
        raise ContractError(f"expected beta in [0, 1] for magnification, got {beta}")
    detail = x - bilateral(x, sigma_domain, sigma_range)
    local = bilateral(detail.square(), sigma_domain, sigma_range, guide=x).clamp_min(0).sqrt()
    # shifted by a pixel of its own, a constant channel has a deviation of exactly zero
    overall = (x - x[..., :1, :1]).std((2, 3), correction=0, keepdim=True)
    scale = beta * local + (1 - beta) * overall
    return torch.where(scale > 0, detail / scale, 0)
