"""Recipe: what a training does beside plain training, as a value that is composed, printed and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vauban.core.errors import ContractError
from vauban.core.parameters import Parameters
from vauban.training import registry

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vauban.training.objectives import Objective
    from vauban.training.samples import TrainingSamples


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

    def objective(self, criterion: Callable[[Tensor, Tensor], Tensor], seed: int) -> Objective | None:
        """The objective, from the criterion on logits and labels and the seed of its random numbers; None for none."""
        return None

    @property
    def decides(self) -> bool:
        """Whether the part gives an objective."""
        return type(self).objective is not RecipePart.objective

    def __add__(self, other: RecipePart | Recipe) -> Recipe:
        return Recipe((self,)) + other

    def __str__(self) -> str:
        from vauban.core.spelling import spelled

        return spelled(self)


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

    def objective(self, criterion: Callable[[Tensor, Tensor], Tensor], seed: int) -> Objective:
        """The objective of the part that gives one, else the criterion on the samples."""
        from vauban.training.objectives import CleanObjective

        given = (part.objective(criterion, seed) for part in self.parts)
        return next((objective for objective in given if objective is not None), CleanObjective(criterion))

    def __str__(self) -> str:
        return "+".join(map(str, self.parts)) or "standard"


@registry.register("standard")
@dataclass(frozen=True)
class StandardTraining(RecipePart):
    """Plain training: the criterion on the samples as they are."""

    def objective(self, criterion: Callable[[Tensor, Tensor], Tensor], seed: int) -> Objective:
        from vauban.training.objectives import CleanObjective

        return CleanObjective(criterion)
