"""Commands for auditors: `vauban audit|bundle`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from vauban.cli.options import DebugOption, RootOption, output_path
from vauban.core.errors import plain

DIFFERS = 1
"""Exit code: something differs from what the run recorded."""


def audit(
    run: Annotated[Path, typer.Argument(help="Run directory, or a file of vauban bundle.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    other_environment: Annotated[
        bool, typer.Option("--other-environment", help="Tell other versions, and do not count them as a difference.")
    ] = False,
    seal: Annotated[str | None, typer.Option(help="The seal that the run should have, as an audit printed it.")] = None,
    ask_services: Annotated[
        bool, typer.Option("--ask-services", help="Ask services behind an address again, which may cost.")
    ] = False,
    data_root: RootOption = None,
    debug: DebugOption = False,
) -> None:
    """Check a finished run: hashes of all that it recorded, and its stored images judged again.

    Exit code 0: all that could be checked agrees. 1: something differs. 2: there is nothing to audit.
    """
    from vauban.evaluate.inspection.bundle import inspect

    inspection = inspect(run, data_root, ask_services)
    if seal is not None:
        inspection = inspection.sealed(seal)
    if other_environment:
        inspection = inspection.in_other_environment()
    if as_json:
        typer.echo(json.dumps(inspection.as_dict(), indent=2))
    else:
        for sentence in inspection.sentences():
            typer.echo(plain(sentence))
    if inspection.differs:
        raise typer.Exit(DIFFERS)


def bundle(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    out: Annotated[
        Path | None, typer.Option(parser=output_path, help="File to write; else RUN.bundle.tar beside the run.")
    ] = None,
    with_data: Annotated[bool, typer.Option("--with-data", help="Pack the samples too.")] = False,
    data_root: RootOption = None,
    debug: DebugOption = False,
) -> None:
    """Pack what an audit of a run needs into one file: rows, weights, the user's sources; never a key."""
    from vauban.evaluate.inspection.bundle import bundle as pack
    from vauban.store.files import check_output

    if out is not None:
        check_output(out)
    typer.echo(plain(str(pack(run, out, with_data, data_root))))
