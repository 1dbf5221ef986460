"""Base of keyed defences: a transform that follows from a key and the shape of an image."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn

from vauban.core.cards import Card, check_keys
from vauban.core.errors import ContractError
from vauban.core.secret import Secret
from vauban.defences import registry
from vauban.defences.base import Apply, InputDefence, Transformed, check_module

Unknown = Literal["order", "signs"]
REFERENCE = "Taran, Rezaeifar, Voloshynovskiy 2018, arXiv:1809.01715"


@dataclasses.dataclass(frozen=True)
class KeyedDefence(InputDefence):
    """A transform T(x, k) of the image that depends on a key k and not on the image; the network is trained behind it.

    Subclasses say what the key gives for a shape, and what is done with it.

    Attributes:
        key: The secret; on the command line `key=FILE` or `key=env:NAME`.
    """

    reference: ClassVar[str] = REFERENCE
    key: Secret

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.key, Secret):
            raise ContractError(
                f"expected a key for {self.registered}, got {type(self.key).__name__}; vb.Secret.new() makes one, "
                "vb.load('key', FILE) reads one"
            )

    @abstractmethod
    def made(self, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """What the key gives for images of a shape, the batch left out. Raises ContractError for one that does not fit."""

    @abstractmethod
    def transformed(self, x: Tensor, *made: Tensor) -> Tensor:
        """The transformed images `(batch, ...)` by what the key gave for their shape."""

    @abstractmethod
    def inverse(self, x: Tensor) -> Tensor:
        """The images of which these are the transformed ones."""

    def unknowns(self, shape: tuple[int, ...]) -> tuple[Unknown, int]:
        """What an attacker without the key does not know of images of a shape: an order of n things, or n signs.

        Raises:
            ContractError: It is neither.
        """
        raise ContractError(f"expected a keyed defence whose key gives an order or signs, got {self.name}")

    def softly(self, x: Tensor, guess: Tensor) -> Tensor:
        """The transform by a guess in place of the key, differentiable in it.

        Args:
            x: Images `(batch, ...)`.
            guess: A matrix `(n, n)`, row i the weights of what comes to place i; or signs `(n,)` in [-1, 1].
        """
        raise ContractError(f"expected a keyed defence whose key gives an order or signs, got {self.name}")

    def marked(self, x: Tensor, marks: Tensor) -> Tensor:
        """Images in which the things that the key puts in order are changed: x + marks, laid out as the things are.

        Args:
            x: An image `(1, ...)`.
            marks: What is added to each thing, `(images, n)`.
        """
        raise ContractError(f"expected a keyed defence whose key gives an order, got {self.name}")

    def apply(self, x: Tensor) -> Tensor:
        return self.transformed(x, *_made(self, tuple(x.shape[1:]), x.device))

    @property
    def use(self) -> str:
        """What the key's stream is drawn for: the defence's name and its other parameters."""
        others = [f"{f.name}={getattr(self, f.name)}" for f in dataclasses.fields(self) if f.name != "key"]
        return ",".join([self.registered, *others])

    @property
    def card(self) -> Card:
        return dataclasses.replace(super().card, keyed=True, keys=(self.key.id,))

    @property
    def name(self) -> str:
        """Name in tables; the key by its id."""
        others = [f",{f.name}={getattr(self, f.name)}" for f in dataclasses.fields(self) if f.name != "key"]
        return f"{self.registered}:key={self.key.id}{''.join(others)}"

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module behind this defence; weights are shared, modes are kept.

        Raises:
            ContractError: Something that is no torch module, or a network that was trained behind another key.
        """
        check_keys(check_module(module), (self.key.id,))
        return self.around(module)

    def around(self, module: nn.Module) -> nn.Module:
        """As `wrap`, whatever key the network was trained behind: for an attacker who tries keys."""
        return Transformed(module, self.card, Apply(self))

    def with_key(self, key: Secret) -> KeyedDefence:
        """The same transform with another key."""
        return dataclasses.replace(self, key=key)


@lru_cache(maxsize=64)
def _made(defence: KeyedDefence, shape: tuple[int, ...], device: torch.device) -> tuple[Tensor, ...]:
    return tuple(part.to(device) for part in defence.made(shape))


K = TypeVar("K", bound=KeyedDefence)


def register(name: str) -> Callable[[type[K]], type[K]]:
    """Class decorator: register a keyed defence, whose `key` is named on the command line.

    Args:
        name: Name of the defence on the command line and on its card.
    """

    def add(cls: type[K]) -> type[K]:
        cls.registered = name
        facts = {"random": cls.random, "differentiable": cls.differentiable, "example": "key=public:7"}
        registry.register(name, words={"key": "key"}, **facts)(cls)
        return cls

    return add


def sides(shape: tuple[int, ...], block: int, purpose: str) -> tuple[int, int]:
    """Height and width of images that blocks divide. Raises ContractError, in one line, where they do not."""
    if len(shape) != 3:
        raise ContractError(f"expected images (channel, height, width) for {purpose}, got shape {shape}")
    height, width = shape[1:]
    if height % block or width % block:
        raise ContractError(
            f"expected a block that divides the images for {purpose}, got block={block} for {height}x{width} pixels"
        )
    return height, width
