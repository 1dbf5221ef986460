"""`vauban export`: a finished run into a tracker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vauban.cli.options import DebugOption

app = typer.Typer(help="Write a finished run into a tracker.", no_args_is_help=True)


@app.command("mlflow")
def mlflow(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    uri: Annotated[str, typer.Option(help="Tracking server, or a folder.", envvar="MLFLOW_TRACKING_URI")] = "mlruns",
    experiment: Annotated[str, typer.Option(help="Experiment; made where it is not there.")] = "vauban",
    debug: DebugOption = False,
) -> None:
    """Write a run as one run of MLflow: parameters, metrics, findings, page and rows (needs no torch).

    The same run again updates what it wrote.
    """
    from vauban.core.errors import plain
    from vauban.evaluate.inspection.run_folder import ended_run
    from vauban.report.tracking import export_to_mlflow

    identifier = export_to_mlflow(ended_run(run), uri, experiment)
    typer.echo(f"MLflow run {plain(identifier)} in {plain(experiment)} at {plain(uri)}")
