"""Page of a run, self-contained: no script, font, image or style comes from elsewhere."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from vauban.report.reproduction import figure_layout
from vauban.report.run.attack_labels import attack_labels
from vauban.report.run.certified import certified_views, in_order_of_words, where_of
from vauban.report.run.curves import chart_data, to_json
from vauban.report.run.detection import CAVEAT as DETECTION_CAVEAT
from vauban.report.run.detection import HEADS as DETECTION_HEADS
from vauban.report.run.detection import detection_views
from vauban.report.run.example_images import galleries
from vauban.report.run.findings import finding_groups
from vauban.report.run.headlines import CAVEAT, headlines
from vauban.report.run.judged_cells import attacked_cells, judged_network
from vauban.report.run.measured import in_order, measured_view, measured_words
from vauban.report.run.picture_budget import fitted
from vauban.report.run.result_grid import result_grids
from vauban.report.run.result_rows import result_rows
from vauban.report.run.tables import csv_text, formatted_row, headers, table_metrics
from vauban.report.shared import format as fmt
from vauban.report.shared.assets import asset, template
from vauban.statistics.combine import norm_of
from vauban.store import CellRows, Run, load
from vauban.store.files import write_bytes

_UNSHOWN = ("seconds", "created", "probe", "sources", "class_names", "environment")
"""Facts of a cell that are no settings, or too long to read."""
_UNFOLDED = 8  # networks whose verdict is seen before a click, so that the results of a large study are not pages away


def write(path: Path | str, to: Path | str | None = None) -> Path:
    """Read a run directory and write its page, atomically.

    Args:
        path: The run directory.
        to: The page; None for `report.html` inside the run directory.

    Returns:
        The path of the page.

    Raises:
        ContractError: The folder holds no run, or one of another schema version.
    """
    run = load(path, pictures=False)
    target = run.path / "report.html" if to is None else Path(to)
    write_bytes(target, page(run).encode())
    return target


def page(run: Run) -> str:
    """The page as text; every string of the run is escaped."""
    rows, verdicts = result_rows(run), headlines(run)
    metrics, (shown, left_out) = table_metrics(rows), fitted(galleries(run))
    labels = attack_labels(run.cells)
    common, different = _settings(run.cells)
    facts = [*(cell.meta for cell in run.cells), *(rows.meta for rows in [*run.certificates, *run.measurements])]
    return template("run/template.html").render(
        title=run.study.get("title") or "Robustness evaluation",
        headlines=verdicts,
        unfolded=_UNFOLDED,
        standing=any(verdict.standing for verdict in verdicts),
        caveat=CAVEAT,
        findings=finding_groups(run, labels),
        unchecked=sum(not cell.checked for cell in attacked_cells(run)),
        grids=result_grids(rows, verdicts),
        headers=headers(metrics),
        table=[(row, formatted_row(row, metrics)) for row in rows],
        results_csv="data:text/csv;charset=utf-8," + quote(csv_text(rows)),
        metrics=metrics,
        charts=Markup(to_json(chart_data(run))),
        attacked=bool(run.cells) or not (run.certificates or run.measurements),
        certified=certified_views(run.certificates, run.cells),
        detection=detection_views(run),
        detection_heads=DETECTION_HEADS,
        detection_caveat=DETECTION_CAVEAT,
        measured=measured_view(run.measurements),
        layout=figure_layout,
        galleries=shown,
        left_out=fmt.plural(left_out, "example") if left_out else "",
        magnified=any(e.views for _, by_attack in shown for gallery in by_attack for e in gallery.examples),
        troubles=_troubles(run, labels),
        common=common,
        settings=[(_where(cell, labels), facts) for cell, facts in zip(run.cells, different, strict=True)],
        others=[
            *((where_of(rows), _flat_facts(rows.meta)) for rows in in_order_of_words(run.certificates)),
            *((" · ".join(measured_words(rows)), _flat_facts(rows.meta)) for rows in in_order(run.measurements)),
        ],
        timings=[(_where(cell, labels), fmt.seconds(cell.meta["seconds"])) for cell in run.cells],
        total=fmt.seconds(sum(cell.meta["seconds"] for cell in run.cells)),
        images=max((h.clean.n for h in verdicts), default=0),
        samples=sum(len(cell.columns["id"]) for cell in run.cells),
        data=fmt.enumeration(
            sorted(
                {judged_network(cell)[2] for cell in run.cells}
                | {str(rows.meta["data"]) for rows in [*run.certificates, *run.measurements]}
            )
        ),
        created=max((str(meta.get("created") or "") for meta in facts), default=""),
        command=_command(run.study.get("command")),
        style=asset("shared/style.css") + asset("shared/figures.css"),
        script=asset("run/curves.js") + asset("run/examples.js"),
        fmt=fmt,
    )


def _where(cell: CellRows, labels: dict[str, str]) -> str:
    model, defence, _ = judged_network(cell)
    threat, limit = cell.meta.get("threat"), fmt.budget(norm_of(cell), cell.meta.get("eps"))
    return f"{model} · {defence} · {threat} · {labels[cell.meta['hash']]} · {limit}"


def _troubles(run: Run, labels: dict[str, str]) -> list[tuple[str, str, str]]:
    """(kind, where, what) of everything that is missing or no longer trustworthy."""
    troubles = []
    for cell in run.cells:
        where = _where(cell, labels)
        troubles += [("failed", where, f"batch {f['index']}: {f['error']}") for f in cell.failures]
        troubles += [
            ("damaged", where, f"{path.name} cannot be read; run again to compute it") for path in cell.damaged
        ]
        if cell.superseded:
            troubles.append(("superseded", where, "the last run judges another network or code under the same names"))
        if cell.changed:
            troubles.append(("stale", where, f"made by code that has changed since: {', '.join(cell.changed)}"))
        if not cell.complete:
            have, want = len(cell.columns["id"]), cell.meta.get("n", "?")
            images = fmt.plural(want, "image") if isinstance(want, int) else "its images"
            troubles.append(("incomplete", where, f"{have} of {images}; run the same command again to finish"))
    return troubles


def _settings(cells: list[CellRows]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Settings that all cells share, and for each cell the others; nested ones are joined with dots."""
    flat = [_flat_facts(cell.meta) for cell in cells]
    if len(flat) < 2:
        return (flat[0] if flat else {}), [{} for _ in flat]
    shared = {key: value for key, value in flat[0].items() if all(other.get(key) == value for other in flat)}
    return shared, [{key: value for key, value in facts.items() if key not in shared} for facts in flat]


def _flat_facts(meta: dict[str, Any]) -> dict[str, str]:
    return _flatten({key: value for key, value in meta.items() if key not in _UNSHOWN})


def _flatten(value: dict[Any, Any], prefix: str = "") -> dict[str, str]:
    out: dict[str, str] = {}
    for key, item in sorted(value.items(), key=lambda entry: str(entry[0])):
        if isinstance(item, list) and any(isinstance(entry, dict) for entry in item):
            item = dict(enumerate(item))
        if isinstance(item, dict) and item:
            out |= _flatten(item, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = str(item) if item not in ([], {}) else fmt.DASH
    return out


def _command(command: Any) -> str | None:
    if isinstance(command, list):
        return shlex.join(map(str, command))
    return str(command) if command else None
