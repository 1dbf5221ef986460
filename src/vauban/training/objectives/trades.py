"""TRADES: a trade-off between accuracy and stability (Zhang et al. 2019, arXiv:1901.08573)."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace

from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import divergence
from vauban.core.parameters import NonNegative
from vauban.core.spelling import spelled
from vauban.engine.attack import Attack
from vauban.training import registry
from vauban.training.criteria.cross_entropy import PLAIN
from vauban.training.objective import CraftedObjective, Criterion, Passes, Value, logits_of, together
from vauban.training.recipe import CRITERION, ObjectivePart
from vauban.training.statistics_mode import BatchNorm


@dataclass(frozen=True)
class CleanAndCrafted:
    """What a step of TRADES is taken on.

    Attributes:
        clean: Logits of the originals `(batch, classes)`, with their graph; None where that has been used up.
        x: The attack's images, `(batch, ...)`.
    """

    clean: Tensor | None
    x: Tensor


@dataclass
class TradesObjective(CraftedObjective[CleanAndCrafted]):
    """J(x) + beta KL(p(x) || p(x')), x' the image with which an attack raises the divergence, (5) of the paper.

    The gradient goes through both distributions. The divergence that the attack raises compares with p(x) of the step's own
    forward of x, in training mode; the authors' code makes another forward in evaluation mode for it.

    Attributes:
        beta: Weight of the divergence, 1 / lambda of the paper.
        criterion: J.
    """

    beta: float = 6.0
    criterion: Criterion = PLAIN

    @property
    def made_passes(self) -> Passes:
        return together(super().made_passes, (1, 0))

    @property
    def value_passes(self) -> Passes:
        return 1, 2

    @property
    def again_passes(self) -> Passes:
        return 2, 2

    def made(self, network: nn.Module, batch: Batch, step: int) -> CleanAndCrafted:
        clean = logits_of(network, batch.x, batch.y)
        return CleanAndCrafted(clean, self.images(network, batch, step, clean.detach()))

    def again(self, made: CleanAndCrafted) -> CleanAndCrafted:
        return replace(made, clean=None)

    def value(self, network: nn.Module, batch: Batch, made: CleanAndCrafted) -> Value:
        clean = logits_of(network, batch.x, batch.y) if made.clean is None else made.clean
        apart = divergence(logits_of(network, made.x, batch.y), ResolvedGoal(batch.y, reference=clean))
        return self.criterion(clean, batch.y) + self.beta * apart.mean(), clean


@registry.register("trades", words={"attack": "attack", **CRITERION})
@dataclass(frozen=True)
class Trades(ObjectivePart):
    """TRADES: the loss of the clean images, and beta times how far the attack can move the answer from the clean one.

    Attributes:
        attack: Makes the images; its loss is the divergence, in the place of its own.
        beta: Weight of the divergence.
        batch_norm: Mode of batch normalisation while the images are made.

    Raises:
        ContractError: An attack without a loss, which cannot raise the divergence.
    """

    attack: Attack
    beta: NonNegative = 6.0
    batch_norm: BatchNorm = "evaluation"

    def __post_init__(self) -> None:
        super().__post_init__()
        raising(self.attack)

    def check(self, network: nn.Module, batch: Batch) -> None:
        self.objective(0).tried(network, batch, reference=True)

    def objective(self, seed: int) -> TradesObjective:
        attack = raising(self.attack)
        return TradesObjective(attack, self.beta, self.criterion, seed=seed, batch_norm=self.batch_norm)


def raising(attack: Attack) -> Attack:
    """The attack with the divergence as its loss, also inside another one. Raises ContractError where it has no loss."""
    named: set[str] = {field.name for field in fields(attack)} if is_dataclass(attack) else set()
    if "loss" in named:
        return replace(attack, loss=divergence)  # type: ignore[type-var]
    inner = getattr(attack, "attack", None)
    if "attack" in named and isinstance(inner, Attack):
        return replace(attack, attack=raising(inner))  # type: ignore[type-var]
    raise ContractError(
        f"expected an attack with a loss for trades, got {spelled(attack)}, which has none; use pgd or bim, or at"
    )
