"""Gates: what makes a finished command end with another exit code than 0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vauban.core.errors import VaubanError, plain

if TYPE_CHECKING:
    from vauban.report.run.gate import Check, Compared
    from vauban.store import Run

GATE, UNFINISHED = 1, 3
"""Exit codes: a gate failed; rows are missing, where there is no gate."""


def gate_of(least: float | None, compared: str, junit: Path | None) -> Compared:
    """What `--fail-under` compares, from the word of `--gate`; every option of a gate is looked at before anything runs.

    Raises:
        VaubanError: `--fail-under` is no share, `--gate` is another word, or `--junit` is a folder.
    """
    if compared not in ("interval", "point"):
        raise VaubanError(f"expected --gate as interval or point, got {compared!r}")
    if least is not None:
        from vauban.report.run.gate import check_share

        check_share("--fail-under", least)
    if junit is not None:
        from vauban.store.files import check_output

        if junit.is_dir():
            raise VaubanError(f"expected --junit as a file, got the folder {junit}; e.g. {junit / 'vauban.xml'}")
        check_output(junit)
    return compared  # type: ignore[return-value]


def ended(run: Run, least: float | None, compared: Compared, junit: Path | None) -> None:
    """End `vauban evaluate`: write the JUnit file, and exit with 1 where the gate fails, with 3 where rows are missing.

    Args:
        run: The run, its planned cells alone.
        least: The least robust accuracy; None: no gate.
        compared: What is compared with it.
        junit: The file to write; None: none.
    """
    from vauban.report.run.gate import cell_checks, gate_checks, incomplete

    cells, gates = cell_checks(run), [] if least is None else gate_checks(run, least, compared)
    if junit is not None:
        from vauban.report.run.junit import write_junit

        write_junit(junit, [*cells, *gates])
    missing = incomplete(run)
    if least is not None and (missing or any(check.failures for check in gates)):
        tell([*(cells if missing else ()), *gates])
        raise typer.Exit(GATE)
    if missing:
        raise typer.Exit(UNFINISHED)


def tell(checks: Sequence[Check]) -> None:
    """Print the reasons of checks that fail, one line each, on the error stream."""
    for check in checks:
        for reason in check.failures:
            typer.echo(plain(f"vauban: {check.group} {check.name}: {reason}"), err=True)
