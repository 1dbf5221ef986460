"""Optimisers of attacks that climb in free coordinates: Adam in few passes over the batch, and any of torch's.

Nothing is changed in place, and a memory is batch-leading, so that rows can be dropped.
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
"""A function of [parameters] that makes a torch optimiser."""
TINY = 1e-8


class Optimiser(Protocol):
    """Ascent in free coordinates z `(batch, ...)`."""

    def begin(self, z: Tensor) -> Any:
        """The memory before the first step."""

    def climb(self, z: Tensor, slope: Tensor, memory: Any, t: int) -> tuple[Tensor, Any]:
        """Step t = 0, 1, ... up `slope`, of the shape of z: the next coordinates and memory."""


@dataclass(frozen=True)
class AdamMoments:
    """Adam's running means of the slope, m, and of its square, v, `(batch, ...)`."""

    m: Tensor
    v: Tensor


@dataclass(frozen=True)
class Adam:
    """z + lr m' / (sqrt(v') + 1e-8), m' and v' without the bias of their start at zero.

    Kingma and Ba, Adam, 2015 (arXiv:1412.6980), algorithm 1.

    Attributes:
        lr: Rate; the attack that makes this object, one at each step, has checked it.
        beta1, beta2: Decay of the two running means.
    """

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
    """State of a torch optimiser.

    Attributes:
        names: Names of `rows` in torch's own state.
        rows: Tensors of the shape of z.
        rest: What is common to all rows (step counts).
    """

    names: tuple[str, ...]
    rows: tuple[Tensor, ...]
    rest: dict[str, Any]


@dataclass(frozen=True)
class TorchOptimiser:
    """A torch optimiser, made anew for each step around the remembered state; it descends on -slope.

    Every component must be stepped on its own. A trial on a few numbers shows whether it is: three rows together in one
    lasting optimiser against each row alone in renewed ones.

    Attributes:
        make: Function of [parameters] that makes the optimiser.

    Raises:
        ContractError: From `begin`: an optimiser that mixes components or needs a closure, or something that is none.
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
        """A parameter with the value of z, and a new optimiser of it."""
        p = z.detach().clone().requires_grad_(True)
        optimiser = self.make([p])
        if not isinstance(optimiser, torch.optim.Optimizer):
            raise ContractError(
                f"expected a function of [parameters] that returns a torch optimiser, got {type(optimiser).__name__}"
            )
        return p, optimiser

    def _try(self, dims: int) -> None:
        """Raises ContractError unless components of a tensor of `dims` dimensions are stepped on their own."""
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
