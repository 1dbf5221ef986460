"""`vauban keys`: making a key, and telling its id."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vauban.cli.options import DebugOption

app = typer.Typer(help="Make a key for a keyed defence, or tell its id.", no_args_is_help=True)
FileArgument = Annotated[Path, typer.Argument(help="File of the key; never overwritten, for its owner alone.")]


@app.command("new")
def new(file: FileArgument, debug: DebugOption = False) -> None:
    """Make a key of 256 bits and print its id."""
    from vauban.core.secret import Secret

    key = Secret.new()
    key.write(file.expanduser())
    print(key.id)


@app.command("id")
def id_(file: Annotated[str, typer.Argument(help="File of a key, or env:NAME.")], debug: DebugOption = False) -> None:
    """Print the id of a key, which says nothing of it."""
    from vauban.words.key import load

    print(load(file).id)
