"""`vauban measure`: metrics of a network on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vauban.cli.gates import UNFINISHED
from vauban.cli.options import (
    DebugOption,
    DownloadOption,
    RejectsOption,
    RootOption,
    batch_size_of,
    device_of,
    output_path,
)


def measure(
    metric: Annotated[
        list[str], typer.Option(help="Metric of a network, e.g. loss-sensitivity; repeated for several.")
    ],
    model: Annotated[str, typer.Option(help="Model: a name, a weights file or file.py:name.")],
    data: Annotated[str, typer.Option(help="Images, e.g. mnist/test[:500].")],
    attack: Annotated[
        str | None, typer.Option(help="Attack that makes the images, e.g. incremental-fgsm, ddn.")
    ] = None,
    defence: Annotated[str, typer.Option(help="Defence in front of the model, none, or a chain a+b.")] = "none",
    out: Annotated[Path, typer.Option(parser=output_path, help="Run directory; run again to resume.")] = Path(
        "runs/measure"
    ),
    rejects: RejectsOption = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    batch_size: Annotated[str, typer.Option(help="A number, or auto.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of every random number.")] = 0,
    data_root: RootOption = None,
    download: DownloadOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure a network on images, or on what an attack makes of them, and print the means."""
    from vauban.evaluate.measure import measure as measured

    result = measured(
        metric,
        model,
        data,
        out,
        defence=defence,
        attack=attack,
        seed=seed,
        batch_size=batch_size_of(batch_size),
        device=device_of(device),
        rejects=rejects,
        root=data_root,
        download=download,
    )
    typer.echo(result)
    if any(outcome.state == "failed" for outcome in result.outcomes):
        raise typer.Exit(UNFINISHED)
