"""Adversarial weight perturbation, AWP (Wu, Xia and Wang 2020, arXiv:2004.05884)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, short
from vauban.core.parameters import Positive
from vauban.core.spelling import spelled
from vauban.engine.network import shown
from vauban.training import registry
from vauban.training.objective import Passes, Staged, Stateful, Value, together
from vauban.training.recipe import RecipePart

TINY = 1e-20


@dataclass
class PerturbedWeights(Staged[Any]):
    """Value of another objective at weights moved up its own gradient, w + gamma ||w|| g / ||g|| for each tensor, (8).

    Images are made at the weights as they are. One more evaluation of the value gives g; tensors with fewer than two axes
    (biases, scales of a normalisation) are not moved. Buffers move as in the objective alone: by the value at the weights
    as they are, never by the one at moved weights.

    Attributes:
        inner: The objective.
        gamma: Length of the move, as a share of the weights' own.
    """

    inner: Staged[Any]
    gamma: float

    @property
    def made_passes(self) -> Passes:
        return self.inner.made_passes

    @property
    def value_passes(self) -> Passes:
        return together(self.inner.value_passes, self.inner.again_passes)

    @property
    def repeats(self) -> int:
        return self.inner.repeats

    def made(self, network: nn.Module, batch: Batch, step: int) -> Any:
        return self.inner.made(network, batch, step)

    def value(self, network: nn.Module, batch: Batch, made: Any) -> Value:
        weights = movable(network)
        here, logits = self.inner.value(network, batch, made)
        gradients = torch.autograd.grad(here, list(weights.values()), allow_unused=True)
        moved = {
            name: w if g is None else w + self.gamma * w.detach().norm() / (g.norm() + TINY) * g
            for (name, w), g in zip(weights.items(), gradients, strict=True)
        }
        there, _ = self.inner.value(_AtWeights(network, moved), batch, self.inner.again(made))
        return there, None if logits is None else logits.detach()

    def state(self) -> Mapping[str, Tensor]:
        return self.inner.state() if isinstance(self.inner, Stateful) else {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        if isinstance(self.inner, Stateful):
            self.inner.load_state(state)


def movable(network: nn.Module) -> dict[str, nn.Parameter]:
    """The tensors that are moved: those that are trained, of two axes or more."""
    return {name: p for name, p in network.named_parameters() if p.requires_grad and p.dim() > 1}


class _AtWeights(nn.Module):
    """A network at other weights, whose buffers nothing moves."""

    def __init__(self, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.held = (network, {**weights, **{name: value.clone() for name, value in network.named_buffers()}})

    def forward(self, x: Tensor) -> Any:
        network, tensors = self.held
        return functional_call(network, tensors, (shown(network, x),))


@dataclass(frozen=True)
class WeightPerturbation(RecipePart):
    """AWP around another objective, see `PerturbedWeights`.

    Attributes:
        around: The part that gives the objective.
        gamma: Length of the move of the weights, as a share of their own.

    Raises:
        ContractError: A part that gives no objective, another AWP, or a network without weights to move.
    """

    around: RecipePart
    gamma: Positive = 0.005

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.around.decides or isinstance(self.around, WeightPerturbation):
            raise ContractError(f"expected objective of awp to be one, such as at or trades, got {self.around}")

    @property
    def spelling(self) -> str:
        shorter = f"awp:objective=[{self.around}]"
        return shorter if self.gamma == type(self).gamma else f"{shorter},gamma={spelled(self.gamma)}"

    def check(self, network: nn.Module, batch: Batch) -> None:
        if not movable(network):
            raise ContractError(
                f"expected weights to move for awp, tensors of two axes or more that are trained, got none in "
                f"{type(network).__name__}"
            )
        self.around.check(network, batch)

    def objective(self, seed: int) -> PerturbedWeights:
        inner = self.around.objective(seed)
        if not isinstance(inner, Staged) or not inner.asks_answers:
            raise ContractError(
                "expected objective of awp to be in two stages (training.objective.Staged) of which the value asks the "
                f"network for its answers alone, got {self.around}"
            )
        return PerturbedWeights(inner, self.gamma)


@registry.register("awp", words={"objective": "recipe"})
def awp(objective: RecipePart, gamma: Positive = 0.005) -> WeightPerturbation:
    """AWP: another objective at weights moved up its gradient, `awp:objective=[trades:attack=[...]],gamma=0.005`.

    Args:
        objective: The part that gives the objective.
        gamma: Length of the move of the weights, as a share of their own.
    """
    if not isinstance(objective, RecipePart):
        raise ContractError(
            f"expected objective of awp as a part of a recipe such as at or trades, got {short(objective)}"
        )
    return WeightPerturbation(objective, gamma)
