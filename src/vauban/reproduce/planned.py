"""Planned experiment: its data, its networks and the jobs of its table, here and again in a worker process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vauban import data
from vauban.core.contracts import Artefact, Job, Words
from vauban.core.errors import ContractError, UnknownName, plural
from vauban.data import Dataset
from vauban.evaluate.batch_size import automatic_batch_size
from vauban.jobs.perform import place
from vauban.reproduce import load, panels
from vauban.reproduce.context import Context
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Panel
from vauban.reproduce.networks import Networks
from vauban.reproduce.plan import Plan, plan
from vauban.reproduce.printed import Printed, beside, printed
from vauban.reproduce.training_seeds import KEY, seeded_cells, seeded_recipes
from vauban.words.key import load as load_key

UNTRAINED = "networks with random weights: a trial of the code, the numbers mean nothing"


@dataclass(frozen=True)
class Options:
    """Options of a run, beside the experiment and its scale.

    Attributes:
        images: At most the scale's; None for all of them.
        seeds: None for the scale's.
        training_seeds: Seeds of its trainings; None for the scale's.
        data_root: Folder of the data sets; None for the default one.
        device: Where the networks are.
        batch_size: None chooses one from the image size; it is part of the identity of what is stored.
        command: The command line that starts the run again, for the page.
        untrained: Random weights where a scale would fetch or train some.
        keys: Names of keys, one for each training seed, that keyed networks are trained behind; None for the scale's.
    """

    images: int | None = None
    seeds: tuple[int, ...] | None = None
    data_root: str | Path | None = None
    device: str = "cpu"
    batch_size: int | None = None
    command: str = ""
    untrained: bool = False
    training_seeds: tuple[int, ...] | None = None
    keys: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class PlannedExperiment:
    """An experiment at a scale, planned.

    Attributes:
        experiment: The experiment, with the chosen scale as it is run.
        scale: That scale.
        cells: The cells of its table.
        panels: Its figures.
        printed: The printed row of each cell, None for cells that the paper does not have.
        work: The jobs of the cells, then of the figures.
    """

    experiment: Experiment
    scale: Scale
    cells: Sequence[TableCell]
    panels: Sequence[Panel]
    printed: Sequence[Printed | None]
    work: Plan

    @property
    def wanted(self) -> list[TableCell]:
        """Every cell, those of the figures last."""
        return [*self.cells, *panels.needed(self.panels)]


def prepared(name: str, scale: str, out: Path, options: Options) -> PlannedExperiment:
    """The plan of an experiment.

    Raises:
        UnknownName: An id or a scale that does not exist.
        ContractError: A declaration that does not hold.
    """
    experiment = load(name)
    chosen = scale_of(experiment, scale)
    if options.training_seeds:
        chosen = _with_training_seeds(chosen, options.training_seeds)
    if options.keys:
        chosen = _with_keys(chosen, options.keys)
    if options.untrained:
        chosen = replace(chosen, setting="stand-in", note=UNTRAINED)
    experiment = replace(experiment, scales={**experiment.scales, scale: chosen})
    cells = list(experiment.cells(chosen))
    beside_them = [beside(cell, printed(experiment.printed)) for cell in cells]
    shown = [] if experiment.panels is None else list(experiment.panels(chosen))
    wanted = [*cells, *panels.needed(shown)]
    words = {"name": name, "scale": scale, "out": str(out), "options": _as_words(options)}
    context = opened(chosen, out, options, Words("vauban.reproduce.planned:planned_work", words))
    if chosen.defended and chosen.training_seeds:
        raise ContractError("expected no training seeds beside defences that are fitted on first use, got both")
    work = plan(context, [seeded_cells(cell, chosen) for cell in wanted], seeds_of(chosen, options))
    context.networks.defended.check_apart(context.data)
    return PlannedExperiment(experiment, chosen, cells, shown, beside_them, work)


def _with_training_seeds(scale: Scale, seeds: tuple[int, ...]) -> Scale:
    """The scale with other training seeds. Raises ContractError for one whose networks are trained once, or not at all."""
    if not scale.training_seeds:
        raise ContractError(
            "expected a scale that trains its networks with several seeds for --training-seed, got another"
        )
    note = f"{scale.note}; here with the training seeds {', '.join(map(str, seeds))} (--training-seed)"
    return replace(scale, training_seeds=seeds, note=note)


def _with_keys(scale: Scale, keys: tuple[str, ...]) -> Scale:
    """The scale with a user's keys. Raises ContractError where no network has one, for another number, for a bad one."""
    if not any(KEY in run.defence for run in scale.recipes.values()):
        raise ContractError("expected a scale whose networks are trained behind keys for --key, got another")
    if len(keys) != len(scale.training_seeds):
        wanted = plural(len(scale.training_seeds), "training seed")
        raise ContractError(
            f"expected --key once for each of the {wanted} of the scale, got it {plural(len(keys), 'time')}; "
            "--training-seed takes fewer"
        )
    for key in keys:
        load_key(key)
    return replace(scale, keys=keys, note=f"{scale.note}; here with keys of the user's (--key)")


