"""Stability bounds of Zantedeschi, Nicolae and Rawat 2017 (arXiv:1707.06728), section 3.1: no certificates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vauban.core.errors import ContractError
from vauban.engine.network import quiet
from vauban.models.bounded_relu import BoundedReLU, LearnedReLU
from vauban.models.intervals import shapes_of
from vauban.models.sequential import steps_of
from vauban.models.steps import Affine, Step

CAVEAT = "no certificate: it says nothing of the order of the classes, and holds for every image alike"


def stability(network: nn.Module, x: Tensor) -> str:
    """What section 3.1 says of a network, in one line; "" where it is not sequential.

    ||F(x) - F(x + d)||_2 <= M ||d||_2 with M the product of the layers' Lipschitz constants, here of
    sqrt(||W||_1 ||W||_inf) >= ||W||_2 of each affine layer; behind a last bounded ReLU with d outputs
    <= t ||1|| = t sqrt(d), whatever the change and the weights.

    Args:
        network: The network.
        x: One image `(1, ...)`.
    """
    try:
        steps = steps_of(network, x, "the stability bound", True)
    except ContractError:
        return ""
    told = []
    with torch.no_grad(), quiet(list(network.modules())):
        if not any(map(_steep, network.modules())):
            told.append(f"the logits move by at most M = {lipschitz(steps, x.double()):.3g} times a change in L2")
        bound = bounded_width(network, x)
    if bound is not None:
        told.append(f"the outputs of its last bounded ReLU by at most t ||1|| = {bound:.3g}, whatever the change")
    return f"Stability bound of section 3.1 (arXiv:1707.06728), {CAVEAT}: {'; '.join(told)}." if told else ""


def _steep(part: nn.Module) -> bool:
    """Whether a rising layer may move its outputs by more than its inputs: windows of a pool may overlap."""
    return isinstance(part, nn.MaxPool2d) or (isinstance(part, nn.ELU) and float(part.alpha) > 1)


def lipschitz(steps: Sequence[Step], x: Tensor) -> float:
    """An upper bound of the L2 Lipschitz constant of steps whose rising functions have slopes of at most 1."""
    product = 1.0
    for step, shape in zip(steps, shapes_of(steps, x), strict=False):
        if isinstance(step, Affine):
            with torch.enable_grad():
                ones = torch.ones(1, *shape, dtype=x.dtype, device=x.device, requires_grad=True)
                rows = step.spread(ones)  # sums of the rows of |W|
                (columns,) = torch.autograd.grad(rows, ones, torch.ones_like(rows))
            product *= math.sqrt(float(rows.detach().abs().max()) * float(columns.abs().max()))
    return product


def bounded_width(network: nn.Module, x: Tensor) -> float | None:
    """t sqrt(d) of the last bounded ReLU that a network goes through, d its number of outputs; None for none."""
    seen: list[float] = []

    def note(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        t = float(module.max_val) if isinstance(module, BoundedReLU) else float(module.bound)  # type: ignore[arg-type]
        seen.append(t * math.sqrt(out[0].numel()))

    parts = [part for part in network.modules() if isinstance(part, (BoundedReLU, LearnedReLU))]
    handles = [part.register_forward_hook(note) for part in parts]
    try:
        network(x)
    finally:
        for handle in handles:
            handle.remove()
    return seen[-1] if seen else None
