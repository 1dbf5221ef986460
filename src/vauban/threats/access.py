"""Threats by access: what the attacker may ask of the defended network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from vauban.core.answers import ALL, revealed
from vauban.core.norms import Ball
from vauban.core.parameters import Count
from vauban.engine.threat import BoundThreat
from vauban.threats import registry
from vauban.threats.base import Rules, Threat, refuse_keyed, rules_of


@registry.register("white-box")
@dataclass(frozen=True)
class WhiteBox(Threat):
    """Everything: gradients, scores and labels of the defended network.

    Attributes:
        bpda: Submodules of the defended network whose gradient is that of a substitute (None: the identity; a string
            `a+b` names identities).
        draws: Gradients averaged per call (EOT, Athalye et al., arXiv:1707.07397).

    Raises:
        ContractError: draws outside its range; when bound, a name that is no submodule.
    """

    bpda: Rules = field(default_factory=dict)
    draws: Count = 1
    registered: ClassVar[str] = "white-box"
    grants: ClassVar[frozenset[str]] = ALL

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> BoundThreat:
        refuse_keyed(defended, self.name)
        backward = rules_of(defended, self.bpda)
        return BoundThreat(
            defended,
            self.name,
            grants=self.grants,
            budget=budget,
            backward=backward,
            draws=self.draws,
            levels=levels,
            limit=limit,
        )


def by_answers(network: nn.Module) -> Threat:
    """The threat to a network where none is named: white-box, or scores or labels alone where it only answers."""
    told = revealed(network)
    if "gradients" in told:
        return WhiteBox()
    return ScoresOnly() if "scores" in told else LabelsOnly()


@dataclass(frozen=True)
class _Queries(Threat):
    """A threat that grants answers of the network and no gradients."""

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> BoundThreat:
        return BoundThreat(defended, self.name, grants=self.grants, budget=budget, levels=levels, limit=limit)


@registry.register("scores-only")
@dataclass(frozen=True)
class ScoresOnly(_Queries):
    """Logits and labels of the defended network, no gradients."""

    registered: ClassVar[str] = "scores-only"
    grants: ClassVar[frozenset[str]] = frozenset({"scores", "labels"})


@registry.register("labels-only")
@dataclass(frozen=True)
class LabelsOnly(_Queries):
    """Predicted labels of the defended network, nothing else."""

    registered: ClassVar[str] = "labels-only"
    grants: ClassVar[frozenset[str]] = frozenset({"labels"})
