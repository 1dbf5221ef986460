"""The attacker who has read the defence: what the cards found in the network prescribe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from vauban.core.cards import Backward, carded
from vauban.core.errors import ContractError
from vauban.core.norms import Ball
from vauban.engine.threat import ALL, Threat
from vauban.threats.base import Recipe, registry, rules_of


@registry.register("adaptive")
@dataclass(frozen=True)
class Adaptive(Recipe):
    """White-box with BPDA and EOT as every defence's card prescribes.

    Each operation that a card calls not differentiable gets the card's substitute (arXiv:1802.00420); a gradient is the
    mean of `eot` draws, by default the most that a card asks for. Where two cards name one module, the outer one counts.
    """

    eot: int | None = None
    registered: ClassVar[str] = "adaptive"
    grants: ClassVar[frozenset[str]] = ALL

    def __post_init__(self) -> None:
        if self.eot is not None and self.eot < 1:
            raise ContractError(f"expected eot >= 1 draws, got {self.eot}")

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> Threat:
        backward: dict[nn.Module, Backward] = {}
        draws = [1]
        for part, card in carded(defended):
            backward = rules_of(part, card.backward) | backward
            draws.append(card.draws)
        return Threat(
            defended, self.name, grants=self.grants, budget=budget, backward=backward,
            draws=max(draws) if self.eot is None else self.eot, levels=levels, limit=limit,
        )  # fmt: skip
