"""`vauban reproduce`: an experiment at a scale, from its declaration to `OUT/<id>-<scale>/`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vauban.core.errors import VaubanError, plural
from vauban.jobs import runner
from vauban.jobs.executor_words import executor_of
from vauban.jobs.executors import Executor
from vauban.jobs.shard import Shard
from vauban.reproduce.plan import Plan
from vauban.reproduce.planned import Options, prepared
from vauban.reproduce.record import publish, record_of
from vauban.reproduce.tally import Tally, Told
from vauban.store import files

log = logging.getLogger("vauban")


class Unfinished(VaubanError):  # noqa: N818
    """Parts of a shard failed."""


def run(
    name: str,
    scale: str,
    out: str | Path,
    *,
    images: int | None = None,
    seeds: Sequence[int] | None = None,
    data_root: str | Path | None = None,
    device: str = "cpu",
    batch_size: int | None = None,
    command: str = "",
    untrained: bool = False,
    progress: Told | None = None,
    workers: int = 1,
    executor: Executor | str | None = None,
    shard: Shard | str | None = None,
    training_seeds: Sequence[int] | None = None,
    keys: Sequence[str] | None = None,
) -> Path:
    """Run what is not stored yet and write `reproduction.json`, `table.md`, `table.tex` and `report.html`.

    Args:
        name: The id of the experiment, or a user's `file.py:name`.
        scale: How much is run.
        out: Folder that all experiments share.
        images, seeds, data_root, device, batch_size, command, untrained, training_seeds, keys: As the attributes of
            `Options`.
        progress: Told of finished work, see `Told`.
        workers: Processes over which the parts of jobs are spread; 1 works in this one.
        executor: Where they are computed, in place of a number of processes: `ray:address=auto,gpus=1`, see
            [scale](scale.md).
        shard: `2/8` for the second of eight processes that share the work, each with its own parts. What needs the rows of
            all of them is left, and the three files too, for a run without a shard.

    Returns:
        The folder of the four files.

    Raises:
        UnknownName: An id or a scale that does not exist.
        ContractError: A declaration that does not hold.
        MissingData: A data set is not there.
        Unfinished: Parts of the shard failed.
    """
    work, mine = executor_of(executor, workers), Shard.read(shard)
    given, trained = (None if some is None else tuple(some) for some in (seeds, training_seeds))
    named = None if keys is None else tuple(keys)
    options = Options(images, given, data_root, device, batch_size, command, untrained, trained, named)
    told = progress or (lambda *_: None)
    files.check_output(Path(out), folder=True)
    run = prepared(name, scale, Path(out), options)
    _tell_lacking(run.work)
    outcomes = runner.run(run.work.jobs(), work, Tally(run.work, told), mine)
    folder = Path(out) / f"{run.experiment.id}-{scale}"
    if mine is not None:
        if failures := sum(outcome.failures for outcome in outcomes):
            raise Unfinished(f"shard {mine}: {plural(failures, 'batch')} failed; run the same command to try again")
        return folder
    failed = {outcome.job.key: outcome.failures for outcome in outcomes if outcome.failures}
    rows = [
        None if cell.lacking is not None or any(job.key in failed for job in cell.jobs()) else cell.rows()
        for cell in run.work.cells
    ]
    lost = {
        "failures": sum(failed.values()),
        "cells_not_planned": sum(cell.lacking is not None for cell in run.work.cells),
    }
    files.write_json(folder / "reproduction.json", record_of(run, scale, options, rows) | lost)
    publish(folder)
    return folder


def _tell_lacking(work: Plan) -> None:
    """Name, before anything runs, what fails because a package is not installed: cells whose network cannot be made, and
    jobs. Raises MissingExtra where no cell is left."""
    jobs = {
        job.key: (job.label, error)
        for job in work.jobs()
        if (error := job.lacking) is not None and not all(job.stored(part) for part in job.parts())
    }
    unmade = [cell.lacking for cell in work.cells if cell.lacking is not None]
    lacking = [*unmade, *(error for _, error in jobs.values())]
    if lacking and all(cell.lacking or any(job.key in jobs for job in cell.jobs()) for cell in work.cells):
        raise lacking[0]
    for reason, cells in Counter(map(str, unmade)).items():
        log.error("%s: %s (its cells fail, the others run)", plural(cells, "cell"), reason)
    for label, error in jobs.values():
        log.error("%s: %s (its cells fail, the others run)", label, error)
