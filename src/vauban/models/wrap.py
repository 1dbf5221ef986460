"""Make any classifier speak the contract: [0,1] images in, logits out, normalisation inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vauban.core.contracts import check_logits
from vauban.core.errors import ContractError

Picker = str | int | Callable[[Any], Tensor] | None


def pick_logits(output: Any, picker: Picker = None) -> Tensor:
    """The logits in what a network returned: a tensor, `.logits` (Hugging Face), a key, a position or a function of it."""
    found = output
    if callable(picker):
        found = picker(output)
    elif picker is not None:
        try:
            found = getattr(output, picker) if isinstance(picker, str) and hasattr(output, picker) else output[picker]
        except (KeyError, IndexError, TypeError):
            raise ContractError(
                f"expected logits at {picker!r} of what the model returns, {type(output).__name__}"
            ) from None
    elif not isinstance(output, Tensor):
        found = getattr(output, "logits", None)
        if found is None and isinstance(output, dict):
            found = output.get("logits")
    if not isinstance(found, Tensor):
        raise ContractError(
            f"expected the model to return logits or an object with .logits, got {type(output).__name__}; "
            "say where they are: wrap(model, logits=name, position or function)"
        )
    return found


class Normalised(nn.Module):
    """logits = module((x - mean) / std), mean and std per channel (or per feature), in pixel units of [0,1]."""

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        module: nn.Module,
        mean: Sequence[float] | float | None = None,
        std: Sequence[float] | float | None = None,
        logits: Picker = None,
    ) -> None:
        super().__init__()
        self.module = module
        self.picker = logits
        for name, given in (("mean", mean), ("std", std)):
            value = None if given is None else torch.as_tensor(given, dtype=torch.float32).reshape(-1)
            if value is not None and not bool(torch.isfinite(value).all()):
                raise ContractError(f"expected finite numbers in {name}, got {given}")
            self.register_buffer(name, value)
        if self.std is not None and bool((self.std <= 0).any()):
            raise ContractError(f"expected std > 0 in every channel, got {std}")

    def _constant(self, value: Tensor, x: Tensor, name: str) -> Tensor:
        if x.dim() < 2 or len(value) not in (1, x.shape[1]):
            raise ContractError(
                f"expected images (batch, {len(value)}, ...) for {len(value)} values of {name}, got shape {tuple(x.shape)}"
            )
        return value.to(x.dtype).reshape(1, -1, *(1,) * (x.dim() - 2))

    def forward(self, x: Tensor) -> Tensor:
        z = x
        if self.mean is not None:
            z = z - self._constant(self.mean, x, "mean")
        if self.std is not None:
            z = z / self._constant(self.std, x, "std")
        return check_logits(pick_logits(self.module(z), self.picker), len(x))


def wrap(
    module: nn.Module,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
    logits: Picker = None,
) -> Normalised:
    """A user's network as a vauban model: (x - mean) / std inside, `.logits` of Hugging Face outputs unwrapped.

    mean and std: per channel, or one number, in units of [0,1] images; None leaves the step out. logits: where the
    logits are when the network returns neither a tensor nor an object with `.logits` (a key, a position, a function).
    Raises ContractError on shapes that do not fit.
    """
    if not isinstance(module, nn.Module):
        raise ContractError(f"expected an nn.Module, got {type(module).__name__}; for other callables use oracle(fn)")
    return Normalised(module, mean, std, logits)


def bare(module: nn.Module) -> nn.Module:
    """The network whose tensors a weights file holds: without the normalisation around it."""
    return module.module if isinstance(module, Normalised) else module
