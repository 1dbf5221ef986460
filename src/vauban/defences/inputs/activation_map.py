"""Robust class activation map (Prakash et al. 2018, arXiv:1801.08926, section 5; CAM: Zhou et al. 2016, CVPR)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.errors import ContractError
from vauban.engine.network import quiet

CLASSES = 5


def robust_map(network: nn.Module, layer: nn.Module, x: Tensor) -> Tensor:
    """sum_i CAM_i / 2^i over the classes of the largest logits, bilinear at the images' size, scaled to [0,1].

    CAM_i = sum_k w_ik A_k, A_k the maps of the layer, w_ik the derivative of logit i summed over the pixels of A_k. The
    network answers in evaluation mode; no gradient reaches x. A map that is the same everywhere is 0.

    Args:
        network: The network, logits `(batch, classes)`.
        layer: A module in it whose output is `(batch, channels, height, width)`.
        x: Images `(batch, channel, height, width)`.

    Returns:
        `(batch, height, width)` of x.

    Raises:
        ContractError: A layer that is not used, or without such maps.
    """
    seen: list[Tensor] = []

    def held(_: nn.Module, __: object, output: Tensor) -> Tensor:
        if not isinstance(output, Tensor) or output.dim() != 4:
            got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ContractError(
                f"expected maps (batch, channels, height, width) from the layer of the activation map, got {got}"
            )
        seen.append(output.detach().requires_grad_())
        return seen[-1].clone()  # what follows may work in place

    handle = layer.register_forward_hook(held)
    try:
        with torch.enable_grad(), quiet(list(network.modules())):
            logits = network(x.detach().clone())
            best = logits.topk(min(CLASSES, logits.shape[1]), dim=1).values.sum(0).unbind()
    finally:
        handle.remove()
    if not seen or not logits.requires_grad:
        raise ContractError("expected a layer that the logits depend on for the activation map, got another")
    total = torch.zeros_like(seen[-1][:, 0])
    for i, one in enumerate(best):
        (slope,) = torch.autograd.grad(one, seen[-1], retain_graph=True)
        total = total + (slope.sum((2, 3), keepdim=True) * seen[-1].detach()).sum(1) / 2 ** (i + 1)
    size = (x.shape[2], x.shape[3])
    wide = F.interpolate(total[:, None].to(x.dtype), size, mode="bilinear", align_corners=False)[:, 0]
    low, high = wide.amin((1, 2), keepdim=True), wide.amax((1, 2), keepdim=True)
    return ((wide - low) / (high - low).clamp_min(torch.finfo(x.dtype).tiny)).clamp(0, 1)
