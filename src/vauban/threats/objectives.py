"""Objectives over other networks: the weighted sum of their losses, sum_i w_i L(f_i(x)), is what is differentiated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from vauban.core.norms import Ball
from vauban.engine.threat import Threat
from vauban.threats.base import Recipe, is_random, registry, weighted


@registry.register("transfer")
@dataclass(frozen=True, eq=False)
class Transfer(Recipe):
    """Gradients of other networks; the verdict is on the target, of which the attacker sees nothing.

    sources: one network or several with the target's classes. weights: one for each, by default equal with sum one.
    Raises ContractError when the numbers differ, no network is given, or no weight is other than zero.
    """

    sources: nn.Module | Sequence[nn.Module] = field(repr=False)
    weights: float | Sequence[float] | None = None
    registered: ClassVar[str] = "transfer"
    grants: ClassVar[frozenset[str]] = frozenset({"gradients"})

    def __post_init__(self) -> None:
        weighted(self.sources, self.weights)

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> Threat:
        return _bound(self, defended, self.sources, self.weights, levels=levels, limit=limit, budget=budget)


@registry.register("ensemble")
@dataclass(frozen=True, eq=False)
class Ensemble(Recipe):
    """Gradients of all of several known networks at once; the verdict is on the target, usually one of them.

    models: networks with the target's classes. weights: one for each, by default equal with sum one. Raises
    ContractError as `Transfer` does.
    """

    models: Sequence[nn.Module] = field(repr=False)
    weights: Sequence[float] | None = None
    registered: ClassVar[str] = "ensemble"
    grants: ClassVar[frozenset[str]] = frozenset({"gradients"})

    def __post_init__(self) -> None:
        weighted(self.models, self.weights)

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> Threat:
        return _bound(self, defended, self.models, self.weights, levels=levels, limit=limit, budget=budget)


def _bound(
    recipe: Recipe, target: nn.Module, models: nn.Module | Sequence[nn.Module],
    weights: float | Sequence[float] | None, *, levels: int | None, limit: Ball | None, budget: int | None,
) -> Threat:  # fmt: skip
    sources = weighted(models, weights)
    return Threat(
        target, recipe.name, sources, recipe.grants, budget=budget, random=is_random(*(net for net, _ in sources)),
        levels=levels, limit=limit,
    )  # fmt: skip
