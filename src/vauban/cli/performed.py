"""A planned study performed: run under progress, its page written and shown, and the exit code of its gate."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import typer

from vauban.cli.gates import ended
from vauban.cli.screens import hidden, run_with_progress, show_outcomes, show_queries
from vauban.cli.shards import end_shard
from vauban.core.errors import QueriesSpent
from vauban.evaluate.study import Study
from vauban.jobs.executors import Executor
from vauban.jobs.shard import Shard
from vauban.report.run.gate import Compared
from vauban.report.run.summary import summary


@dataclass(frozen=True)
class Gate:
    """Gate of a finished study.

    Attributes:
        least: The least robust accuracy; None: no gate.
        compared: What is compared with it.
        junit: The JUnit file to write; None: none.
    """

    least: float | None
    compared: Compared
    junit: Path | None


def perform(study: Study, executor: Executor, shard: Shard | None, *, silent: bool, as_json: bool, gate: Gate) -> None:
    """Run a study, write its page, show it, or print it as JSON, and end with the exit code of its gate; of a shard run its
    batches alone.

    Raises:
        QueriesSpent: As `Study.run`; the page of what is stored is written before.
    """
    study.command = ["vauban", *sys.argv[1:]]
    with hidden(silent or as_json):
        show_queries(study)
        try:
            outcomes = run_with_progress(study, executor, shard, silent=silent or as_json)
        except QueriesSpent:
            if shard is None and any(cell.indices() for cell in study.store.cells()):
                study.report()
            raise
        if shard is not None:
            end_shard(shard, study.store.path, any(outcome.state == "failed" for outcome in outcomes), silent)
            return
        page = study.report()
        run = show_outcomes(study, page)
    if as_json:
        typer.echo(json.dumps(summary(run, page=page), indent=2))
    ended(run, gate.least, gate.compared, gate.junit)
