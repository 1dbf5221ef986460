"""Base of threats: who the attacker is before the network is known, and what the attacker is not granted."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol

from torch import nn

from vauban.core.arguments import named_arguments
from vauban.core.cards import Backward, carded
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, plural
from vauban.core.norms import Ball
from vauban.core.parameters import Parameters, Range, fits
from vauban.core.surgery import submodule
from vauban.data import Dataset
from vauban.engine.network import WeightedModule
from vauban.engine.threat import BoundThreat

Rules = Mapping[str, Backward] | str
"""BPDA by submodule name: a substitute or None for the identity; a string `a+b` names identities."""
Weight = Annotated[float, Range()]
"""A finite number, of either sign."""


class Means(Protocol):
    """What an attacker can do before the attack: train networks, read data, ask the target.

    Attributes:
        network: The network below the defences; None where they are part of it.
        defended: The network that is attacked.
    """

    @property
    def network(self) -> nn.Module | None: ...
    @property
    def defended(self) -> nn.Module: ...
    def train(self, run: Any) -> nn.Module:
        """The network of a `TrainingRun` behind what it was trained behind; made once and kept."""

    def fit(self, fitter: Any, images: Batch, seed: int) -> Any:
        """The `NetworkFit` of a `NetworkFitter` on the target's answers to some images; made once and kept."""

    def data(self, name: str) -> Dataset:
        """A data set by name."""

    def tell(self, sentence: str) -> None:
        """Say what came of it."""


@dataclass(frozen=True)
class Threat(Parameters, ABC):
    """A threat without its network: `bind` gives it one. Subclasses are frozen dataclasses of its parameters.

    Attributes:
        registered: Name in the registry.
        grants: What the attacker may ask for: gradients, scores, labels.
    """

    registered: ClassVar[str]
    grants: ClassVar[frozenset[str]]

    @property
    def name(self) -> str:
        """Name on the command line: the registered one, and the parameters that are not the default."""
        written = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            default = field.default_factory() if callable(field.default_factory) else field.default
            if field.repr and value != default:
                text = _rules_text(value) if isinstance(value, Mapping) else getattr(value, "name", value)
                written.append(f"{field.name}={text}")
        return self.registered + (":" + ",".join(written) if written else "")

    def around(self, network: nn.Module | None) -> Threat:
        """The same threat, told which network stands below the defences of the one it will be bound to.

        Args:
            network: That network; None where the defences are part of it.

        Raises:
            ContractError: The threat needs it, and it is not known.
        """
        return self

    def prepare(self, means: Means) -> Threat:
        """The same threat with what the attacker has trained or learnt before the attack; most need nothing.

        Args:
            means: What the attacker can do.
        """
        return self

    @abstractmethod
    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> BoundThreat:
        """The threat to a network.

        Args:
            defended: The network behind its defences.
            levels: Pixel levels of the images the networks are shown; None: unrounded.
            limit: The ball that the verdict enforces.
            budget: Forward passes per sample; None: no bound.

        Raises:
            ContractError: The threat does not fit the network.
        """


def _rules_text(rules: Mapping[str, Backward]) -> str:
    return "+".join(
        name if rule is None else f"{name}({getattr(rule, '__name__', type(rule).__name__)})"
        for name, rule in rules.items()
    )


def rules_of(module: nn.Module, rules: Rules) -> dict[nn.Module, Backward]:
    """BPDA rules by module.

    Args:
        module: The module in which the names of the rules are looked up.
        rules: By submodule name, "" for `module` itself.

    Returns:
        The rule of each module named; where two names are those of one module, the first one's.

    Raises:
        ContractError: A name that is no submodule.
    """
    named: Mapping[str, Backward]
    named = {name.strip(): None for name in rules.split("+") if name.strip()} if isinstance(rules, str) else rules
    by_module: dict[nn.Module, Backward] = {}
    for name, rule in named.items():
        by_module.setdefault(submodule(module, name, "bpda"), rule)
    return by_module


def refuse_keyed(network: nn.Module, threat: str) -> None:
    """Raises ContractError where a network depends on a key, which an attacker with its gradients would have to hold."""
    if any(card.keyed for _, card in carded(network)):
        raise ContractError(
            f"expected a threat that says what is known of the key, got {threat!r} for a keyed defence, whose gradients "
            "hold it; name keyed (everything but the key) or leaked-key (the key too)"
        )


def is_random(*modules: nn.Module) -> bool:
    """Whether a card anywhere in the modules declares randomness."""
    return any(card.random for module in modules for _, card in carded(module))


def weighted(
    models: nn.Module | Sequence[nn.Module], weights: float | Sequence[float] | None
) -> tuple[WeightedModule, ...]:
    """Models with their weights, by default equal weights that sum to one.

    Raises:
        ContractError: No model or something that is none; another number of weights than models, a weight that is no
            finite number, or none other than zero.
    """
    models = (models,) if isinstance(models, nn.Module) else tuple(models)
    if not models or not all(isinstance(model, nn.Module) for model in models):
        got = ", ".join(type(model).__name__ for model in models) or "none"
        raise ContractError(f"expected at least one torch.nn.Module to attack in place of the target, got {got}")
    if weights is None:
        weights = (1 / len(models),) * len(models)
    weights = (weights,) if isinstance(weights, int | float) else tuple(weights)
    if len(weights) != len(models):
        raise ContractError(f"expected one weight for each of {plural(len(models), 'model')}, got {len(weights)}")
    if not all(fits(weight, Weight) for weight in weights):
        raise ContractError(f"expected every weight of a model as a finite number, got {list(weights)}")
    if not any(weights):
        raise ContractError("expected at least one weight other than zero, got all zero")
    return tuple(zip(models, (float(weight) for weight in weights), strict=True))


@named_arguments
def refusal(needs: str, threat: Threat | BoundThreat, allowed: Iterable[str] = ()) -> str | None:
    """Why a threat refuses an attack; None where it does not.

    Args:
        needs: What the attack needs: gradients, scores, labels or nothing.
        threat: The threat, bound or not.
        allowed: Names of the attacks that the threat does allow, quoted in the message.
    """
    if needs == "nothing" or needs in threat.grants:
        return None
    granted = ", ".join(sorted(threat.grants))
    names = ", ".join(sorted(allowed)) or "none of those registered"
    return f"the threat {threat.name!r} does not grant {needs}, only {granted}; attacks it allows: {names}"
