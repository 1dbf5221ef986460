"""Networks that an experiment trains on first use; what is trained is kept and shared between experiments."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vauban import data, models
from vauban.core import text as specs
from vauban.core.errors import ContractError, VaubanError
from vauban.data import Dataset
from vauban.jobs.identity import address, describe
from vauban.models.weights import SUFFIXES
from vauban.reproduce.declarations import TrainingRun
from vauban.store import files

log = logging.getLogger("vauban")
UNNAMED = ("class", "start", "minutes")  # what a file's name does not follow from: `start` counts by its bytes


@dataclass(frozen=True, eq=False)
class TrainingWorker:
    """folder: where weights are kept. specs: those of the networks that are not trained, to start from. root: of the data.

    A file is named by the hash of the recipe, the fingerprint of the data and the bytes it starts from, not by the code
    that trains: the network is an input of what is crafted on it, by its bytes.
    """

    folder: Path
    recipes: Mapping[str, TrainingRun]
    specs: Mapping[str, str]
    root: Path | None = None
    device: str = "cpu"
    _data: dict[str, Dataset] = field(default_factory=dict, repr=False)

    def weights(self, role: str, progress: Callable[[str, int, int], None] | None = None) -> Path:
        """The weights file of a role, trained now unless it is there. Raises VaubanError while another process trains it.

        progress(what, images seen, images in all), at the end of every epoch.
        """
        return self._weights(role, progress or (lambda *_: None), ())

    def _weights(self, role: str, told: Callable[[str, int, int], None], above: tuple[str, ...]) -> Path:
        if role in above:
            raise ContractError(f"expected recipes that start from others, got a circle: {' > '.join((*above, role))}")
        recipe = self.recipes[role]
        start = None if recipe.start is None else self._start(recipe.start, told, (*above, role))
        dataset = self._dataset(recipe.data)
        path = self.folder / f"{_short(recipe)}-{_key(recipe, dataset, start)}.safetensors"
        if path.exists():
            return path
        with files.lock(path.with_suffix(".lock")) as mine:
            if not mine:
                raise VaubanError(f"{path}: another process trains this network; wait for it, or choose another --out")
            if not path.exists():
                log.info("training %s for the role %s: %s", path.name, role, line(recipe))
                _train(recipe, dataset, path, start, self.device, told, f"training {role}")
        return path

    def _start(self, role: str, told: Callable[[str, int, int], None], above: tuple[str, ...]) -> Path:
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


def line(recipe: TrainingRun) -> str:
    """A recipe in words."""
    start = "" if recipe.start is None else f", from {recipe.start}"
    against = "" if recipe.adversarial is None else f", on images of {recipe.adversarial} anew each {recipe.regenerate}"
    return f"{recipe.model} trained on {recipe.data}, {recipe.epochs} epochs, seed {recipe.seed}{start}{against}"


def _short(recipe: TrainingRun) -> str:
    parsed = specs.parse(recipe.model)
    return parsed.name if parsed.file is None else Path(parsed.file).stem


def _key(recipe: TrainingRun, dataset: Dataset, start: Path | None) -> str:
    what = {name: value for name, value in describe(recipe).items() if name not in UNNAMED}
    begun = None if start is None else hashlib.sha256(start.read_bytes()).hexdigest()
    return address({"recipe": what, "start": begun, "data": dataset.fingerprint})


def _train(
    recipe: TrainingRun,
    dataset: Dataset,
    path: Path,
    start: Path | None,
    device: str,
    told: Callable[[str, int, int], None],
    what: str,
) -> None:
    total = recipe.epochs * len(dataset)
    told(what, 0, total)
    models.train(
        recipe.model,
        dataset,
        path,
        recipe.epochs,
        recipe.seed,
        batch=recipe.batch,
        lr=recipe.lr,
        optimiser=recipe.optimiser,
        cosine=recipe.cosine,
        augment=recipe.augment,
        adversarial=recipe.adversarial,
        regenerate=recipe.regenerate,
        start=start,
        holdout=0,
        device=device,
        callback=lambda epoch: told(what, epoch.number * len(dataset), total),
    )
