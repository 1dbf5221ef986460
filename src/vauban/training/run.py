"""Training run: the one list of what a training follows from."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

from vauban.core.errors import ContractError, plural
from vauban.core.parameters import Count, NonNegative, Parameters, Range, Whole
from vauban.training.recipe import Recipe, RecipePart
from vauban.training.selection import Selection


@dataclass(frozen=True)
class TrainingRun(Parameters):
    """A network, what it is trained on, and how. The command line, reproductions and weights files read these fields.

    Attributes:
        model: Architecture with its parameters: `cifar10-thesis:width=0.25`.
        data: Data set to train on.
        recipe: What is done beside plain training: `at:attack=[pgd:eps=0.3,steps=7]+mirror-shift`, or objects.
        defence: What stands in front of the network while it is trained.
        epochs: Passes over the data; 0 only with a start.
        batch: Samples of a step.
        lr: Learning rate.
        optimiser: 'adam' or 'sgd' (momentum 0.9).
        weight_decay: L2 penalty.
        schedule: How the learning rate falls.
        seed: Of initialisation, order, dropout and the recipe's random numbers.
        start: Weights file to train on from; in a reproduction the role of another network.
        holdout: Share of the samples, the last ones, that is kept out of training to validate on, in [0, 1).
        selection: Which of the epochs' networks is kept: `last`, or `best:attack=[pgd:eps=0.1,steps=10]` on the holdout.
        minutes: Expected duration on two CPU cores; says nothing about the network.

    Raises:
        ContractError: A value of another type or out of its range, or no epoch and no start.
    """

    model: str
    data: str
    epochs: Whole = 6
    recipe: str | RecipePart | Recipe = "standard"
    defence: str = "none"
    batch: Count = 128
    lr: NonNegative = 1e-3
    optimiser: Literal["adam", "sgd"] = "adam"
    weight_decay: NonNegative = 0.0
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    seed: int = 0
    start: str | None = None
    holdout: Annotated[float, Range(0, 1, open_high=True)] = 1 / 12
    selection: str | Selection = "last"
    minutes: NonNegative = field(default=0.0, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs == 0 and self.start is None:
            raise ContractError("expected epochs >= 1, or 0 with weights to start from, got 0 and none")

    def describe(self) -> dict[str, Any]:
        """The fields that a network follows from, as JSON, the recipe as its text."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.compare}
        return {**values, "recipe": str(self.recipe), "selection": str(self.selection)}

    def __str__(self) -> str:
        start = "" if self.start is None else f", from {self.start}"
        recipe = "" if str(self.recipe) == "standard" else f", {self.recipe}"
        front = "" if self.defence == "none" else f", behind {self.defence}"
        epochs = plural(self.epochs, "epoch")
        return f"{self.model} trained on {self.data}{front}, {epochs}, seed {self.seed}{recipe}{start}"
