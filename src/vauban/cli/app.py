"""Command line application: the commands in the order of the help, and the exit codes of errors and Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from vauban.cli import (
    audit,
    certify,
    compare,
    evaluate,
    export,
    fit,
    images,
    keys,
    leaderboard,
    measure,
    reproduce,
    results,
    run,
    train,
)
from vauban.cli.gates import UNFINISHED
from vauban.core.errors import QueriesSpent, VaubanError, exits_are_errors, plain
from vauban.jobs.allocator import keep_freed

app = typer.Typer(
    help="Attack, defend and honestly measure image classifiers.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

INTERRUPTED = 130
BATCHES = "finished batches are stored, run the same command to go on"
KEPT = {
    "evaluate": BATCHES,
    "run": BATCHES,
    "certify": BATCHES,
    "measure": BATCHES,
    "reproduce": BATCHES,
    "train": "the last whole epoch is kept beside the output, run the same command to go on after it",
    "fit": "nothing is kept of a fit that has not ended, the same command begins it again",
}
"""What is true after Ctrl-C, by command; a command that only reads or writes one file leaves nothing."""

COMMANDS: dict[str, Callable[..., None]] = {
    "evaluate": evaluate.evaluate,
    "run": run.run,
    "certify": certify.certify,
    "measure": measure.measure,
    "report": results.report,
    "compare": compare.compare,
    "leaderboard": leaderboard.leaderboard,
    "table": results.table,
    "status": results.status,
    "audit": audit.audit,
    "bundle": audit.bundle,
    "verify": images.verify,
    "magnify": images.magnify,
    "train": train.train,
    "fit": fit.fit,
    "reproduce": reproduce.reproduce,
    "list": results.list_,
}
for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(export.app, name="export")
app.add_typer(keys.app, name="keys")


def main() -> None:
    """Entry point: errors a user can act on become one line and exit code 2."""
    debug = "--debug" in sys.argv
    keep_freed()
    try:
        with exits_are_errors():
            code = app(standalone_mode=False, prog_name="vauban")
    except QueriesSpent as spent:
        if debug:
            raise
        _complain(str(spent))
        sys.exit(UNFINISHED)
    except VaubanError as error:
        if debug:
            raise
        _complain(str(error))
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except typer.Exit as leave:
        sys.exit(leave.exit_code)
    except OSError as error:
        if debug:
            raise
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        _complain(f"{what}; choose another file or folder, or make room there")
        sys.exit(2)
    except Exception as error:
        code = _usage(error, debug)
    if code == INTERRUPTED:  # typer makes this code of Ctrl-C
        _complain(f"interrupted; {kept_of(sys.argv[1:])}")
    sys.exit(code if isinstance(code, int) else 0)


def kept_of(words: list[str]) -> str:
    """What a command that was interrupted has kept, and how to go on."""
    command = next((word for word in words if word in COMMANDS), "")
    return KEPT.get(command, "nothing was written")


def _usage(error: Exception, debug: bool) -> int:
    """Errors of the command line's own grammar, and whatever a user's file raises: one line, the traceback for --debug."""
    if debug:
        raise error
    message = getattr(error, "format_message", None)
    if message is None:
        first = next(iter(str(error).strip().splitlines()), "")
        _complain(f"{type(error).__name__}: {first}; the same command with --debug shows where")
        return 2
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError" and context is not None:
        typer.echo(context.get_help())
        return 2
    path = context.command_path if context is not None else "vauban"
    _complain(f"{message().rstrip().rstrip('.?')}; see {path} --help")
    return 2


def _complain(message: str) -> None:
    typer.echo(f"vauban: {plain(' '.join(message.split()))}", err=True)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        from vauban import __version__

        typer.echo(__version__)
        raise typer.Exit
