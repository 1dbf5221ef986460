"""Adaptive threat: the attacker who has read the defence and does what the cards in the network prescribe."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from vauban.core.answers import ALL
from vauban.core.arguments import named_arguments
from vauban.core.cards import Backward, carded
from vauban.core.norms import Ball
from vauban.core.parameters import Count, check
from vauban.core.surgery import replaced, submodule
from vauban.engine.network import WeightedModule
from vauban.engine.threat import BoundThreat
from vauban.threats import registry
from vauban.threats.base import Threat, is_random, refuse_keyed, rules_of


@registry.register("adaptive")
@dataclass(frozen=True)
class Adaptive(Threat):
    """White-box with BPDA, EOT and the objective that every defence's card prescribes.

    Each operation that a card calls not differentiable gets the card's substitute (arXiv:1802.00420), wherever in the
    network the card is; where two cards name one module, the outer one counts. Where a card names an objective (a vote),
    the summed losses of its members are differentiated, each behind everything that stands before and after the vote;
    success is then looked for by asking the target for the label of every iterate.

    Attributes:
        eot: Draws that a gradient is the mean of; None: the most that a card asks for.

    Raises:
        ContractError: eot outside its range; when bound, a card that names no submodule.
    """

    eot: Count | None = None
    registered: ClassVar[str] = "adaptive"
    grants: ClassVar[frozenset[str]] = ALL
    holds_key: ClassVar[bool] = False

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> BoundThreat:
        if not self.holds_key:
            refuse_keyed(defended, self.name)
        sources = members(defended)
        shown = sources == ((defended, 1.0),)
        networks = [network for network, _ in sources]
        # Modules around a vote are copies in the sources: their own cards are read there.
        backward, draws = prescription(defended, *networks)
        seen = {part for network in networks for part in network.modules()}
        return BoundThreat(
            defended,
            self.name,
            () if shown else sources,
            self.grants,
            budget=budget,
            # A rule for the vote itself has nothing to act on where its members are differentiated.
            backward={part: rule for part, rule in backward.items() if part in seen},
            draws=draws if self.eot is None else self.eot,
            levels=levels,
            limit=limit,
            confirm=not shown and not is_random(defended),
        )


@registry.register("leaked-key")
@dataclass(frozen=True)
class LeakedKey(Adaptive):
    """The key has leaked: as `adaptive`, with the gradients of the keyed defence itself.

    The control of every other threat to a keyed defence: what is left of it is not owed to the secret.

    Attributes:
        eot: Draws that a gradient is the mean of; None: the most that a card asks for.
    """

    registered: ClassVar[str] = "leaked-key"
    holds_key: ClassVar[bool] = True


@named_arguments
def prescription(*networks: nn.Module, identity: Collection[nn.Module] = ()) -> tuple[dict[nn.Module, Backward], int]:
    """The BPDA rules of all cards in the networks, and the most EOT draws that a card asks for.

    Args:
        networks: Modules with cards anywhere in them. Where two cards name one module, the outer one counts.
        identity: Modules whose cards get the identity in place of the substitutes they name.

    Returns:
        The rules by module, and the draws.

    Raises:
        ContractError: A card that names no submodule, or what is no module.
    """
    backward: dict[nn.Module, Backward] = {}
    draws = 1
    check("prescription", "networks", networks, tuple[nn.Module, ...])
    check("prescription", "identity", identity, Collection)
    for network in networks:
        for part, card in carded(network):
            named = dict.fromkeys(card.backward) if part in identity else card.backward
            backward = rules_of(part, named) | backward
            draws = max(draws, card.draws)
    return backward, draws


@named_arguments
def members(network: nn.Module) -> tuple[WeightedModule, ...]:
    """The weighted networks whose summed losses stand for a network: itself, unless a card names an objective.

    A member is `network` with the module that carries the card replaced by the named submodule: the defences around a
    vote stay around each of its members, with shared weights. A vote inside a vote is flattened, the weights multiplied.
    """
    check("members", "network", network, nn.Module)
    for owner, card in carded(network):
        if card.objective:
            return tuple(
                (inner, weight * share)
                for name, weight in card.objective
                for inner, share in members(replaced(network, owner, submodule(owner, name, "an objective")))
            )
    return ((network, 1.0),)
