"""`vauban run`: the study of a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from vauban.cli.gates import gate_of
from vauban.cli.options import (
    DebugOption,
    DryRunOption,
    ExecutorOption,
    FailUnderOption,
    GateOption,
    JsonOption,
    JunitOption,
    MaxQueriesOption,
    QuietOption,
    ShardOption,
    WorkersOption,
)
from vauban.cli.shards import shard_of


def run(
    file: Annotated[Path, typer.Argument(help="Study file, as vauban evaluate --print-study prints one.")],
    fail_under: FailUnderOption = None,
    gate: GateOption = "interval",
    junit: JunitOption = None,
    max_queries_total: MaxQueriesOption = None,
    workers: WorkersOption = 1,
    executor: ExecutorOption = None,
    shard: ShardOption = None,
    dry_run: DryRunOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Attack what a study file names: the words of vauban evaluate as YAML; run again to resume."""
    compared = gate_of(fail_under, gate, junit)
    mine = shard_of(shard, {"--fail-under": fail_under, "--junit": junit, "--json": as_json})
    from vauban.evaluate.study_file import read_study_file
    from vauban.jobs.executor_words import executor_of

    work = executor_of(executor, workers)
    words = read_study_file(file)
    from vauban.cli.performed import Gate, perform
    from vauban.cli.screens import show_plan
    from vauban.evaluate.study_of_file import study_of

    if max_queries_total is not None:
        words = replace(words, words={**words.words, "max_queries_total": max_queries_total})
    study = study_of(words)
    if dry_run:
        show_plan(study)
        return
    perform(study, work, mine, silent=quiet, as_json=as_json, gate=Gate(fail_under, compared, junit))
