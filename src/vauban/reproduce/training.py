"""Networks that an experiment trains on first use; what is trained is kept and shared between experiments."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from vauban import data
from vauban.core import text as specs
from vauban.core.errors import ContractError
from vauban.data import Dataset
from vauban.evaluate.train import train
from vauban.jobs.identity import address, describe
from vauban.models.weights import SUFFIXES
from vauban.store import files
from vauban.training.run import TrainingRun
from vauban.words.recipe import recipe_of

log = logging.getLogger("vauban")
Progress = Callable[[str, int, int], None]
"""Called as progress(what, images seen, images in all)."""


@dataclass(frozen=True, eq=False)
class TrainingWorker:
    """The weights of an experiment's roles, trained when they are first asked for.

    A file is named by the hash of the run, the fingerprint of the data and the bytes it starts from, not by the code that
    trains: the network is an input of what is crafted on it, by its bytes. A training that was killed goes on after the
    last epoch it finished.

    Attributes:
        folder: Where weights are kept, and the checkpoints of trainings that are not over.
        recipes: The runs by role.
        specs: The networks by role that are not trained, to start from.
        root: Of the data.
        device: Where to train.
    """

    folder: Path
    recipes: Mapping[str, TrainingRun]
    specs: Mapping[str, str]
    root: Path | None = None
    device: str = "cpu"
    _data: dict[str, Dataset] = field(default_factory=dict, repr=False)

    def weights(self, role: str, progress: Progress | None = None) -> Path:
        """The weights file of a role, trained now unless it is there; while another process trains it, wait for it.

        Args:
            role: The role.
            progress: Called at the end of every epoch.
        """
        return self._weights(role, progress or (lambda *_: None), ())

    def _weights(self, role: str, told: Progress, above: tuple[str, ...]) -> Path:
        if role in above:
            raise ContractError(f"expected recipes that start from others, got a circle: {' > '.join((*above, role))}")
        run = self.recipes[role]
        start = None if run.start is None else self._start(run.start, told, (*above, role))
        dataset = self._dataset(run.data)
        path = self.folder / f"{_short(run)}-{_key(run, dataset, start)}.safetensors"
        if path.exists():
            return path
        with files.wait_for(path.with_suffix(".lock"), lambda: told(f"training {role}", 0, run.epochs * len(dataset))):
            if not path.exists():
                log.info("training %s for the role %s: %s", path.name, role, run)
                self._train(replace(run, start=None if start is None else str(start)), dataset, path, told, role)
        return path

    def _train(self, run: TrainingRun, dataset: Dataset, path: Path, told: Progress, role: str) -> None:
        what, total = f"training {role}", run.epochs * len(dataset)
        told(what, 0, total)
        train(
            run,
            dataset,
            path,
            scratch=self.folder,
            device=self.device,
            callback=lambda epoch: told(what, epoch.number * len(dataset), total),
        )

    def _start(self, role: str, told: Progress, above: tuple[str, ...]) -> Path:
        if role in self.recipes:
            return self._weights(role, told, above)
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


def _short(run: TrainingRun) -> str:
    parsed = specs.parse(run.model)
    return parsed.name if parsed.file is None else Path(parsed.file).stem


def _key(run: TrainingRun, dataset: Dataset, start: Path | None) -> str:
    begun = None if start is None else hashlib.sha256(start.read_bytes()).hexdigest()
    what = {**run.describe(), "recipe": describe(recipe_of(run.recipe)), "start": begun}
    return address({"run": what, "data": dataset.fingerprint})
