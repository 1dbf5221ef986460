"""What a threat recipe is: who the attacker is, before the network is known; and what it does not grant."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from vauban.core.cards import Backward, carded
from vauban.core.errors import ContractError
from vauban.core.norms import Ball
from vauban.core.registry import Registry
from vauban.engine.network import WeightedModule
from vauban.engine.threat import BoundThreat

registry: Registry[Any] = Registry("threat", "vauban.threats")

Rules = Mapping[str, Backward] | str
"""BPDA by submodule name: a substitute or None for the identity; a string `a+b` names identities."""


@dataclass(frozen=True)
class Threat(ABC):
    """A threat without its network: `bind` gives it one. grants: what its attacker may ask for."""

    registered: ClassVar[str]
    grants: ClassVar[frozenset[str]]

    @property
    def name(self) -> str:
        """What the command line calls it: the registered name, and the parameters that are not the default."""
        written = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            default = field.default_factory() if callable(field.default_factory) else field.default
            if field.repr and value != default:
                text = _rules_text(value) if isinstance(value, Mapping) else getattr(value, "name", value)
                written.append(f"{field.name}={text}")
        return self.registered + (":" + ",".join(written) if written else "")

    @abstractmethod
    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> BoundThreat:
        """The threat to `defended`, judged within `limit` on images of `levels` pixel levels (None: unrounded).

        budget: forward passes per sample. Raises ContractError where the recipe does not fit the module.
        """


def _rules_text(rules: Mapping[str, Backward]) -> str:
    return "+".join(
        name if rule is None else f"{name}({getattr(rule, '__name__', type(rule).__name__)})"
        for name, rule in rules.items()
    )


def rules_of(module: nn.Module, rules: Rules) -> dict[nn.Module, Backward]:
    """The BPDA rules by module; a name that is not a submodule of `module` is a ContractError."""
    named: Mapping[str, Backward]
    named = {name.strip(): None for name in rules.split("+") if name.strip()} if isinstance(rules, str) else rules
    found: dict[nn.Module, Backward] = {}
    for name, rule in named.items():
        try:
            found.setdefault(module.get_submodule(name), rule)
        except AttributeError:
            known = ", ".join(n for n, _ in module.named_modules() if n) or "none"
            kind = type(module).__name__
            raise ContractError(f"expected bpda to name a submodule of {kind}, got {name!r}; it has: {known}") from None
    return found


def is_random(*modules: nn.Module) -> bool:
    """Whether a card anywhere in the modules declares randomness."""
    return any(card.random for module in modules for _, card in carded(module))


def weighted(
    models: nn.Module | Sequence[nn.Module], weights: float | Sequence[float] | None
) -> tuple[WeightedModule, ...]:
    """Models with their weights, by default equal weights that sum to one. Raises ContractError on a bad pair."""
    models = (models,) if isinstance(models, nn.Module) else tuple(models)
    if not models or not all(isinstance(model, nn.Module) for model in models):
        got = ", ".join(type(model).__name__ for model in models) or "none"
        raise ContractError(f"expected at least one torch.nn.Module to attack in place of the target, got {got}")
    if weights is None:
        weights = (1 / len(models),) * len(models)
    weights = (weights,) if isinstance(weights, int | float) else tuple(weights)
    if len(weights) != len(models):
        raise ContractError(f"expected one weight for each of {len(models)} models, got {len(weights)}")
    if not all(math.isfinite(weight) for weight in weights):
        raise ContractError(f"expected finite weights, got {list(weights)}")
    if not any(weights):
        raise ContractError("expected at least one weight other than zero, got all zero")
    return tuple(zip(models, (float(weight) for weight in weights), strict=True))


def refusal(needs: str, recipe: Threat | BoundThreat, allowed: Iterable[str] = ()) -> str | None:
    """Why a threat refuses an attack that needs `needs` (gradients, scores, labels or nothing); None where it does not.

    allowed: the names of the attacks that the threat does allow, quoted in the message.
    """
    if needs == "nothing" or needs in recipe.grants:
        return None
    granted = ", ".join(sorted(recipe.grants))
    names = ", ".join(sorted(allowed)) or "none of those registered"
    return f"the threat {recipe.name!r} does not grant {needs}, only {granted}; attacks it allows: {names}"
