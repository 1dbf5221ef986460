"""What a defence is: parameters that turn one classifier into another, and the registry of the named ones."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Protocol, TypeVar, get_args, runtime_checkable

import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.cards import Card, Defended, Path
from vauban.core.errors import ContractError
from vauban.core.registry import Registry

registry: Registry[Callable[..., Any]] = Registry("defence", "vauban.defences")

Border = Literal["reflect", "edge", "zero"]
"""What lies beyond the border: the image mirrored at its last pixel, the last pixel repeated, or black."""
MODES = {"reflect": "reflect", "edge": "replicate", "zero": "constant"}  # torch's names


@runtime_checkable
class Defence(Path, Protocol):
    """`wrap(module)` is the defended module: [0,1] images in, logits out; `load(name)` gives an equal defence."""


class Apply(nn.Module):
    """The image transform of a defence as a module of its own, so that BPDA can hook it."""

    def __init__(self, defence: InputDefence) -> None:
        super().__init__()
        self.defence = defence

    def forward(self, x: Tensor) -> Tensor:
        return self.defence.apply(x)

    def extra_repr(self) -> str:
        return self.defence.name


class Transformed(Defended):
    """inner(transform(x)): logits `(batch, classes)` of the transformed images."""

    def __init__(self, inner: nn.Module, card: Card, transform: nn.Module) -> None:
        super().__init__(inner, card)
        self.transform = transform
        # Only the wrapper's own flag: .train() would overwrite the mode of every submodule of the network.
        self.training = inner.training

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(self.transform(x))
        return logits


class InputDefence(ABC):
    """A defence that transforms the image before the network; subclasses are frozen dataclasses of its parameters."""

    registered: ClassVar[str] = ""
    reference: ClassVar[str] = ""

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """The transformed images: shape and range of x, on its device and in its dtype."""

    @property
    def card(self) -> Card:
        """Deterministic and differentiable, unless a subclass says otherwise."""
        return Card(self.registered, reference=self.reference)

    @property
    def name(self) -> str:
        """What the command line calls this defence: every number, and a choice of words where it is not the default."""
        fields = [(f.name, getattr(self, f.name), f.default) for f in dataclasses.fields(self)]  # type: ignore[arg-type]
        params = ",".join(f"{k}={v}" for k, v, usual in fields if not isinstance(v, str) or v != usual)
        return f"{self.registered}:{params}"

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module behind this defence; weights are shared, modes are kept."""
        return Transformed(check_module(module), self.card, Apply(self))


class NoiseDefence(InputDefence):
    """x + noise, clipped to [0,1], with noise from torch's global generator, which the door forks and seeds."""

    draws: ClassVar[int] = 16

    @abstractmethod
    def noise(self, x: Tensor) -> Tensor:
        """One draw, independent in every component, of the shape of x."""

    def apply(self, x: Tensor) -> Tensor:
        return (x + self.noise(x)).clamp(0, 1)

    @property
    def card(self) -> Card:
        """Differentiable for fixed noise; the adaptive attack averages gradients over draws (EOT)."""
        return Card(self.registered, random=True, draws=self.draws, reference=self.reference)


D = TypeVar("D", bound=InputDefence)


def register(name: str) -> Callable[[type[D]], type[D]]:
    """Class decorator: register an input defence whose parameters all have defaults, with the facts on its card."""

    def add(cls: type[D]) -> type[D]:
        cls.registered = name
        card = cls().card
        registry.register(name, random=card.random, differentiable=not card.not_differentiable)(cls)
        return cls

    return add


def check_module(module: object) -> nn.Module:
    if not isinstance(module, nn.Module):
        raise ContractError(
            f"expected a torch.nn.Module to defend, got {type(module).__name__}; "
            "wrap a function with vb.models.oracle(fn)"
        )
    return module


def check_int(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ContractError(f"expected {name} as a whole number from {low} to {high}, got {value!r}")


def check_positive(name: str, value: object, high: float = math.inf) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= high or math.isinf(value):
        limit = "" if math.isinf(high) else f" and at most {high:g}"
        raise ContractError(f"expected {name} as a number above 0{limit}, got {value!r}")


def check_image(x: Tensor, purpose: str) -> Tensor:
    if x.dim() != 4:
        raise ContractError(
            f"expected images (batch, channel, height, width) for {purpose}, got shape {tuple(x.shape)}"
        )
    return x


def check_choice(name: str, value: object, kind: Any) -> None:
    """value is one of the words of the Literal type `kind`."""
    if value not in get_args(kind):
        raise ContractError(f"expected {name} in {', '.join(get_args(kind))}, got {value!r}")


def padded(x: Tensor, size: int, border: Border = "reflect", before: int | None = None) -> Tensor:
    """x with the border that windows of size x size need; "reflect" does not repeat the edge pixel.

    The window of output pixel i covers i - before, ..., i - before + size - 1 on both axes. before is size//2 by default,
    scipy.ndimage's convention: an even window leans to the top left. Raises ContractError where x is no batch of images,
    or too small to be reflected.
    """
    height, width = check_image(x, f"a {size}x{size} window").shape[2:]
    before = size // 2 if before is None else before
    after = size - 1 - before
    if border == "reflect" and max(before, after) >= min(height, width):
        raise ContractError(
            f"expected images larger than {max(before, after)} pixels on each side for a {size}x{size} window, "
            f"got {height}x{width}; border=edge takes any size"
        )
    return F.pad(x, (before, after, before, after), mode=MODES[border])
