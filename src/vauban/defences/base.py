"""Base of defences: parameters that turn one classifier into another, and the registry of the named ones."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.arguments import named_arguments
from vauban.core.cards import Backward, Card, Defended, Path, in_training
from vauban.core.errors import ContractError
from vauban.core.parameters import Parameters, Range
from vauban.core.precision import working_type
from vauban.defences import registry

Border = Literal["reflect", "edge", "zero"]
"""Values beyond the border: the image mirrored at its last pixel, the last pixel repeated, or black."""
MODES = {"reflect": "reflect", "edge": "replicate", "zero": "constant"}  # torch's names
WindowSize = Annotated[int, Range(1, 31)]
"""Side of a window in pixels."""


@runtime_checkable
class Defence(Path, Protocol):
    """`wrap(module)` is the defended module: [0,1] images in, logits out; `load(name)` gives an equal defence."""


class Apply(nn.Module):
    """The image transform of a defence as a module of its own, so that BPDA can hook it.

    Images of half precision, which holds no pixel level exactly, are transformed in float32.
    """

    @named_arguments
    def __init__(self, defence: InputDefence) -> None:
        super().__init__()
        self.defence = defence

    def forward(self, x: Tensor) -> Tensor:
        return self.defence.apply(x.to(working_type(x.dtype))).to(x.dtype)

    def extra_repr(self) -> str:
        return self.defence.name


class Transformed(Defended):
    """inner(transform(x)): logits `(batch, classes)` of the transformed images."""

    @named_arguments
    def __init__(self, inner: nn.Module, card: Card, transform: nn.Module) -> None:
        super().__init__(inner, card)
        self.transform = transform
        # Only the wrapper's own flag: .train() would overwrite the mode of every submodule of the network.
        self.training = in_training(inner)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(self.transform(x))
        return logits


class InputDefence(Parameters, ABC):
    """A defence that transforms the image before the network; subclasses are frozen dataclasses of its parameters.

    What an attacker must know is declared on the class, and the card of every object says the same.

    Attributes:
        registered: Name in the registry, set by `register`.
        reference: The source.
        random: Two calls on one image may differ.
        differentiable: The gradient of `apply` is of use to an attacker; elsewhere BPDA differentiates `substitute`.
        draws: Samples per gradient (EOT) that the adaptive attack takes.
        operation: Name, in the wrapped module, of the submodule that BPDA gives the substitute to.
    """

    registered: ClassVar[str] = ""
    reference: ClassVar[str] = ""
    random: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True
    draws: ClassVar[int] = 1
    operation: ClassVar[str] = "transform"

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """The transformed images: shape and range of x, on its device and in its dtype."""

    @property
    def substitute(self) -> Backward:
        """What BPDA differentiates in place of an operation that is not differentiable: the identity (None) by default."""
        return None

    @property
    def card(self) -> Card:
        """The declared facts, and the substitute where there is no gradient to follow."""
        return Card(
            self.registered,
            random=self.random,
            backward={} if self.differentiable else {self.operation: self.substitute},
            draws=self.draws,
            reference=self.reference,
        )

    @property
    def name(self) -> str:
        """Name on the command line: every number, and a choice of words where it is not the default."""
        fields = [(f.name, getattr(self, f.name), f.default) for f in dataclasses.fields(self)]  # type: ignore[arg-type]
        params = ",".join(f"{k}={v}" for k, v, usual in fields if not isinstance(v, str) or v != usual)
        return f"{self.registered}:{params}"

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module behind this defence; weights are shared, modes are kept.

        Raises:
            ContractError: Something that is no torch module.
        """
        return Transformed(check_module(module), self.card, Apply(self))


class NoiseDefence(InputDefence):
    """x + noise, clipped to [0,1], with noise from torch's global generator, which the oracle forks and seeds.

    Differentiable for fixed noise; the adaptive attack averages gradients over draws (EOT).
    """

    random: ClassVar[bool] = True
    draws: ClassVar[int] = 16

    @abstractmethod
    def noise(self, x: Tensor) -> Tensor:
        """One draw, independent in every component, of the shape of x."""

    def apply(self, x: Tensor) -> Tensor:
        return (x + self.noise(x)).clamp(0, 1)


D = TypeVar("D", bound=InputDefence)


@named_arguments
def register(name: str) -> Callable[[type[D]], type[D]]:
    """Class decorator: register an input defence with the facts that its class declares.

    No object is made, so parameters need no defaults.

    Args:
        name: Name of the defence on the command line and on its card.
    """

    def add(cls: type[D]) -> type[D]:
        cls.registered = name
        registry.register(name, random=cls.random, differentiable=cls.differentiable)(cls)
        return cls

    return add


def check_module(module: object) -> nn.Module:
    """The module itself. Raises ContractError for anything else."""
    if not isinstance(module, nn.Module):
        raise ContractError(
            f"expected a torch.nn.Module to defend, got {type(module).__name__}; "
            "wrap a function with vb.models.oracle(fn)"
        )
    return module


def check_image(x: Tensor, purpose: str) -> Tensor:
    """x itself. Raises ContractError unless it is `(batch, channel, height, width)`."""
    if x.dim() != 4:
        raise ContractError(
            f"expected images (batch, channel, height, width) for {purpose}, got shape {tuple(x.shape)}"
        )
    return x


def check_odd(name: str, size: int, centre: str) -> None:
    """Raises ContractError for an even size of a window, which has no centre pixel."""
    if size % 2 == 0:
        raise ContractError(f"expected {name} of odd size, so that {centre}, got {size}")


def padded(x: Tensor, size: int, border: Border = "reflect", before: int | None = None) -> Tensor:
    """The images with the border that windows of size x size pixels need.

    Args:
        x: Images `(batch, channel, height, width)`.
        size: Side of the window in pixels.
        border: Values beyond the border; "reflect" does not repeat the edge pixel.
        before: Pixels of a window before its own: the window of output pixel i covers i - before, ...,
            i - before + size - 1 on both axes. None is size // 2, scipy.ndimage's convention: an even window leans to the
            top left.

    Returns:
        Images `(batch, channel, height + size - 1, width + size - 1)`.

    Raises:
        ContractError: x is no batch of images, or too small to be reflected.
    """
    height, width = check_image(x, f"a {size}x{size} window").shape[2:]
    before = size // 2 if before is None else before
    after = size - 1 - before
    if border == "reflect" and max(before, after) >= min(height, width):
        raise ContractError(
            f"expected images larger than {max(before, after)} pixels on each side for a {size}x{size} window, "
            f"got {height}x{width}; take a smaller window, or border=edge where the filter has it"
        )
    return F.pad(x, (before, after, before, after), mode=MODES[border])
