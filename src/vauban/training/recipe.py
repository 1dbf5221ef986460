"""Recipe: what a training does beside plain training, as a value that is composed, printed and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import TYPE_CHECKING, Any

from vauban.core.errors import ContractError
from vauban.core.parameters import Parameters
from vauban.training.criteria.cross_entropy import PLAIN

if TYPE_CHECKING:
    from torch import nn

    from vauban.core.contracts import Batch
    from vauban.training.objective import Objective
    from vauban.training.samples import TrainingSamples

CRITERION: Mapping[str, str] = {"criterion": "criterion"}
"""What the registration of an `ObjectivePart` adds to its words."""


class RecipePart(Parameters):
    """A part of a recipe; subclasses are frozen dataclasses that override what they change.

    Parts are joined by `+`. At most one of a recipe gives an objective.
    """

    def edit(self, module: nn.Module) -> nn.Module:
        """The network to train in place of the one that was built."""
        return module

    def samples(self, data: TrainingSamples, seed: int) -> TrainingSamples:
        """The samples to train on in place of the data's own."""
        return data

    def objective(self, seed: int) -> Objective | None:
        """The objective, from the seed of its random numbers; None for none."""
        return None

    def check(self, network: nn.Module, batch: Batch) -> None:
        """Look at what is about to be trained, before anything is spent.

        Args:
            network: The edited network behind its defence, in training mode.
            batch: The first samples.

        Raises:
            ContractError: It cannot be trained by this part.
        """

    @property
    def decides(self) -> bool:
        """Whether the part gives an objective."""
        return type(self).objective is not RecipePart.objective

    @property
    def edits(self) -> bool:
        """Whether the part changes the network, which its weights file then says."""
        return type(self).edit is not RecipePart.edit

    def __add__(self, other: RecipePart | Recipe) -> Recipe:
        return Recipe((self,)) + other

    def __str__(self) -> str:
        from vauban.core.spelling import spelled

        return spelled(self) if is_dataclass(self) else type(self).__name__.lower()


@dataclass(frozen=True)
class ObjectivePart(RecipePart):
    """A part that gives the objective.

    Attributes:
        criterion: J, a scalar from logits `(batch, classes)` and labels `(batch,)`.
    """

    criterion: Callable[..., Any] = field(default=PLAIN, kw_only=True)


@dataclass(frozen=True)
class Recipe:
    """Edits, samples and one objective, cross-entropy on the samples where no part gives another.

    Attributes:
        parts: What is changed, in this order.

    Raises:
        ContractError: Two parts give an objective.
    """

    parts: tuple[RecipePart, ...] = ()

    def __post_init__(self) -> None:
        if strange := [part for part in self.parts if not isinstance(part, RecipePart)]:
            raise ContractError(f"expected parts of a recipe, got {strange[0]!r}")
        deciding = [str(part) for part in self.parts if part.decides]
        if len(deciding) > 1:
            raise ContractError(f"expected one objective in a recipe, got {' and '.join(deciding)}; leave one out")

    def __add__(self, other: RecipePart | Recipe) -> Recipe:
        return Recipe((*self.parts, *(other.parts if isinstance(other, Recipe) else (other,))))

    def edit(self, module: nn.Module) -> nn.Module:
        """The network with the edits of all parts."""
        for part in self.parts:
            module = part.edit(module)
        return module

    def samples(self, data: TrainingSamples, seed: int) -> TrainingSamples:
        """The samples with the changes of all parts."""
        for part in self.parts:
            data = part.samples(data, seed)
        return data

    def objective(self, seed: int) -> Objective:
        """The objective of the part that gives one, else the cross-entropy on the samples."""
        from vauban.training.objectives.standard import CleanObjective

        given = (part.objective(seed) for part in self.parts)
        return next((objective for objective in given if objective is not None), CleanObjective())

    def check(self, network: nn.Module, batch: Batch) -> None:
        """Have every part look at what is about to be trained. Raises ContractError."""
        for part in self.parts:
            part.check(network, batch)

    def __str__(self) -> str:
        return "+".join(map(str, self.parts)) or "standard"
