"""Sequential networks as steps that bounds go through: affine maps, and functions that rise in every component."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.errors import ContractError
from vauban.engine.network import predict, quiet
from vauban.models.bounded_relu import BoundedReLU, LearnedReLU
from vauban.models.wrap import Bounded, Normalised

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Affine:
    """x -> W x + b on batches, and r -> |W| r."""

    name: str
    apply: Map
    spread: Map

    def folded(self, rows: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
        """Linear functions of the output as functions of the input.

        Args:
            rows: Coefficients `(n, *output)`.
            shape: Of one input.

        Returns:
            Coefficients `(n, *shape)` and constants `(n,)`.
        """
        trained = torch.is_grad_enabled()
        with torch.enable_grad():
            zero = torch.zeros(len(rows), *shape, dtype=rows.dtype, device=rows.device, requires_grad=True)
            out = self.apply(zero)
            (before,) = torch.autograd.grad(out, zero, rows, create_graph=trained)
            out = out if trained else out.detach()
        return before, (rows * out).flatten(1).sum(1)


@dataclass(frozen=True)
class Rising:
    """A function that rises in every component.

    Attributes:
        slope: That below 0 of a (leaky) ReLU, which has linear bounds; None for any other function.
    """

    name: str
    apply: Map
    slope: float | None = None


Step = Affine | Rising


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
        ContractError: A layer is none of those that are known, or the network is not the sequence of its layers.
    """
    with quiet(list(network.modules())), torch.no_grad():
        steps = tuple(_steps(network, "", needs))
        for step in steps:
            if isinstance(step, Rising) and step.slope is None and not rising:
                raise _unknown(step.name, needs, "affine layers and (leaky) ReLU")
        z = x.double()
        for step in steps:
            z = step.apply(z)
        expected = predict(network, x).double()
    if z.shape != expected.shape or not torch.allclose(z, expected, rtol=1e-3, atol=1e-4):
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
        yield Affine(name, partial(_normalised, mean=mean, std=std), partial(_normalised, mean=0.0, std=std))
        yield from _steps(module.module, f"{at}.module".lstrip("."), needs, trained)
    elif isinstance(module, Bounded) and module.picker is None:
        yield Affine(name, module.data, lambda r: module.data(r) - module.data(torch.zeros_like(r)))
        yield from _steps(module.module, f"{at}.module".lstrip("."), needs, trained)
    elif kind in (nn.Linear, nn.Conv1d, nn.Conv2d):
        yield _weighted(module, name, trained)
    elif kind in (nn.BatchNorm1d, nn.BatchNorm2d) and module.running_mean is not None and not trained:
        yield Affine(name, partial(_batch_norm, module), partial(_batch_norm_spread, module))
    elif kind in (nn.Flatten, nn.AvgPool2d, nn.AdaptiveAvgPool2d):
        yield Affine(name, module, module)
    elif kind in (nn.ReLU, nn.LeakyReLU) and 0 <= float(getattr(module, "negative_slope", 0.0)) < 1:
        slope = float(getattr(module, "negative_slope", 0.0))
        yield Rising(name, partial(F.leaky_relu, negative_slope=slope), slope)
    elif kind in (nn.ReLU6, nn.Hardtanh, BoundedReLU, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.ELU, nn.MaxPool2d):
        yield Rising(name, _without_writing(module))
    elif isinstance(module, LearnedReLU):
        yield Rising(name, lambda z: torch.minimum(z.clamp_min(0), module.bound.detach().to(z.dtype)))
    elif kind not in (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d):
        raise _unknown(name, needs, "a sequence of known layers (Linear, Conv2d, BatchNorm, pools, activations)")


def _weighted(module: nn.Module, name: str, trained: bool) -> Affine:
    own: dict[str, Tensor] = dict(module.named_parameters())
    held: dict[str, Tensor] = own if trained else {key: value.detach().double() for key, value in own.items()}
    sizes = {key: value.abs() if key == "weight" else torch.zeros_like(value) for key, value in held.items()}

    def called(x: Tensor, parameters: dict[str, Tensor]) -> Tensor:
        out: Tensor = torch.func.functional_call(module, parameters, (x,))
        return out

    return Affine(name, partial(called, parameters=held), partial(called, parameters=sizes))


def _normalised(x: Tensor, mean: Tensor | float, std: Tensor | float) -> Tensor:
    shape = (1, -1, *(1,) * (x.dim() - 2))
    low, wide = (v.to(x.dtype).reshape(shape) if isinstance(v, Tensor) else v for v in (mean, std))
    return (x - low) / wide


def _batch_norm(module: nn.Module, x: Tensor) -> Tensor:
    held = [getattr(module, name) for name in ("running_mean", "running_var", "weight", "bias")]
    doubled = [None if value is None else value.detach().double() for value in held]
    mean, var, weight, bias = doubled
    return F.batch_norm(x, mean, var, weight, bias, eps=_eps(module))


def _batch_norm_spread(module: nn.Module, r: Tensor) -> Tensor:
    zero = torch.zeros_like(r[:1])
    one = _batch_norm(module, torch.ones_like(r[:1])) - _batch_norm(module, zero)
    return r * one.abs()


def _eps(module: nn.Module) -> float:
    eps: Any = module.eps
    return float(eps)


def _without_writing(module: nn.Module) -> Map:
    return lambda z: module(z.clone())  # an activation may work in place
