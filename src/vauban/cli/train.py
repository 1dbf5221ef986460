"""`vauban train`: a registered architecture, a data set, one weights file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vauban.cli.options import DebugOption, RootOption, device_of
from vauban.core.errors import VaubanError


def train(
    model: Annotated[str, typer.Option(help="Architecture, e.g. mnist-c4.")],
    data: Annotated[str, typer.Option(help="Training data, e.g. mnist/train.")],
    out: Annotated[Path, typer.Option(help="Weights to write, .safetensors.")],
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = 6,
    batch_size: Annotated[int, typer.Option(help="Samples per step.")] = 128,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-3,
    optimiser: Annotated[str, typer.Option(help="adam or sgd.")] = "adam",
    cosine: Annotated[bool, typer.Option("--cosine", help="Let the learning rate fall to zero.")] = False,
    augment: Annotated[bool, typer.Option("--augment", help="Mirror and shift the images.")] = False,
    adversarial: Annotated[str | None, typer.Option(help="Train on this attack's images, e.g. pgd:eps=8/255.")] = None,
    regenerate: Annotated[str, typer.Option(help="Its images anew each batch, or for a whole epoch.")] = "batch",
    start: Annotated[Path | None, typer.Option(help="Weights to train on from, .safetensors.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of initialisation and order.")] = 0,
    validation: Annotated[str | None, typer.Option(help="Validation data; else a part of the training data.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    data_root: RootOption = None,
    debug: DebugOption = False,
) -> None:
    """Train an architecture and write its weights with the recipe and the data fingerprint."""
    from vauban import data as datasets
    from vauban import models
    from vauban.cli.screens import show_epoch
    from vauban.words.attack import attack_of

    held = datasets.load(validation, root=data_root) if validation else None
    models.train(
        model,
        datasets.load(data, root=data_root),
        out,
        epochs,
        seed,
        batch=batch_size,
        lr=lr,
        optimiser=optimiser,
        cosine=cosine,
        augment=augment,
        adversarial=attack_of(adversarial).value if adversarial else None,
        regenerate=_moment(regenerate),
        start=start,
        validation=held,
        device=device_of(device),
        callback=show_epoch,
    )
    typer.echo(out)


def _moment(text: str) -> Literal["batch", "epoch"]:
    if text not in ("batch", "epoch"):
        raise VaubanError(f"expected --regenerate batch or epoch, got {text!r}")
    return "epoch" if text == "epoch" else "batch"
