"""`vauban train`: the options of a training run, one weights file."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated

import typer

from vauban.cli.options import (
    DebugOption,
    DeviceOption,
    DownloadOption,
    ExecutorOption,
    RootOption,
    device_of,
    number_of,
    output_path,
)
from vauban.training.run import TrainingRun


def train(
    model: Annotated[str, typer.Option(help="Architecture, e.g. mnist-c4.")],
    data: Annotated[str, typer.Option(help="Training data, e.g. mnist/train.")],
    out: Annotated[Path, typer.Option(parser=output_path, help="Weights to write, .safetensors.")],
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = TrainingRun.epochs,
    recipe: Annotated[
        str, typer.Option(help="Parts joined by +, e.g. 'at:attack=[pgd:eps=8/255]+mirror-shift'.")
    ] = str(TrainingRun.recipe),
    defence: Annotated[
        str, typer.Option(help="What stands in front of the network in training.")
    ] = TrainingRun.defence,
    batch: Annotated[int, typer.Option("--batch-size", help="Samples per step.")] = TrainingRun.batch,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = TrainingRun.lr,
    optimiser: Annotated[str, typer.Option(help="adam or sgd.")] = TrainingRun.optimiser,
    weight_decay: Annotated[float, typer.Option(help="L2 penalty.")] = TrainingRun.weight_decay,
    schedule: Annotated[str, typer.Option(help="Learning rate: constant, cosine or linear.")] = TrainingRun.schedule,
    start: Annotated[str | None, typer.Option(help="Weights to train on from, .safetensors.")] = TrainingRun.start,
    selection: Annotated[
        str, typer.Option(help="Epoch to keep: last, or e.g. 'best:attack=[pgd:eps=0.1,steps=10]' on the holdout.")
    ] = str(TrainingRun.selection),
    seed: Annotated[int, typer.Option(help="Seed of initialisation and order.")] = TrainingRun.seed,
    validation: Annotated[str | None, typer.Option(help="Validation data; else a part of the training data.")] = None,
    holdout: Annotated[str, typer.Option(help="That part, e.g. 1/12; 0 for none.")] = "1/12",
    device: DeviceOption = "cpu",
    executor: ExecutorOption = None,
    data_root: RootOption = None,
    download: DownloadOption = False,
    debug: DebugOption = False,
) -> None:
    """Train an architecture and write its weights.

    The file holds the whole run and the fingerprint of the data.

    A training that was killed goes on after its last whole epoch. Recipes: vauban list recipes.
    """
    given = {**locals(), "holdout": number_of("--holdout", holdout)}
    run = TrainingRun(**{f.name: given[f.name] for f in fields(TrainingRun) if f.name in given})

    from vauban.cli.screens import show_epoch, show_epochs, show_selected
    from vauban.evaluate.outputs_of_words import trained_weights
    from vauban.jobs import runner
    from vauban.jobs.executor_words import executor_of
    from vauban.jobs.executors.serial import Serial
    from vauban.models import weights

    work = executor_of(executor)
    output = trained_weights(
        run={f.name: getattr(run, f.name) for f in fields(run)},
        out=str(out),
        validation=validation,
        device=device_of(device),
        root=None if data_root is None else str(data_root),
        download=download,
    )
    here = isinstance(work, Serial)
    made = runner.make(
        replace(output, callback=show_epoch), work, lambda done, total: None if here else _tell(done, total)
    )
    if made and not here:
        show_epochs(weights.metadata(out))
    show_selected(weights.metadata(out))
    typer.echo(out if made else f"{out}: trained before by the same run")


def _tell(done: int, total: int) -> None:
    """A training in another process: what an epoch has reached is told from the weights file when all are done."""
    typer.echo(f"epoch {done} of {total}", err=True)
