"""Threats to a keyed defence: everything is known but the key (Kerckhoffs' principle)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal

from torch import nn

from vauban.core.cards import TRAINED_BEHIND
from vauban.core.errors import ContractError
from vauban.core.norms import Ball
from vauban.core.parameters import Count, Whole
from vauban.engine.threat import BoundThreat
from vauban.threats import registry
from vauban.threats.base import Means, Threat
from vauban.threats.key_recovery import Guessed, by_assignment, guessable
from vauban.threats.objectives import bound_to
from vauban.training.run import TrainingRun

FIRST_KEY = 1000
"""Number of the first key of an attacker's own."""
IMAGES = 10_000
"""Training images that a key is recovered from, at most."""


@registry.register("keyed", words={"surrogates": "models"})
@dataclass(frozen=True, eq=False)
class Keyed(Threat):
    """Everything but the key: architecture, data, training recipe and the defence, each surrogate behind a fresh key.

    The gradient is the mean over the surrogates, an expectation over keys; the verdict is on the keyed network. Surrogates
    are given, or `keys` of them are trained as the target was, as its weights file says, before the attack.

    Kerckhoffs' principle hides the key alone, not the weights: with weights="known" what the key gives is recovered from
    the weights and the training data by soft assignment, and the gradient is that of the network behind the guess.

    Attributes:
        surrogates: Networks with the target's classes, each with its own key in front: `[DEFENCE|MODEL][DEFENCE|MODEL]`.
        keys: How many are trained where none are given.
        seed: Number of the first of their keys and seeds; seed of the recovery.
        weights: "unknown", or "known".
        steps: Gradients of the recovery.

    Raises:
        ContractError: When prepared: none is given, and how the target was trained is not known; or, for weights="known",
            a key that gives neither an order nor signs.
    """

    surrogates: nn.Module | Sequence[nn.Module] = field(default=(), repr=False)
    keys: Count = 3
    seed: Whole = FIRST_KEY
    weights: Literal["unknown", "known"] = "unknown"
    steps: Count = 200
    registered: ClassVar[str] = "keyed"
    grants: ClassVar[frozenset[str]] = frozenset({"gradients"})

    def prepare(self, means: Means) -> Keyed:
        given = (self.surrogates,) if isinstance(self.surrogates, nn.Module) else tuple(self.surrogates)
        if given:
            return self
        if self.weights == "known":
            return replace(self, surrogates=(recovered(means, self.steps, self.seed),))
        runs = surrogate_runs(means.network, self.keys, self.seed)
        return replace(self, surrogates=tuple(means.train(run) for run in runs))

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> BoundThreat:
        if not isinstance(self.surrogates, nn.Module) and not self.surrogates:
            raise ContractError(
                "expected surrogates=[DEFENCE|MODEL][...] for the threat keyed, got none; a study (vauban evaluate) trains "
                "them where the target is a weights file"
            )
        return bound_to(self, defended, self.surrogates, None, levels=levels, limit=limit, budget=budget)


def recovered(means: Means, steps: int, seed: int) -> nn.Module:
    """The network behind what is recovered of its key by soft assignment, on IMAGES of its training data.

    Args:
        means: What the attacker can do; the network below the defence is known.
        steps: Gradients of the recovery.
        seed: Of the recovery.
    """
    network = means.network
    assert network is not None
    defence, data = guessable(means.defended), means.data(run_of(network).data)
    known = next(network.parameters()).device
    recovery = by_assignment(network, defence, data.take(IMAGES).to(known), steps, seed)
    means.tell(
        f"keyed: the network behind the recovered key classifies {recovery.accuracy:.1%} of held-out training images"
    )
    return Guessed(network, defence, recovery.guess)


def surrogate_runs(network: nn.Module | None, count: int, seed: int) -> list[TrainingRun]:
    """Trainings like that of a network, each with a key and a seed of the attacker's own.

    Args:
        network: The network below a keyed defence, from a weights file.
        count: How many.
        seed: Number of the first key and seed.

    Raises:
        ContractError: How it was trained is not known, or it was trained on from another network.
    """
    run = run_of(network)
    return [
        replace(run, seed=seed + i, defence=re.sub(r"key=[^,\]+|]+", f"key=public:{seed + i}", run.defence))
        for i in range(count)
    ]


def run_of(network: nn.Module | None) -> TrainingRun:
    """How a network was trained, as its weights file says. Raises ContractError where that is not known."""
    facts: dict[str, Any] = getattr(network, TRAINED_BEHIND, {}).get("run", {})
    if not facts or facts.get("start") is not None:
        raise ContractError(
            "expected a target from a weights file that says how it was trained from the start, so that an attacker can "
            "train alike, got one that does not; give surrogates=[DEFENCE|MODEL][...]"
        )
    names = {f.name for f in fields(TrainingRun)}
    return TrainingRun(**{name: value for name, value in facts.items() if name in names})
