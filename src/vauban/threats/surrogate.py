"""Surrogate threats: gradients come from the network with or without its defence, the verdict is on the other one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from vauban.core.cards import bare
from vauban.core.norms import Ball
from vauban.core.parameters import Count
from vauban.engine.threat import BoundThreat
from vauban.threats import registry
from vauban.threats.base import Rules, Threat, is_random, rules_of

GRADIENTS = frozenset({"gradients"})


@registry.register("gray-box")
@dataclass(frozen=True)
class GrayBox(Threat):
    """Gradients of the bare network below all defences; the verdict is on the defended one."""

    registered: ClassVar[str] = "gray-box"
    grants: ClassVar[frozenset[str]] = GRADIENTS

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> BoundThreat:
        sources = ((bare(defended), 1.0),)
        return BoundThreat(defended, self.name, sources, self.grants, budget=budget, levels=levels, limit=limit)


@registry.register("removed")
@dataclass(frozen=True)
class Removed(Threat):
    """Gradients of the defended network; the verdict is on the bare one, from which the defence has been removed.

    Attributes:
        bpda: As for the white-box attacker, on the defended network.
        draws: Gradients averaged per call (EOT).

    Raises:
        ContractError: draws outside its range; when bound, a name that is no submodule.
    """

    bpda: Rules = field(default_factory=dict)
    draws: Count = 1
    registered: ClassVar[str] = "removed"
    grants: ClassVar[frozenset[str]] = GRADIENTS

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> BoundThreat:
        # `random` seeds the draws of the defended network; the bare one alone would not ask for it.
        return BoundThreat(
            bare(defended),
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
