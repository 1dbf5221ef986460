"""Surrogate threats: gradients come from the network with or without its defence, the verdict is on the other one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self, cast

from torch import nn

from vauban.core.cards import bare
from vauban.core.errors import ContractError
from vauban.core.norms import Ball
from vauban.core.parameters import Count
from vauban.engine.threat import BoundThreat
from vauban.threats import registry
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
    """Gradients of the defended network; the verdict is on the bare one, from which the defence has been removed.

    Attributes:
        bpda: As for the white-box attacker, on the defended network.
        draws: Gradients averaged per call (EOT).
        network: The network below all defences, where the defended one does not tell.

    Raises:
        ContractError: draws outside its range; when bound, a name that is no submodule.
    """

    bpda: Rules = field(default_factory=dict)
    draws: Count = 1
    network: nn.Module | None = field(default=None, repr=False)
    registered: ClassVar[str] = "removed"
    grants: ClassVar[frozenset[str]] = GRADIENTS

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> BoundThreat:
        refuse_keyed(defended, self.name)
        # `random` seeds the draws of the defended network; the bare one alone would not ask for it.
        return BoundThreat(
            self.below(defended),
            self.name,
            ((defended, 1.0),),
            self.grants,
            budget=budget,
            backward=rules_of(defended, self.bpda),
            draws=self.draws,
            random=is_random(defended),
            levels=levels,
            limit=limit,
        )
