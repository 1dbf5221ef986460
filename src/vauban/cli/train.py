"""`vauban train`: the options of a training run, one weights file."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from vauban.cli.options import DebugOption, DeviceOption, DownloadOption, RootOption, device_of, number_of, output_path
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

    from vauban import words
    from vauban.cli.screens import show_epoch, show_selected
    from vauban.evaluate.outputs import TrainedWeights
    from vauban.jobs.perform import obtain
    from vauban.models import weights

    samples = words.load("data", data, root=data_root, download=download)
    held = words.load("data", validation, root=data_root, download=download) if validation else None
    made = obtain(TrainedWeights(run, samples, out, held, device_of(device), show_epoch))
    show_selected(weights.metadata(out))
    typer.echo(out if made else f"{out}: trained before by the same run")
