"""Sequential networks as the steps that bounds go through, read layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.errors import ContractError
from vauban.core.precision import HALF
from vauban.engine.network import predict, quiet
from vauban.models.bounded_relu import BoundedReLU, LearnedReLU
from vauban.models.lines import leaky_lines
from vauban.models.steps import (
    Affine,
    Rising,
    Step,
    clipping,
    normalised,
    normalising,
    pooling,
    shifted,
    softplus,
    weighted,
    without_writing,
)
from vauban.models.wrap import Bounded, Normalised


def trained_steps(network: nn.Module, needs: str) -> tuple[Step, ...]:
    """A network as steps in its own type, through which gradients reach its parameters. Raises as `steps_of`."""
    return tuple(_steps(network, "", needs, trained=True))


def steps_of(network: nn.Module, x: Tensor, needs: str, rising: bool) -> tuple[Step, ...]:
    """A network in evaluation mode as steps in float64.

    Args:
        network: The network.
        x: One image `(1, ...)`, on which the steps must answer what the network answers.
        needs: What needs them, as the message says it.
        rising: Whether rising functions without linear bounds are allowed.

    Raises:
        ContractError: A layer is none of those that are known, or the network is not the sequence of its layers or in half
            precision.
    """
    if half := next((p.dtype for p in network.parameters() if p.dtype in HALF), None):
        raise ContractError(
            f"expected a network in float32 or float64 for {needs}, got {half}; convert it, net.float()"
        )
    with quiet(list(network.modules())), torch.no_grad():
        steps = tuple(_steps(network, "", needs))
        for step in steps:
            lined = isinstance(step, Affine) or step.lines is not None or getattr(step, "window", None) is not None
            if not lined and not rising:
                raise _unknown(step.name, needs, "affine layers, (leaky, bounded) ReLU and plain max pools")
        z = x.double()
        for step in steps:
            z = step.apply(z)
        expected = predict(network, x).double()
    if z.shape != expected.shape or not torch.allclose(z, expected, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise ContractError(
            f"expected a network that answers as its layers one after the other for {needs}, got "
            f"{type(network).__name__}, which answers otherwise; it is not sequential"
        )
    return steps


def _unknown(name: str, needs: str, known: str) -> ContractError:
    return ContractError(f"expected {known} for {needs}, got {name}, through which it has no bounds")


def _steps(module: nn.Module, at: str, needs: str, trained: bool = False) -> Iterator[Step]:
    kind, name = type(module), f"{type(module).__name__} at {at or 'the top'}"
    if kind is nn.Sequential:
        for key, child in module.named_children():
            yield from _steps(child, f"{at}.{key}" if at else key, needs, trained)
    elif isinstance(module, Normalised) and module.picker is None and not module.binary:
        mean, std = (0.0 if module.mean is None else module.mean), (1.0 if module.std is None else module.std)
        yield shifted(name, partial(normalised, mean=mean, std=std), partial(normalised, mean=0.0, std=std))
        yield from _steps(module.module, f"{at}.module".lstrip("."), needs, trained)
    elif isinstance(module, Bounded) and module.picker is None:
        yield shifted(name, module.data, lambda r: module.data(r) - module.data(torch.zeros_like(r)))
        yield from _steps(module.module, f"{at}.module".lstrip("."), needs, trained)
    elif kind in (nn.Linear, nn.Conv1d, nn.Conv2d):
        yield weighted(module, name, trained)
    elif kind in (nn.BatchNorm1d, nn.BatchNorm2d) and module.running_mean is not None and not trained:
        yield normalising(module, name)
    elif kind in (nn.Flatten, nn.AvgPool2d, nn.AdaptiveAvgPool2d):
        yield Affine(name, module, module, module)
    elif kind in (nn.ReLU, nn.LeakyReLU) and 0 <= float(getattr(module, "negative_slope", 0.0)) < 1:
        slope = float(getattr(module, "negative_slope", 0.0))
        yield Rising(name, partial(F.leaky_relu, negative_slope=slope), partial(leaky_lines, slope=slope))
    elif isinstance(module, LearnedReLU) or kind in (nn.ReLU6, nn.Hardtanh, BoundedReLU):
        yield clipping(module, name)
    elif kind is nn.MaxPool2d:
        yield pooling(module, name)
    elif kind is nn.Softplus:
        yield softplus(module, name)
    elif kind in (nn.Sigmoid, nn.Tanh) or (kind is nn.ELU and float(getattr(module, "alpha", 1.0)) >= 0):
        yield Rising(name, without_writing(module))
    elif kind not in (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d):
        known = "Linear, Conv2d, pools, activations" if trained else "Linear, Conv2d, BatchNorm, pools, activations"
        raise _unknown(name, needs, f"a sequence of known layers ({known})")
