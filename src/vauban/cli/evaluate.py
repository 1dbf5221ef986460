"""`vauban evaluate`: attack, judge, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vauban.cli.gates import gate_of
from vauban.cli.options import (
    BatchSizeOption,
    DebugOption,
    DeviceOption,
    DownloadOption,
    DryRunOption,
    ExecutorOption,
    FailUnderOption,
    GateOption,
    JsonOption,
    JunitOption,
    MaxQueriesOption,
    PrecisionOption,
    QuietOption,
    RejectsOption,
    RootOption,
    SeedOption,
    ShardOption,
    WorkersOption,
    batch_size_of,
    device_of,
    output_path,
    precision_of,
)
from vauban.cli.shards import shard_of
from vauban.core.errors import VaubanError


def evaluate(
    model: Annotated[
        list[str] | None, typer.Option(help="Model: a name, a weights file or file.py:name; mine=MODEL names it.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Data set, e.g. mnist/test[:500].")] = None,
    attack: Annotated[list[str] | None, typer.Option(help="Attack, e.g. pgd:eps=8/255,steps=40.")] = None,
    defence: Annotated[list[str] | None, typer.Option(help="Defence, e.g. jpeg:quality=75, none, a+b.")] = None,
    threat: Annotated[list[str] | None, typer.Option(help="Threat, e.g. white-box, adaptive:eot=16.")] = None,
    goal: Annotated[str, typer.Option(help="untargeted, least-likely, random-wrong or targeted:3.")] = "untargeted",
    out: Annotated[Path, typer.Option(parser=output_path, help="Run directory; run again to resume.")] = Path(
        "runs/evaluate"
    ),
    labels: Annotated[str, typer.Option(help="true, or own: the model's own answers.")] = "true",
    rejects: RejectsOption = False,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "float32",
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the networks, where that can be done.")] = False,
    batch_size: BatchSizeOption = "auto",
    seed: SeedOption = 0,
    budget: Annotated[int | None, typer.Option(help="Forward passes per sample.")] = None,
    unrounded: Annotated[bool, typer.Option("--unrounded", help="Do not round images to pixel levels.")] = False,
    fail_under: FailUnderOption = None,
    gate: GateOption = "interval",
    junit: JunitOption = None,
    save_images: Annotated[bool, typer.Option("--save-images", help="Write the evaluated images as PNG.")] = False,
    preflight: Annotated[bool, typer.Option(help="Check for masked gradients and failed attacks.")] = True,
    planted: Annotated[
        int,
        typer.Option(help="Images on which the strongest attack is tested where something is known to exist; 0: none."),
    ] = 24,
    metrics: Annotated[str, typer.Option(help="Further columns, e.g. mad,file.py:name.")] = "",
    max_queries_total: MaxQueriesOption = None,
    workers: WorkersOption = 1,
    executor: ExecutorOption = None,
    shard: ShardOption = None,
    dry_run: DryRunOption = False,
    print_study: Annotated[
        bool, typer.Option("--print-study", help="Print these words as a study file for vauban run; run nothing.")
    ] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    data_root: RootOption = None,
    download: DownloadOption = False,
    debug: DebugOption = False,
) -> None:
    """Attack models behind defences and write rows and report.html.

    Without options: a small CNN on the handwritten digits that come with vauban, undefended and with one defence.
    """
    compared = gate_of(fail_under, gate, junit)
    mine = shard_of(shard, {"--fail-under": fail_under, "--junit": junit, "--json": as_json})
    from vauban.cli.performed import Gate, perform
    from vauban.cli.screens import show_plan
    from vauban.evaluate.study import Study
    from vauban.evaluate.study_file import study_text
    from vauban.jobs.executor_words import executor_of
    from vauban.words.model import only_answers

    work = executor_of(executor, workers)
    if model and not data:
        raise VaubanError(
            "expected --data beside --model, e.g. --data mnist/test[:500]; vauban list datasets names them"
        )
    answering = any(only_answers(word) for word in model or ())
    words: dict[str, Any] = {
        "out": str(out),
        "data": data or "digits/test[:150]",
        "models": model or ["digits-cnn"],
        "attacks": attack or (["standard"] if answering else ["fgsm", "pgd", "ddn", "standard"]),
        "defences": defence or (["none"] if model else ["none", "bit-depth:bits=2"]),
        "threats": threat,
        "goal": goal,
        "labels": labels,
        "rejects": rejects,
        "seed": seed,
        "batch_size": batch_size_of(batch_size),
        "device": device_of(device),
        "precision": precision_of(precision, device),
        "compile": compiled,
        "levels": None if unrounded else "data",
        "budget": budget,
        "save_images": save_images,
        "preflight": preflight,
        "planted": planted,
        "max_queries_total": max_queries_total,
        "metrics": [name.strip() for name in metrics.split(",") if name.strip()],
        "root": data_root,
        "download": download,
    }
    study = Study(**words)
    if print_study:
        typer.echo(study_text(words), nl=False)
        return
    if dry_run:
        show_plan(study)
        return
    perform(study, work, mine, silent=quiet, as_json=as_json, gate=Gate(fail_under, compared, junit))
