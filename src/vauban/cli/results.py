"""Commands that read without running anything: `vauban report|table|status|list`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from vauban.cli.options import DebugOption
from vauban.core.errors import UnknownName, VaubanError, plain


def report(directory: Path, debug: DebugOption = False) -> None:
    """Write report.html again from the rows of a run directory. Needs no torch."""
    from vauban.report.run import page

    typer.echo(page.write(directory))


def _schema(wanted: bool) -> None:
    """Print the schema of a summary and end, where it is wanted."""
    if wanted:
        from vauban.report.run.summary import summary_schema

        typer.echo(json.dumps(summary_schema(), indent=2))
        raise typer.Exit


def table(
    directory: Path,
    form: Annotated[str, typer.Option("--format", help="md, csv or latex.")] = "md",
    population: Annotated[str, typer.Option(help="all, correct or common.")] = "correct",
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON; --schema describes it.")] = False,
    schema: Annotated[
        bool,
        typer.Option("--schema", is_eager=True, callback=_schema, help="Print the JSON Schema of --json and exit."),
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Print the results of a run directory, or of a reproduction, as a table. Needs no torch."""
    if (directory / "reproduction.json").is_file():
        typer.echo(plain(_reproduction(directory, form, as_json)))
        return
    from vauban.report.run import tables
    from vauban.report.run.summary import summary
    from vauban.store import query

    run = query.load(directory, pictures=False)
    if as_json:
        typer.echo(json.dumps(summary(run, population), indent=2))
        return
    typer.echo(plain(tables.render(run, form, population)))


def _reproduction(directory: Path, form: str, as_json: bool) -> str:
    """The tables of a reproduction."""
    from vauban.report.reproduction import page

    if as_json:
        raise VaubanError(
            f"expected the directory of an evaluation for --json, got a reproduction; read {page.FILE} in it"
        )
    forms = {"md": page.markdown, "latex": page.latex}
    if form not in forms:
        raise UnknownName("format of a reproduction's table", form, forms)
    return forms[form](directory)


def status(directory: Path, debug: DebugOption = False) -> None:
    """Show which cells, certificates and measurements of a run are complete, stale or failed. Needs no torch."""
    from vauban.cli.screens import show_status

    show_status(directory)


def list_(
    kind: Annotated[
        str,
        typer.Argument(
            help="attacks, fitters, defences, defence-fitters, models, datasets, threats, network-fitters, metrics, "
            "network-metrics, certificates, losses, recipes, executors, experiments, or a name: pgd."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: DebugOption = False,
) -> None:
    """List what is built in, with a line on each and its parameters; or explain one thing."""
    from vauban.cli.screens import registry_entries
    from vauban.cli.screens.lists import registries
    from vauban.cli.screens.parameters import explained

    entries = registry_entries(kind)
    if entries is None:
        typer.echo(explained(kind, registries()))
        return
    if as_json:
        typer.echo(json.dumps(entries, indent=2, default=str))
        return
    width = max(len(str(entry["name"])) for entry in entries)
    for entry in entries:
        typer.echo(f"{entry['name']!s:<{width}}  {entry['summary']}")
        parameters = [f"{row['name']} = {row['default']} ({row['range']})" for row in entry.get("parameters", ())]
        if parameters:
            typer.echo(f"{'':<{width}}    {'; '.join(parameters)}")
