"""Inspection of a run directory: files, sources, weights, data, environment and images, each against what was recorded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path

from vauban.core.errors import VaubanError
from vauban.data import Dataset
from vauban.evaluate.inspection.checked import Checked, Inspection
from vauban.evaluate.inspection.digests import digest_checks, seal_of
from vauban.evaluate.inspection.images import image_checks
from vauban.evaluate.inspection.recorded import environment_checks, file_checks, source_checks
from vauban.evaluate.inspection.remade import Remade, Unmade, network_address, remade
from vauban.evaluate.inspection.run_folder import ended_run
from vauban.evaluate.own_labels import own_labels
from vauban.evaluate.queries import drifts
from vauban.evaluate.settings import Settings
from vauban.report.run.gate import unfinished
from vauban.store import CellRows, Run
from vauban.store.parquet import Store
from vauban.store.sources import file_of

SERVICE = "answers of a service, which is not asked unless you say --ask-services: it may cost"
"""Why images or labels of a service are not checked."""


@dataclass(frozen=True)
class Originals:
    """Where the files are that a run was made of.

    Attributes:
        folder: Where they were unpacked, below it each at its absolute path; None: where they were.
        states: Weights files of models that are not made from a file, by name.
        data: The samples; None: where the words say.
        root: Folder of the data sets in place of the study's.
        ask_services: Whether services are asked again, which may cost.
    """

    folder: Path | None = None
    states: Mapping[str, Path] = field(default_factory=dict)
    data: Dataset | None = None
    root: str | Path | None = None
    ask_services: bool = False

    def place(self, path: str) -> Path:
        """Where a file is now that had an absolute path; those of vauban itself are where they are installed."""
        own = file_of(path)
        return own if self.folder is None or not Path(path).is_absolute() else self.folder / path.lstrip("/")


def inspect_run(path: Path, originals: Originals | None = None, shown: str | None = None) -> Inspection:
    """Inspect a run directory.

    Args:
        path: The directory.
        originals: Where the files are that it was made of.
        shown: What the inspection calls it; None: the path.

    Raises:
        ContractError: It is no finished run of an evaluation, and no file of it has changed since it was written.
    """
    originals, there = originals or Originals(), path.absolute()
    try:
        run = ended_run(there)
        checks = tuple(dict.fromkeys(_checks(run, originals)))  # cells share networks and data
    except Exception as error:  # whatever a file makes of the reader that somebody has changed
        changed = [check for check in digest_checks(there) if check.state == "differs"]
        if not changed:
            raise
        reason = str(error) if isinstance(error, VaubanError) else f"{type(error).__name__}: {error}"
        unread = Checked("rows", "the run", "differs", f"cannot be read: {reason}")
        return Inspection(shown or str(path), seal_of(there), (*changed, unread))
    return Inspection(shown or str(path), seal_of(run.path), checks)


def _checks(run: Run, originals: Originals) -> Iterator[Checked]:
    yield from digest_checks(run.path)
    yield from _unfinished(run)
    yield from source_checks(run, originals.place)
    yield from file_checks(run, originals.place)
    yield from environment_checks(run)
    there = Path(run.study.get("folder") or ".")
    with chdir(there if there.is_dir() and os.access(there, os.X_OK) else "."):
        named = run.study.get("files") or {}
        places = {text: str(originals.place(facts["path"])) for text, facts in named.items()}
        made = remade(run.study, places, originals.states, originals.data, originals.root)
        yield from _data_checks(run, made, originals.ask_services)
        for cell in run.cells:
            yield from _cell_checks(run, cell, made, originals.ask_services)
    for rows in (*run.certificates, *run.measurements):
        reason = "certificates and measurements store no images to be judged again"
        yield Checked("images", rows.meta["hash"], "unchecked", reason, len(rows.columns["id"]))


def _unfinished(run: Run) -> Iterator[Checked]:
    """Rows that the last plan has and that are not there."""
    planned = run.study.get("cells", [])
    for cell in run.cells:
        if cell.meta["hash"] in planned:
            for reason in unfinished(cell):
                yield Checked("rows", f"cells/{cell.meta['hash']}", "differs", f"{reason}; run the same command again")
    for key in sorted(set(planned) - {cell.meta["hash"] for cell in run.cells}):
        yield Checked("rows", f"cells/{key}", "differs", "is planned and has no rows; run the same command again")


def _data_checks(run: Run, made: Remade, ask: bool) -> Iterator[Checked]:
    told = set()
    for cell in run.cells:
        key = cell.meta["model"] if made.own else "", cell.meta["data"], cell.meta["data_fingerprint"]
        if key in told:
            continue
        told.add(key)
        yield _data_check(cell, made, ask)


def _data_check(cell: CellRows, made: Remade, ask: bool) -> Checked:
    about, data = str(cell.meta["data"]), made.data
    if isinstance(data, Unmade):
        return Checked("data", about, "unchecked", data.reason)
    if made.own:
        model = made.models.get(cell.meta["model"])
        if model is None:
            return Checked("data", about, "unchecked", "the labels were the answers of a model that is not here")
        if drifts(model.value) and not ask:
            return Checked("data", about, "unchecked", SERVICE)
        data = own_labels(model, data, Settings(batch_size=int(cell.meta["batch_size"])))
    if data.fingerprint == cell.meta["data_fingerprint"]:
        return Checked("data", about, "agrees")
    return Checked("data", about, "differs", "other images, labels or ids now than when the rows were made")


def _cell_checks(run: Run, cell: CellRows, made: Remade, ask: bool) -> Iterator[Checked]:
    facts, folder = cell.meta, Store(run.path).cell(cell.meta["hash"])
    about = f"{facts['model']} | {facts['defence']} | {facts['threat']} | {facts['attack']}"
    rows, network = len(cell.columns["id"]), made.network(facts)
    reason = ""
    if run.study.get("cells") and facts["hash"] not in run.study["cells"]:
        reason = "not in the last plan, whose words alone are stored"
    elif str(facts["threat"]).startswith("removed"):
        reason = "this threat takes a defence away before the verdict"
    elif isinstance(network, Unmade):
        reason = network.reason
        yield Checked("weights", f"{facts['model']} | {facts['defence']}", "unchecked", reason)
    if reason or isinstance(network, Unmade):
        yield Checked("images", about, "unchecked", reason, rows)
        return
    same = network_address(network) == facts.get("network")
    changed = "" if same else "another structure, other weights or attributes now than when the rows were made"
    yield Checked("weights", f"{facts['model']} | {facts['defence']}", "agrees" if same else "differs", changed)
    if drifts(network) and not ask:
        yield Checked("images", about, "unchecked", SERVICE, rows)
        return
    yield from image_checks(run.path, folder, network, made.data if isinstance(made.data, Dataset) else None)
