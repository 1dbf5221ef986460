"""Threats by objective: the weighted sum of other networks' losses, sum_i w_i L(f_i(x)), is differentiated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from vauban.core.cards import Path
from vauban.core.errors import ContractError
from vauban.core.norms import Ball
from vauban.engine.network import WeightedModule
from vauban.engine.threat import BoundThreat
from vauban.threats import registry
from vauban.threats.adaptive import prescription
from vauban.threats.base import Threat, Weight, is_random, weighted


@registry.register("transfer", words={"sources": "models"})
@dataclass(frozen=True, eq=False)
class Transfer(Threat):
    """Gradients of other networks; the verdict is on the target, of which the attacker sees nothing.

    Defences of these networks that are not differentiable get what their cards prescribe (BPDA), being the attacker's own.

    Attributes:
        sources: One network or several with the target's classes.
        weights: One for each, by default equal with sum one.

    Raises:
        ContractError: Another number of weights than networks, no network, a weight that is no finite number, or none
            other than zero.
    """

    sources: nn.Module | Sequence[nn.Module] = field(repr=False)
    weights: float | Sequence[float] | None = None
    registered: ClassVar[str] = "transfer"
    grants: ClassVar[frozenset[str]] = frozenset({"gradients"})

    def __post_init__(self) -> None:
        super().__post_init__()
        weighted(self.sources, self.weights)

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> BoundThreat:
        return bound_to(self, defended, self.sources, self.weights, levels=levels, limit=limit, budget=budget)


@registry.register("ensemble", words={"models": "models"})
@dataclass(frozen=True, eq=False)
class Ensemble(Threat):
    """Gradients of all of several known networks at once; the verdict is on the target, usually one of them.

    Centered Initial Attack (review copy, ICLR 2018), Eq. 4.

    Attributes:
        models: Networks with the target's classes.
        weights: One for each, used as they are; by default equal with sum one, which is Eq. 4 divided by the number of
            models; weights of one give its plain sum.

    Raises:
        ContractError: As for `Transfer`.
    """

    models: Sequence[nn.Module] = field(repr=False)
    weights: Sequence[float] | None = None
    registered: ClassVar[str] = "ensemble"
    grants: ClassVar[frozenset[str]] = frozenset({"gradients"})

    def __post_init__(self) -> None:
        super().__post_init__()
        weighted(self.models, self.weights)

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> BoundThreat:
        return bound_to(self, defended, self.models, self.weights, levels=levels, limit=limit, budget=budget)


@registry.register("hybrid", words={"models": "models", "path": "defence"})
@dataclass(frozen=True, eq=False)
class Hybrid(Threat):
    """Gradients of each of several networks both as it is and behind a path; the verdict is on the target.

    L = sum_i [a L(f_i(x)) + b L(f_i(path(x)))], the weights used as they are (never normalised); a term of weight zero
    is left out and costs nothing. For an attacker who does not know whether a filter will stand before the network. What
    the cards of the path and the networks prescribe (BPDA, EOT draws) is followed. Centered Initial Attack (review copy,
    ICLR 2018), Eq. 5 for one network and Eq. 6 for several.

    Attributes:
        models: One network or several with the target's classes.
        path: A defence or an input transform such as `Translated`.
        a: Weight of the networks as they are.
        b: Weight of the networks behind the path.

    Raises:
        ContractError: A weight that is no finite number, both zero, no network, or a path that cannot wrap.
    """

    models: nn.Module | Sequence[nn.Module] = field(repr=False)
    path: Path
    a: Weight = 1.0
    b: Weight = 1.0
    registered: ClassVar[str] = "hybrid"
    grants: ClassVar[frozenset[str]] = frozenset({"gradients"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(getattr(self.path, "wrap", None)):
            raise ContractError(
                "expected a path with .wrap(module), such as a defence, for the hybrid objective, "
                f"got {type(self.path).__name__}"
            )
        self._sources()

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> BoundThreat:
        sources = self._sources()
        networks = [network for network, _ in sources]
        backward, draws = prescription(*networks)
        return BoundThreat(
            defended,
            self.name,
            sources,
            self.grants,
            budget=budget,
            backward=backward,
            draws=draws,
            random=is_random(*networks),
            levels=levels,
            limit=limit,
        )

    def _sources(self) -> tuple[WeightedModule, ...]:
        """The networks as they are and behind the path, without those of weight zero."""
        models = (self.models,) if isinstance(self.models, nn.Module) else tuple(self.models)
        plain = weighted(models, [1.0] * len(models))
        pairs = [pair for net, _ in plain for pair in ((net, self.a), (self.path.wrap(net), self.b))]
        kept = weighted([net for net, _ in pairs], [weight for _, weight in pairs])
        return tuple((net, weight) for net, weight in kept if weight)


def bound_to(
    threat: Threat,
    target: nn.Module,
    models: nn.Module | Sequence[nn.Module],
    weights: float | Sequence[float] | None,
    *,
    levels: int | None,
    limit: Ball | None,
    budget: int | None,
) -> BoundThreat:
    """The threat to `target`, with the gradients of weighted models, by the rules of the cards in them."""
    sources = weighted(models, weights)
    return BoundThreat(
        target,
        threat.name,
        sources,
        threat.grants,
        budget=budget,
        backward=prescription(*(net for net, _ in sources))[0],
        random=is_random(*(net for net, _ in sources)),
        levels=levels,
        limit=limit,
    )
