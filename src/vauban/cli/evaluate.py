"""`vauban evaluate`: attack, judge, report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from vauban.cli.gates import ended, gate_of
from vauban.cli.options import (
    BatchSizeOption,
    DebugOption,
    DeviceOption,
    DownloadOption,
    QuietOption,
    RejectsOption,
    RootOption,
    SeedOption,
    WorkersOption,
    batch_size_of,
    device_of,
    output_path,
)
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
    batch_size: BatchSizeOption = "auto",
    seed: SeedOption = 0,
    budget: Annotated[int | None, typer.Option(help="Forward passes per sample.")] = None,
    unrounded: Annotated[bool, typer.Option("--unrounded", help="Do not round images to pixel levels.")] = False,
    fail_under: Annotated[
        float | None, typer.Option(help="Exit 1 when robust accuracy, a share, is below or rests on sand.")
    ] = None,
    gate: Annotated[
        str, typer.Option(help="What --fail-under compares: interval (its lower end) or point.")
    ] = "interval",
    junit: Annotated[
        Path | None, typer.Option(parser=output_path, help="JUnit XML to write: a test case for each cell and gate.")
    ] = None,
    save_images: Annotated[bool, typer.Option("--save-images", help="Write the evaluated images as PNG.")] = False,
    preflight: Annotated[bool, typer.Option(help="Check for masked gradients and failed attacks.")] = True,
    planted: Annotated[
        int,
        typer.Option(help="Images on which the strongest attack is tested where something is known to exist; 0: none."),
    ] = 24,
    metrics: Annotated[str, typer.Option(help="Further columns, e.g. mad,file.py:name.")] = "",
    workers: WorkersOption = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show cells, passes and time; run nothing.")] = False,
    quiet: QuietOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON and nothing else.")] = False,
    data_root: RootOption = None,
    download: DownloadOption = False,
    debug: DebugOption = False,
) -> None:
    """Attack models behind defences and write rows and report.html.

    Without options: a small CNN on the handwritten digits inside scikit-learn, undefended and with one defence.
    """
    compared = gate_of(fail_under, gate, junit)
    from vauban.cli.screens import as_plain, hidden, run_with_progress, show_outcomes, show_plan
    from vauban.evaluate.study import Study

    if model and not data:
        raise VaubanError(
            "expected --data beside --model, e.g. --data mnist/test[:500]; vauban list datasets names them"
        )
    study = Study(
        out,
        data=data or "digits/test[:150]",
        models=model or ["digits-cnn"],
        attacks=attack or ["fgsm", "pgd", "ddn", "standard"],
        defences=defence or (["none"] if model else ["none", "bit-depth:bits=2"]),
        threats=threat,
        goal=goal,
        labels=labels,
        rejects=rejects,
        seed=seed,
        batch_size=batch_size_of(batch_size),
        device=device_of(device),
        levels=None if unrounded else "data",
        budget=budget,
        save_images=save_images,
        preflight=preflight,
        planted=planted,
        metrics=[name.strip() for name in metrics.split(",") if name.strip()],
        root=data_root,
        download=download,
    )
    study.command = ["vauban", *sys.argv[1:]]
    if dry_run:
        show_plan(study)
        return
    with hidden(quiet or as_json):
        run_with_progress(study, workers, silent=quiet or as_json)
        page = study.report()
        run = show_outcomes(study, page)
    if as_json:
        typer.echo(json.dumps(as_plain(run, page), indent=2))
    ended(run, fail_under, compared, junit)