def _as_words(options: Options) -> dict[str, Any]:
    root = options.data_root
    return asdict(replace(options, command="", data_root=None if root is None else str(root)))


@lru_cache(maxsize=2)
def _planned(name: str, scale: str, out: str, options: str) -> dict[str, Job | Artefact]:
    given = json.loads(options)
    for name_of in ("seeds", "training_seeds", "keys"):
        given[name_of] = None if given[name_of] is None else tuple(given[name_of])
    run = prepared(name, scale, Path(out), Options(**given))
    return {address: work for job in run.work.jobs() for address, work in _addresses(job)}


def _addresses(work: Job | Artefact) -> Iterator[tuple[str, Job | Artefact]]:
    """Work and all that it needs, by key or path."""
    yield place(work), work
    for need in work.needs():
        yield from _addresses(need)


def planned_work(name: str, scale: str, out: str, options: dict[str, Any], address: str) -> Job | Artefact:
    """The job or the artefact of an experiment with an address, in another process.

    Raises:
        ContractError: The plan has no such work: a file or the code has changed since the run began.
    """
    works = _planned(name, scale, out, json.dumps(options, sort_keys=True))
    if address not in works:
        raise ContractError(f"{name}: a worker process plans other jobs; files or code have changed; start it again")
    return works[address]


def scale_of(experiment: Experiment, name: str) -> Scale:
    """The scale called `name`. Raises UnknownName."""
    if name not in experiment.scales:
        raise UnknownName(f"scale of {experiment.id}:", name, experiment.scales)
    return experiment.scales[name]


def opened(scale: Scale, out: Path, options: Options, origin: Words | None = None) -> Context:
    """The data and the networks of a scale; a network is loaded when a cell needs it.

    Args:
        scale: How much is run.
        out: The store.
        options: What was chosen at the command line.
        origin: The words that make a job of this run again elsewhere, without its address.
    """
    size = options.batch_size
    if size is not None and size < 1:
        raise ContractError(f"expected a batch size of at least 1, got {size}")
    wanted = scale.images if options.images is None else options.images
    if not 1 <= wanted <= scale.images:
        raise ContractError(f"expected --images from 1 to {scale.images}, which the scale declares, got {wanted}")
    dataset: Dataset = data.load(scale.data, root=options.data_root)
    if len(dataset) < wanted:
        raise ContractError(
            f"expected {plural(wanted, 'image')} in {scale.data}, got {len(dataset)}; lower the number by --images"
        )
    dataset = dataset[_spread(wanted, min(scale.images, len(dataset)))]
    root, trained = _folder(options.data_root), out / "networks"
    shape = tuple(dataset.batch(torch.tensor([0])).x.shape[1:])
    networks = Networks(
        scale.models,
        options.device,
        root,
        options.untrained,
        seeded_recipes(scale),
        trained,
        origin,
        scale.defended,
        shape,
    )
    batch_size = size or automatic_batch_size(dataset)
    return Context(dataset, networks, out, batch_size, options.device, options.data_root, origin)


def _spread(wanted: int, among: int) -> Tensor:
    """Evenly spaced positions: files are often sorted by class."""
    return torch.arange(wanted) * among // wanted


def _folder(root: str | Path | None) -> Path | None:
    return None if root is None else Path(root).expanduser()


def seeds_of(scale: Scale, options: Options) -> tuple[int, ...]:
    """The seeds that are run. Raises ContractError where there is none, or one comes twice."""
    seeds = options.seeds or scale.seeds
    if not seeds or len(set(seeds)) != len(seeds):
        raise ContractError(f"expected at least one seed and each once, got {list(seeds)}")
    return seeds
