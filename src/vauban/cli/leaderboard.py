"""`vauban leaderboard`: networks of several runs, ranked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from vauban.cli.options import DebugOption, output_path
from vauban.core.errors import plain


def leaderboard(
    runs: Annotated[list[Path], typer.Argument(help="Run directories.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[Path | None, typer.Option(parser=output_path, help="HTML page to write.")] = None,
    debug: DebugOption = False,
) -> None:
    """Rank the networks of finished runs by robust accuracy (needs no torch).

    Runs on other images or labels, with another goal, rounding, norm, eps or effort are refused.
    """
    from vauban.evaluate.inspection.run_folder import ended_run
    from vauban.report.leaderboard import page
    from vauban.report.leaderboard.ranking import leaderboard as ranked
    from vauban.store.files import check_output

    if out is not None:
        check_output(out)
    board = ranked([ended_run(run) for run in runs])
    if out is not None:
        page.write(board, out)
    if as_json:
        typer.echo(json.dumps(board.as_dict(), indent=2))
        return
    typer.echo(plain(page.text(board)))
    if out is not None:
        typer.echo(f"page: {plain(str(out))}")
