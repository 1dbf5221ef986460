"""`vauban fit`: an attack that is fitted on images first, one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vauban.cli.options import (
    DebugOption,
    DefenceOption,
    DeviceOption,
    DownloadOption,
    ModelOption,
    RejectsOption,
    RootOption,
    device_of,
    output_path,
)


def fit(
    attack: Annotated[str, typer.Option(help="Attack and how to fit it, e.g. universal:norm=linf,eps=10/255.")],
    model: ModelOption,
    data: Annotated[str, typer.Option(help="Images to fit on, e.g. mnist/train[:500].")],
    out: Annotated[Path, typer.Option(parser=output_path, help="What is fitted, .safetensors.")],
    defence: DefenceOption = "none",
    threat: Annotated[str, typer.Option(help="Threat that grants gradients, scores and labels.")] = "white-box",
    goal: Annotated[str, typer.Option(help="untargeted, or targeted:3.")] = "untargeted",
    rejects: RejectsOption = False,
    seed: Annotated[int, typer.Option(help="Seed of a random network.")] = 0,
    device: DeviceOption = "cpu",
    data_root: RootOption = None,
    download: DownloadOption = False,
    debug: DebugOption = False,
) -> None:
    """Fit an attack on images and write what was fitted.

    The file holds the parameters of the fit and the fingerprints of data and model.
    """
    from vauban import words
    from vauban.evaluate.outputs import FittedFile
    from vauban.jobs.perform import obtain
    from vauban.models import weights
    from vauban.report.shared import format as fmt

    output = FittedFile(
        attack,
        words.load("defence", defence).wrap(words.load("model", model, rejects=rejects)),
        words.load("data", data, root=data_root, download=download),
        out,
        threat=threat,
        goal=words.load("goal", goal),
        seed=seed,
        device=device_of(device),
        name=model if defence == "none" else f"{model} behind {defence}",
    )
    before = "" if obtain(output) else ", fitted before by the same words"
    cost = weights.metadata(out)["fit"]
    forwards, backwards = cost["forwards"], cost["backwards"]
    typer.echo(
        f"{out}: fooling rate {cost['rate']:.1%} on {fmt.plural(cost['images'], 'image')} after "
        f"{fmt.plural(cost['epochs'], 'pass')} over them, {fmt.plural(forwards, 'forward', f'{forwards:,}')} and "
        f"{fmt.plural(backwards, 'backward', f'{backwards:,}')}{before}"
    )
