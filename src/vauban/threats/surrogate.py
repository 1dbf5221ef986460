"""Surrogate threats: gradients come from the network with or without its defence, the verdict is on the other one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self, cast

from torch import nn

from vauban.core.cards import Defended, bare, carded
from vauban.core.errors import ContractError
from vauban.core.norms import Ball
from vauban.core.parameters import Count
from vauban.core.surgery import replaced
from vauban.engine.threat import BoundThreat
from vauban.threats import registry
from vauban.threats.adaptive import prescription
from vauban.threats.base import Rules, Threat, is_random, refuse_keyed, rules_of

GRADIENTS = frozenset({"gradients"})


class _Apart(Threat):
    """A threat that tells the network from the defences in front of it.

    Attributes:
        network: The network below all defences; None: what the defended one names as such.
    """

    network: nn.Module | None

    def around(self, network: nn.Module | None) -> Self:
        if self.network is not None:
            return self
        if network is None:
            raise ContractError(
                f"expected a network that can be told from its defence for the threat {self.registered!r}, got one that "
                "the defence is part of: its gradients would be those of white-box; name the two apart (--model and "
                "--defence, or DEFENCE|MODEL), give the network below (network=...), or use transfer"
            )
        aware: Self = replace(cast(Any, self), network=network)
        return aware

    def below(self, defended: nn.Module) -> nn.Module:
        """The network below the defences of another one, which is that one where neither names another."""
        return bare(defended) if self.network is None else self.network


@registry.register("gray-box", words={"network": "model"})
@dataclass(frozen=True)
class GrayBox(_Apart):
    """Gradients of the bare network below all defences; the verdict is on the defended one.

    Attributes:
        network: The network below all defences, where the defended one does not tell.
    """

    network: nn.Module | None = field(default=None, repr=False)
    registered: ClassVar[str] = "gray-box"
    grants: ClassVar[frozenset[str]] = GRADIENTS

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> BoundThreat:
        sources = ((self.below(defended), 1.0),)
        return BoundThreat(defended, self.name, sources, self.grants, budget=budget, levels=levels, limit=limit)


@registry.register("removed", words={"network": "model"})
@dataclass(frozen=True)
class Removed(_Apart):
    """Gradients of the defended network; the verdict is on the one from which the defences, or one of them, are removed.

    Attributes:
        bpda: As for the white-box attacker, on the defended network.
        draws: Gradients averaged per call (EOT).
        network: The network below all defences, where the defended one does not tell.
        part: Name of the defence that is taken out of the chain, all others stay; the gradients then follow the cards of
            the chain (`adaptive`). None: all defences are removed, and only `bpda` is followed.

    Raises:
        ContractError: draws outside its range, or a part beside rules of bpda or more than one draw, which cards give; when
            bound, a name that is no submodule, or no defence of that name, or several.
    """

    bpda: Rules = field(default_factory=dict)
    draws: Count = 1
    network: nn.Module | None = field(default=None, repr=False)
    part: str | None = None
    registered: ClassVar[str] = "removed"
    grants: ClassVar[frozenset[str]] = GRADIENTS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.part is not None and (self.bpda or self.draws != 1):
            raise ContractError(
                f"expected no bpda and no draws beside part={self.part}, whose gradients follow the cards, got "
                f"bpda={self.bpda!r}, draws={self.draws}"
            )

    def around(self, network: nn.Module | None) -> Self:
        return self if self.part is not None else super().around(network)

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> BoundThreat:
        refuse_keyed(defended, self.name)
        if self.part is None:
            rules, draws, target = rules_of(defended, self.bpda), self.draws, self.below(defended)
        else:
            rules, draws = prescription(defended)
            target = without(defended, self.part)
        # `random` seeds the draws of the defended network; the bare one alone would not ask for it.
        return BoundThreat(
            target,
            self.name,
            ((defended, 1.0),),
            self.grants,
            budget=budget,
            backward=rules,
            draws=draws,
            random=is_random(defended),
            levels=levels,
            limit=limit,
        )


def without(defended: nn.Module, part: str) -> nn.Module:
    """A network without one of the defences in front of it; what stood behind it takes its place.

    Args:
        defended: The network behind its defences.
        part: The name on the card of one of them.

    Raises:
        ContractError: No defence of that name that wraps a network, or several.
    """
    fronts = [(module, card.name) for module, card in carded(defended) if isinstance(module, Defended)]
    meant = [module for module, name in fronts if name == part]
    if len(meant) != 1:
        names = ", ".join(dict.fromkeys(name for _, name in fronts)) or "none"
        raise ContractError(
            f"expected part={part} to name one defence of the chain, which has {names}; got "
            f"{'no one of that name' if not meant else 'several of that name'}"
        )
    return replaced(defended, meant[0], meant[0].inner)
