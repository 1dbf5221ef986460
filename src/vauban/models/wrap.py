"""Make any classifier speak the contract: [0,1] images in, logits out, normalisation inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vauban.core.contracts import check_logits
from vauban.core.errors import ContractError

Picker = str | int | Callable[[Any], Tensor] | None
Bound = float | Sequence[float] | Tensor


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


class Bounded(nn.Module):
    """logits = module(low + x (high - low)) for x in [0,1]: bounded data in its own units. See `bounded`."""

    low: Tensor
    high: Tensor

    def __init__(self, module: nn.Module, low: Bound, high: Bound, logits: Picker = None) -> None:
        super().__init__()
        self.module = module
        self.picker = logits
        for name, given in (("low", low), ("high", high)):
            value = torch.as_tensor(given, dtype=torch.float32)
            if not bool(torch.isfinite(value).all()):
                raise ContractError(f"expected finite numbers in {name}, got {given}")
            self.register_buffer(name, value.reshape(-1) if value.dim() == 0 else value)
        try:
            rising = bool((self.low < self.high).all())
        except RuntimeError:
            raise ContractError(
                f"expected low and high of one shape, got {tuple(self.low.shape)} and {tuple(self.high.shape)}"
            ) from None
        if not rising:
            raise ContractError("expected low < high in every feature; a constant feature is left out or masked")

    def _ends(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """low and high - low as they broadcast against a batch: along the first axis after it, or per component."""
        ends = []
        for value in (self.low, self.high):
            if value.dim() == 1 and x.dim() >= 2 and len(value) in (1, x.shape[1]):
                value = value.reshape(-1, *(1,) * (x.dim() - 2))
            elif value.shape != x.shape[1:]:
                raise ContractError(
                    f"expected data whose features {tuple(x.shape[1:])} fit the {tuple(value.shape)} bounds of this model"
                )
            ends.append(value.to(device=x.device, dtype=x.dtype))
        return ends[0], ends[1] - ends[0]

    def unit(self, data: Tensor) -> Tensor:
        """Data in its own units `(batch, ...)` as what attacks take: (data - low) / (high - low)."""
        low, width = self._ends(data)
        return (data - low) / width

    def data(self, x: Tensor) -> Tensor:
        """What attacks return, `(batch, ...)` in [0,1], in the units of the data: low + x (high - low)."""
        low, width = self._ends(x)
        return torch.addcmul(low, x, width)

    def radius(self, delta: Bound, like: Tensor) -> Tensor:
        """A bound delta >= 0 in units of the data as the radius of an attack on batches such as `like`: delta / (high -
        low), one per component where the widths differ; `Linf(model.radius(0.5, x))`."""
        _, width = self._ends(like)
        return torch.as_tensor(delta, dtype=like.dtype, device=like.device).expand_as(like) / width

    def forward(self, x: Tensor) -> Tensor:
        return check_logits(pick_logits(self.module(self.data(x)), self.picker), len(x))


def bounded(module: nn.Module, low: Bound, high: Bound, logits: Picker = None) -> Bounded:
    """A network that takes vectors or images in [low, high] as a vauban model: x in [0,1] is fed as low + x (high - low).

    low, high: a number, one per feature of a vector or channel of an image, or one per component `(...)` of a sample.
    `unit` and `data` convert to [0,1] and back. A bound Delta in units of the data is Delta_i / (high_i - low_i) here, a
    radius per component: `Linf(model.radius(Delta, x))`. Such data has no pixel levels: open threats with levels=None.
    logits: as for `wrap`. Raises ContractError on shapes that do not fit and unless low < high everywhere.
    """
    if not isinstance(module, nn.Module):
        raise ContractError(f"expected an nn.Module, got {type(module).__name__}; for other callables use oracle(fn)")
    return Bounded(module, low, high, logits)


def bare(module: nn.Module) -> nn.Module:
    """The network whose tensors a weights file holds: without the normalisation around it."""
    return module.module if isinstance(module, Normalised | Bounded) else module
