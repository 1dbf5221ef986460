"""Entries of the benchmark: a defence with and without its card, its paper's threat, the attacks written by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from vauban.core.cards import Card, Path
from vauban.core.norms import Ball, Linf
from vauban.reproduce.declarations import WeightedNetwork

PLAIN = "plain"
"""The role of the network that stands behind the defences."""
MNIST = "MNIST"


@dataclass(frozen=True)
class Made:
    """A defence of the benchmark's own: what it makes of a network.

    Attributes:
        name: Of the defence.
        make: From the network to the defended one.
        random: Two answers to one image may differ; whoever judges asks several times.
    """

    name: str
    make: Callable[[nn.Module], nn.Module]
    random: bool = False

    def wrap(self, module: nn.Module) -> nn.Module:
        """The defended network; it shares no module whose mode would change."""
        made = self.make(module).eval()
        if self.random:
            made.card = Card(self.name, random=True)  # type: ignore[assignment]
        return made


class Cardless(nn.Module):
    """A plain module around a network: nothing tells where the defence in it ends."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.training = network.training

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits


@dataclass(frozen=True)
class Unwrapped:
    """A defence as its user would write it: the same modules, no card on any of them, a plain module around them.

    Attributes:
        defence: The defence; None: that of the network's role, which is behind it already.
    """

    defence: Path | None

    @property
    def name(self) -> str:
        return "no card" if self.defence is None else f"{self.defence.name} (no card)"

    def wrap(self, module: nn.Module) -> nn.Module:
        """A copy of the defended network without cards."""
        plain = copy.deepcopy(module if self.defence is None else self.defence.wrap(module))
        for part in plain.modules():
            if isinstance(getattr(part, "card", None), Card):
                part.card = None  # type: ignore[assignment]
        return Cardless(plain)


@dataclass(frozen=True)
class Claimed:
    """The threat that a paper claims to stand.

    Attributes:
        norm: Its norm, or what an attacker may ask.
        data: The data of the claim.
        radius: On MNIST, None where the paper has other data.
        by: The paper.
        broken_by: Who broke it; "": nobody but this benchmark.
    """

    norm: str
    data: str
    by: str
    broken_by: str
    radius: float | None = None

    def covers(self, ball: Ball) -> bool:
        """Whether a ball on MNIST lies inside the claim, as far as it can be told on other data."""
        return ball.norm.name == self.norm and (self.radius is None or float(ball.radius) <= self.radius)

    def __str__(self) -> str:
        return f"{self.norm}{'' if self.radius is None else f' {self.radius:g}'}, {self.data}"


@dataclass(frozen=True)
class Examined:
    """An entry of the benchmark.

    Attributes:
        name: Of the entry.
        mechanism: What masks the gradient; SOUND: a control, on which nothing may be found.
        defence: The defence with its card, where it has one; None: none beside that of the role.
        claim: The paper's threat.
        sources: What the attacks written by hand differentiate, each a craft of its own.
        ball: The budget.
        role: The network.
        fitted: Whether the network of the role is behind a defence that was fitted to it.
        draws: Of a gradient by hand.
        asked: Whether an attack by scores on the defended network is among those by hand.
    """

    name: str
    mechanism: str
    defence: Path | None = None
    claim: Claimed | None = None
    sources: tuple[tuple[WeightedNetwork, ...], ...] = ()
    ball: Ball = Linf(0.15)
    role: str = PLAIN
    fitted: bool = False
    draws: int = 1
    asked: bool = True

    @property
    def defended(self) -> bool:
        """Whether there is a defence."""
        return self.fitted or self.defence is not None

    @property
    def carded(self) -> bool:
        """Whether it is one of `vauban.defences`, whose card says how to attack it."""
        return self.defended and not isinstance(self.defence, Made)

    @property
    def inside(self) -> bool:
        """Whether the budget lies inside the paper's claim."""
        return self.claim is not None and self.claim.covers(self.ball)


SOUND = "sound"
CUT, DISCRETE, OBJECTIVE, RANDOM, SEEDED, OPTIMISED = (
    "cuts the graph",
    "discontinuous",
    "misleading objective",
    "random",
    "seeded by the image",
    "optimises at test time",
)
"""Mechanisms."""


def bare(role: str = PLAIN) -> tuple[WeightedNetwork, ...]:
    """The network below the defence."""
    return (WeightedNetwork(role),)


def through(path: Path, role: str = PLAIN) -> tuple[WeightedNetwork, ...]:
    """The network behind a defence, or behind what stands in its place for a gradient, with what cards prescribe."""
    return (WeightedNetwork(role, (path,)),)
