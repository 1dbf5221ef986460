"""Wrappers that make any classifier keep the contract: [0,1] images in, logits out, normalisation inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vauban.core.arguments import named_arguments
from vauban.core.cards import Card
from vauban.core.contracts import check_logits
from vauban.core.errors import ContractError, short
from vauban.models import registry
from vauban.models.logits import Picker, pick_logits, two_classes

Bound = float | Sequence[float] | Tensor


class Normalised(nn.Module):
    """A network behind its normalisation: logits = module((x - mean) / std).

    Attributes:
        module: The network.
        mean: Per channel or feature, or one number, in units of [0,1]; None for none.
        std: Likewise.
        picker: Where the logits are in what the network returns, see `pick_logits`.
        binary: Whether the network returns one logit, of which two are made, see `two_classes`.
        card: With `rejects`: the last logit means 'rejected'.

    Raises:
        ContractError: A mean or a std is not finite, or a std is not positive.
    """

    mean: Tensor | None
    std: Tensor | None

    @named_arguments
    def __init__(
        self,
        module: nn.Module,
        mean: Sequence[float] | float | None = None,
        std: Sequence[float] | float | None = None,
        logits: Picker = None,
        binary: bool = False,
        rejects: bool = False,
    ) -> None:
        super().__init__()
        self.module = module
        self.picker = logits
        self.binary = binary
        self.card = Card("wrap", rejects=True) if rejects else None
        for name, given in (("mean", mean), ("std", std)):
            value = None if given is None else torch.as_tensor(given, dtype=torch.float32).reshape(-1)
            if value is not None and not bool(torch.isfinite(value).all()):
                raise ContractError(f"expected finite numbers in {name}, got {given}")
            self.register_buffer(name, value)
        if self.std is not None and bool((self.std <= 0).any()):
            raise ContractError(f"expected std > 0 in every channel, got {std}")

    def _constant(self, value: Tensor, x: Tensor, name: str) -> Tensor:
        """A mean or a std in a shape that broadcasts over x. Raises ContractError where the numbers of channels differ."""
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
        picked = pick_logits(self.module(z), self.picker)
        return check_logits(two_classes(picked) if self.binary else picked, len(x))


@registry.register(
    "wrap", positional="module", weights="own", words={"module": "model", "mean": "numbers", "std": "numbers"}
)
@named_arguments
def wrap(
    module: nn.Module,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
    logits: Picker = None,
    binary: bool = False,
    rejects: bool = False,
) -> Normalised:
    """A user's network as a vauban model: (x - mean) / std inside, `.logits` of Hugging Face outputs unwrapped.

    Args:
        module: The network.
        mean: Per channel, or one number, in units of [0,1] images; None leaves the step out.
        std: Likewise.
        logits: Where the logits are when the network returns neither a tensor nor an object with `.logits`: a key, a
            position or a function.
        binary: Make two classes of a network with one logit z, 0 and 1 where z > 0.
        rejects: The network has one logit more than the data have classes, the last, which means 'rejected'.

    Raises:
        ContractError: The module is none, or numbers are not finite; when called, shapes do not fit.

    Example:
        >>> model = wrap(network, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
        >>> model = load("wrap:module=[net.py:make:weights=w.pt],mean=0.5,binary=true")
    """
    return Normalised(_module(module), mean, std, logits, binary, rejects)


def _module(module: Any) -> nn.Module:
    if isinstance(module, type) and issubclass(module, nn.Module):
        raise ContractError(f"expected an nn.Module, got {short(module)}")
    if not isinstance(module, nn.Module):
        raise ContractError(
            f"expected an nn.Module, got {type(module).__name__}; of other callables vb.models.black_box(fn) makes a model"
        )
    return module


class Bounded(nn.Module):
    """A network of bounded data in their own units: logits = module(low + x (high - low)) for x in [0,1].

    Attributes:
        module: The network.
        low: Lower bounds, see `bounded`.
        high: Upper bounds.
        picker: Where the logits are in what the network returns.

    Raises:
        ContractError: A bound is not finite, the shapes differ, or low < high does not hold everywhere.
    """

    low: Tensor
    high: Tensor

    @named_arguments
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
        """low and high - low in shapes that broadcast over x: along the first axis after the batch, or per component."""
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
        """Data in their own units `(batch, ...)` as what attacks take in [0,1]: (data - low) / (high - low)."""
        low, width = self._ends(data)
        return (data - low) / width

    def data(self, x: Tensor) -> Tensor:
        """What attacks return, `(batch, ...)` in [0,1], in the units of the data: low + x (high - low)."""
        low, width = self._ends(x)
        return torch.addcmul(low, x, width)

    def radius(self, delta: Bound, like: Tensor) -> Tensor:
        """Radius of an attack for a bound in units of the data: delta / (high - low), one per component.

        Args:
            delta: The bound >= 0: a number, or a tensor that broadcasts to `like`.
            like: A batch such as will be attacked, `(batch, ...)`.

        Example:
            >>> ball = Linf(model.radius(0.5, x))
        """
        _, width = self._ends(like)
        return torch.as_tensor(delta, dtype=like.dtype, device=like.device).expand_as(like) / width

    def forward(self, x: Tensor) -> Tensor:
        return check_logits(pick_logits(self.module(self.data(x)), self.picker), len(x))


@named_arguments
def bounded(module: nn.Module, low: Bound, high: Bound, logits: Picker = None) -> Bounded:
    """A network that takes vectors or images in [low, high] as a vauban model: x in [0,1] is fed as low + x (high - low).

    `unit` and `data` convert to [0,1] and back. A bound Delta in units of the data is Delta_i / (high_i - low_i) here, a
    radius per component: `Linf(model.radius(Delta, x))`. Such data have no pixel levels: open threats with levels=None.

    Args:
        module: The network.
        low: Lower bound: a number, one per feature of a vector or channel of an image, or one per component `(...)` of a
            sample.
        high: Upper bound, likewise.
        logits: As of `wrap`.

    Raises:
        ContractError: The module is none, shapes do not fit, or low < high does not hold everywhere.
    """
    return Bounded(_module(module), low, high, logits)


def bare(module: nn.Module) -> nn.Module:
    """The network whose tensors a weights file holds: without the normalisation around it."""
    return module.module if isinstance(module, Normalised | Bounded) else module
