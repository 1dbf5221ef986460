"""`vauban fit`: an attack, a defence or a network that is fitted on images first, one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from vauban.cli.options import (
    DebugOption,
    DefenceOption,
    DeviceOption,
    DownloadOption,
    ExecutorOption,
    RejectsOption,
    RootOption,
    device_of,
    output_path,
)


def fit(
    fitter: Annotated[
        str,
        typer.Option(
            help="Attack, defence or substitute network and how to fit it, e.g. universal:norm=linf,eps=10/255."
        ),
    ],
    data: Annotated[str, typer.Option(help="Images to fit on, e.g. mnist/train[:500].")],
    out: Annotated[Path, typer.Option(parser=output_path, help="What is fitted, .safetensors.")],
    model: Annotated[
        str | None, typer.Option(help="Model: a name, a weights file or file.py:name; none where only images are read.")
    ] = None,
    defence: DefenceOption = "none",
    threat: Annotated[
        str | None, typer.Option(help="Of an attack: threat that grants gradients, scores and labels; white-box.")
    ] = None,
    goal: Annotated[str | None, typer.Option(help="Of an attack: untargeted, or targeted:3.")] = None,
    fpr: Annotated[
        float | None, typer.Option(help="Of a detector: share of clean images that it may reject; 0.05.")
    ] = None,
    rejects: RejectsOption = False,
    seed: Annotated[int, typer.Option(help="Seed of random numbers.")] = 0,
    device: DeviceOption = "cpu",
    executor: ExecutorOption = None,
    data_root: RootOption = None,
    download: DownloadOption = False,
    debug: DebugOption = False,
) -> None:
    """Fit an attack, a defence or a substitute network on images and write what was fitted.

    The file holds the parameters of the fit and the fingerprints of data and model. --fpr 0.05 is fpr=0.05 among the
    parameters of a detector.
    """
    from vauban.evaluate.outputs_of_words import fitted_file
    from vauban.jobs import runner
    from vauban.jobs.executor_words import executor_of
    from vauban.models import weights

    work = executor_of(executor)
    if fpr is not None:
        fitter += f"{',' if ':' in fitter else ':'}fpr={fpr!r}"
    output = fitted_file(
        fitter=fitter,
        data=data,
        out=str(out),
        model=model,
        defence=defence,
        threat=threat,
        goal=goal,
        rejects=rejects,
        seed=seed,
        device=device_of(device),
        root=None if data_root is None else str(data_root),
        download=download,
    )
    made = runner.make(output, work, lambda done, total: None)
    before = "" if made else ", fitted before by the same words"
    typer.echo(f"{out}: {_told(weights.metadata(out)['fit'])}{before}")


def _told(cost: Mapping[str, Any]) -> str:
    """What a fit has reached and cost."""
    from vauban.report.shared import format as fmt

    images, forwards = (
        fmt.plural(cost["images"], "image"),
        fmt.plural(cost["forwards"], "forward", f"{cost['forwards']:,}"),
    )
    if "rate" not in cost:
        reached = ", ".join(f"{name} {value:.4g}" for name, value in cost["reached"].items())
        return f"{reached} on {images}, {forwards}"
    backwards = fmt.plural(cost["backwards"], "backward", f"{cost['backwards']:,}")
    passes = fmt.plural(cost["epochs"], "pass")
    return f"fooling rate {cost['rate']:.1%} on {images} after {passes} over them, {forwards} and {backwards}"
