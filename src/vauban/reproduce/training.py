"""Trained networks of an experiment: artefacts that are made on first use and shared between experiments."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vauban import data, models
from vauban.core import text as specs
from vauban.core.contracts import Artefact, Words
from vauban.core.errors import ContractError
from vauban.data import Dataset
from vauban.evaluate.training import carry_out
from vauban.evaluate.training_identity import training_identity
from vauban.jobs.identity import address
from vauban.jobs.perform import file_of_artefact
from vauban.models import weights
from vauban.models.weights import SUFFIXES
from vauban.training.run import TrainingRun
from vauban.words.recipe import recipe_of

log = logging.getLogger("vauban")


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """The weights of a role, in a file named by everything that they follow from, the training's code included.

    A training that was killed goes on after the last epoch that it finished.

    Attributes:
        role: The role, as progress names it.
        run: The training.
        dataset: What it trains on.
        folder: Where weights are kept.
        start: What it starts from: another role's network, a file, or nothing.
        device: Where to train.
        origin: The words that make this artefact again, without its address.
    """

    role: str
    run: TrainingRun
    dataset: Dataset
    folder: Path
    start: TrainedNetwork | Path | None = None
    device: str = "cpu"
    origin: Words | None = None

    @property
    def label(self) -> str:
        return f"training {self.role}"

    @cached_property
    def path(self) -> Path:
        parsed = specs.parse(self.run.model)
        short = parsed.name if parsed.file is None else Path(parsed.file).stem
        return self.folder / f"{short}-{address(self.identity())}.safetensors"

    def identity(self) -> Mapping[str, Any]:
        """The run but its words for the start, the bytes or the identity of the start, the data, the device's type, torch's
        minor version and the code."""
        return self._identity

    @cached_property
    def _identity(self) -> Mapping[str, Any]:
        if isinstance(self.start, TrainedNetwork):
            return training_identity(self.run, self.dataset, address(self.start.identity()), self.device)
        start = None if self.start is None else weights.digest(self.start)
        return training_identity(self.run, self.dataset, start, self.device)

    @cached_property
    def architecture(self) -> Any:
        """The network before any training, with the edits of the recipe."""
        return recipe_of(self.run.recipe).edit(models.build(self.run.model, self.run.seed)).eval()

    def needs(self) -> Sequence[Artefact]:
        return [self.start] if isinstance(self.start, TrainedNetwork) else []

    def words(self) -> Words | None:
        if self.origin is None:
            return None
        return Words(self.origin.call, {**self.origin.arguments, "address": str(self.path)})

    def make(self, scratch: Path, tell: Callable[[int, int], None]) -> None:
        """Train; progress counts the images seen."""
        start = file_of_artefact(self.start) if isinstance(self.start, TrainedNetwork) else self.start
        log.info("training %s for the role %s: %s", self.path.name, self.role, self.run)
        each, epochs = len(self.dataset), self.run.epochs
        tell(0, epochs * each)
        carry_out(
            replace(self.run, start=None if start is None else str(start)),
            self.dataset,
            self.path,
            scratch=scratch,
            device=self.device,
            callback=lambda epoch: tell(epoch.number * each, epochs * each),
        )


@dataclass(frozen=True, eq=False)
class TrainedNetworks:
    """The trained networks of an experiment by role.

    Attributes:
        folder: Where weights are kept.
        recipes: The runs by role.
        specs: The networks by role that are not trained, to start from.
        root: Of the data.
        device: Where to train.
        origin: The words that make one of them again, without its address.
    """

    folder: Path
    recipes: Mapping[str, TrainingRun]
    specs: Mapping[str, str]
    root: Path | None = None
    device: str = "cpu"
    origin: Words | None = None
    _data: dict[str, Dataset] = field(default_factory=dict, repr=False)
    _made: dict[str, TrainedNetwork] = field(default_factory=dict, repr=False)

    def __getitem__(self, role: str) -> TrainedNetwork:
        return self._of(role, ())

    def _of(self, role: str, above: tuple[str, ...]) -> TrainedNetwork:
        if role in above:
            raise ContractError(f"expected recipes that start from others, got a circle: {' > '.join((*above, role))}")
        if role not in self._made:
            run = self.recipes[role]
            start = None if run.start is None else self._start(run.start, (*above, role))
            dataset = self._dataset(run.data)
            self._made[role] = TrainedNetwork(role, run, dataset, self.folder, start, self.device, self.origin)
        return self._made[role]

    def _start(self, role: str, above: tuple[str, ...]) -> TrainedNetwork | Path:
        if role in self.recipes:
            return self._of(role, above)
        parsed = specs.parse(self.specs.get(role, ""))
        given = parsed.params.get("weights", parsed.name if Path(parsed.name).suffix in SUFFIXES else None)
        if given is None:
            raise ContractError(
                f"expected start={role!r} to be a recipe or a model with weights=FILE, got {parsed.name!r}"
            )
        return Path(str(given)).expanduser()

    def _dataset(self, name: str) -> Dataset:
        if name not in self._data:
            self._data[name] = data.load(name, root=self.root)
        return self._data[name]
