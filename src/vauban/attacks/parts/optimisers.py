"""Optimisers of attacks that climb in free coordinates: Adam in few passes over the batch, and any of torch's.

`begin(z)` is what one remembers before the first step, `climb(z, slope, memory, t)` the next z and memory. Nothing is
changed in place, and a memory is batch-leading, so that rows can be dropped.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from vauban.core.errors import ContractError

OptimiserFactory = Callable[[list[Tensor]], Any]
TINY = 1e-8


class Optimiser(Protocol):
    def begin(self, z: Tensor) -> Any: ...
    def climb(self, z: Tensor, slope: Tensor, memory: Any, t: int) -> tuple[Tensor, Any]: ...


@dataclass(frozen=True)
class AdamMoments:
    """Running means of the slope and of its square, `(batch, ...)`."""

    m: Tensor
    v: Tensor


@dataclass(frozen=True)
class Adam:
    """z + lr m' / (sqrt(v') + 1e-8), m' and v' without the bias of their start at zero. Kingma and Ba, Adam, 2015
    (arXiv:1412.6980), algorithm 1."""

    lr: float
    beta1: float = 0.9
    beta2: float = 0.999

    def begin(self, z: Tensor) -> AdamMoments:
        zero = torch.zeros_like(z)
        return AdamMoments(zero, zero)

    def climb(self, z: Tensor, slope: Tensor, memory: AdamMoments, t: int) -> tuple[Tensor, AdamMoments]:
        m = torch.lerp(slope, memory.m, self.beta1)
        v = (self.beta2 * memory.v).addcmul_(slope, slope, value=1 - self.beta2)
        size = math.sqrt(1 - self.beta2 ** (t + 1))  # corrects the root of v, moved to the scalars
        rate = self.lr * size / (1 - self.beta1 ** (t + 1))
        return torch.addcdiv(z, m, v.sqrt().add_(TINY * size), value=rate), AdamMoments(m, v)


@dataclass(frozen=True)
class TorchOptimiserState:
    """The state of a torch optimiser: `rows` have the shape of z, `rest` (step counts) is common to all rows."""

    names: tuple[str, ...]
    rows: tuple[Tensor, ...]
    rest: dict[str, Any]


@dataclass(frozen=True)
class TorchOptimiser:
    """A torch optimiser, made anew for each step around the remembered state; it descends on -slope.

    Every component must be stepped on its own. A trial on a few numbers shows whether it is: three rows together in one
    lasting optimiser against each row alone in renewed ones. Raises ContractError otherwise, and for optimisers that
    need a closure.
    """

    make: OptimiserFactory

    def begin(self, z: Tensor) -> TorchOptimiserState | None:
        self._try(z.dim())
        return None

    def climb(
        self, z: Tensor, slope: Tensor, memory: TorchOptimiserState | None, t: int
    ) -> tuple[Tensor, TorchOptimiserState]:
        p, optimiser = self._made(z)
        if memory is not None:
            rows = {name: row.clone() for name, row in zip(memory.names, memory.rows, strict=True)}
            optimiser.state[p] = rows | copy.deepcopy(memory.rest)
        p.grad = -slope
        optimiser.step()
        state = dict(optimiser.state[p])
        rows = {k: v for k, v in state.items() if isinstance(v, Tensor) and v.shape == p.shape}
        rest = {k: v for k, v in state.items() if k not in rows}
        return p.detach(), TorchOptimiserState(tuple(rows), tuple(rows.values()), rest)

    def _made(self, z: Tensor) -> tuple[Tensor, Any]:
        p = z.detach().clone().requires_grad_(True)
        optimiser = self.make([p])
        if not isinstance(optimiser, torch.optim.Optimizer):
            raise ContractError(
                f"expected a function of [parameters] that returns a torch optimiser, got {type(optimiser).__name__}"
            )
        return p, optimiser

    def _try(self, dims: int) -> None:
        shape = (3, *(2,) * (dims - 1))
        z = torch.linspace(-1, 2, 3 * 2 ** (dims - 1), dtype=torch.float64).view(shape)
        slopes = [torch.sin((k + 1) * z) * torch.tensor([0.1, 1.0, 30.0]).view(3, *(1,) * (dims - 1)) for k in range(4)]
        together, optimiser = self._made(z)
        name = type(optimiser).__name__
        try:
            for slope in slopes:
                together.grad = -slope
                optimiser.step()
            singles = []
            for i in range(3):
                alone, memory = z[i : i + 1], None
                for t, slope in enumerate(slopes):
                    alone, memory = self.climb(alone, slope[i : i + 1], memory, t)
                singles.append(alone)
        except (TypeError, RuntimeError, ValueError) as error:
            reason = str(error).strip().split("\n")[0]
            raise ContractError(
                f"expected an optimiser that steps on gradients alone, without a closure, got {name}: {reason}"
            ) from error
        if not torch.allclose(torch.cat(singles), together.detach(), rtol=1e-9, atol=1e-12):
            raise ContractError(
                f"expected an optimiser that steps every component on its own (SGD, RMSprop, AdamW, ...), got {name}, "
                "which mixes samples or draws random numbers"
            )
