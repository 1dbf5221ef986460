"""Automatic threat: an attacker who finds out by himself what a defence's card would have said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import nn

from vauban.core.answers import ALL
from vauban.core.cards import Backward
from vauban.core.contracts import Batch
from vauban.core.norms import Ball
from vauban.core.parameters import Count
from vauban.engine.network import WeightedModule
from vauban.engine.threat import BoundThreat
from vauban.threats import registry
from vauban.threats.base import Means, Threat, is_random, refuse_keyed
from vauban.threats.fitter import NetworkFitter


@registry.register("auto")
@dataclass(frozen=True)
class Auto(Threat):
    """White-box, and every way around what gives no useful gradient that a look at the network on a few images finds.

    A study puts a cell for each way in its place, `auto:WAY`, and the worst case over all cells counts. Cards are not
    read. Ways: a substitute for a submodule whose gradient is not that of its function (identity, copies of channels, a
    soft threshold, soft top-k, soft nearest neighbour, a convolution fitted to its answers); a classifier inside, with what
    stands before it passed straight through or not, and what comes after it left out; the mean of gradients around the
    image; more draws of a random network; the bare network; a linear readout of inner features fitted to the answers; a
    network distilled from the answers where queries are all there is. A pilot attack on a few images chooses. Where the
    network is sound, there is nothing to do and no cell beside white-box.
    """

    registered: ClassVar[str] = "auto"
    grants: ClassVar[frozenset[str]] = ALL

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> BoundThreat:
        refuse_keyed(defended, self.name)
        return BoundThreat(defended, self.name, grants=self.grants, budget=budget, levels=levels, limit=limit)


@dataclass(frozen=True, eq=False)
class Way(Threat):
    """One way of the automatic threat around a defence.

    Attributes:
        label: What tables call it.
        sentence: What was done, for a reader.
        sources: Networks that give gradients, with weights; none: the defended one.
        backward: Backward rules by module.
        draws: Gradients averaged per call.
        distilled: What trains a network on the defended one's answers, and the images that it begins with: a source that is
            made before the attack.
    """

    label: str
    sentence: str = field(repr=False)
    sources: tuple[WeightedModule, ...] = field(default=(), repr=False)
    backward: Mapping[nn.Module, Backward] = field(default_factory=dict, repr=False)
    draws: Count = field(default=1, repr=False)
    distilled: tuple[NetworkFitter, Batch] | None = field(default=None, repr=False)
    registered: ClassVar[str] = "auto"
    grants: ClassVar[frozenset[str]] = ALL

    @property
    def name(self) -> str:
        return f"{self.registered}:{self.label}"

    def prepare(self, means: Means) -> Way:
        if self.distilled is None:
            return self
        fitter, images = self.distilled
        return replace(self, sources=((means.fit(fitter, images, 0).network, 1.0),), distilled=None)

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> BoundThreat:
        refuse_keyed(defended, self.name)
        return BoundThreat(
            defended,
            self.name,
            self.sources,
            self.grants,
            budget=budget,
            backward=self.backward,
            draws=self.draws,
            levels=levels,
            limit=limit,
            confirm=bool(self.sources) and not is_random(defended),
        )
