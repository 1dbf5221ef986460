"""`vauban compare`: two runs on the same images, image by image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vauban.cli.gates import GATE, UNFINISHED, tell
from vauban.cli.options import DebugOption


def compare(
    base: Annotated[Path, typer.Argument(help="Run directory that is compared with.")],
    new: Annotated[Path, typer.Argument(help="Run directory that is compared.")],
    fail_on_drop: Annotated[
        bool, typer.Option("--fail-on-drop", help="Exit 1 when robust accuracy has dropped, or rests on sand.")
    ] = False,
    significance: Annotated[float, typer.Option(help="A drop counts when its exact McNemar p is below.")] = 0.05,
    junit: Annotated[
        Path | None, typer.Option(help="JUnit XML to write: a test case for each robust accuracy.")
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Compare the accuracies of two runs on the same images under the same attacks (needs no torch)."""
    from vauban.cli.screens import show_comparison
    from vauban.report.run.comparison import comparison_checks, paired_rates
    from vauban.report.run.gate import incomplete
    from vauban.store import query

    runs = query.load(base, pictures=False), query.load(new, pictures=False)
    checks = comparison_checks(*runs, significance)
    show_comparison(paired_rates(*runs))
    if junit is not None:
        from vauban.report.run.junit import write_junit

        write_junit(junit, checks)
    if fail_on_drop and any(check.failures for check in checks):
        tell(checks)
        raise typer.Exit(GATE)
    if any(incomplete(run) for run in runs):
        tell(checks)
        raise typer.Exit(GATE if fail_on_drop else UNFINISHED)
