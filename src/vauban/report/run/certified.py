"""Certified accuracy against radius: the curve, the table and the remarks of each certificate of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vauban.core.errors import plural
from vauban.report.reproduction.figure_layout import DrawnFigure
from vauban.report.reproduction.figures import draw_figure
from vauban.report.run.contradicted import contradicted, contradictions_text
from vauban.report.shared import format as fmt
from vauban.report.shared.axes import tick_step
from vauban.statistics.certified import certified_accuracy, empirical_accuracy, mean_radius, radii_drawn
from vauban.statistics.estimates import Estimate
from vauban.statistics.intervals import Interval, wilson
from vauban.store.job_rows import JobRows
from vauban.store.query import CellRows

MOST = 6  # radii of a table


@dataclass(frozen=True)
class Remark:
    """A sentence on a certificate; doubt: that its rows cannot be relied on."""

    text: str
    doubt: bool = False


@dataclass(frozen=True)
class CertifiedView:
    """One certificate as a page shows it."""

    where: str
    claim: str
    figure: DrawnFigure
    heads: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    remarks: tuple[Remark, ...]


def certified_views(certificates: Sequence[JobRows], cells: Sequence[CellRows] = ()) -> list[CertifiedView]:
    """Those that have rows, by model, defence and name."""
    return [_view(rows, cells) for rows in in_order_of_words(certificates) if len(rows.columns["id"])]


def in_order_of_words(certificates: Sequence[JobRows]) -> list[JobRows]:
    """By model, defence, data and name."""
    return sorted(certificates, key=words_of)


def words_of(rows: JobRows) -> list[str]:
    """Model, defence, data and name of a certificate."""
    return [str(rows.meta[word]) for word in ("model", "defence", "data", "certificate")]


def _view(rows: JobRows, cells: Sequence[CellRows]) -> CertifiedView:
    table = certified_lines(rows)
    return CertifiedView(
        where_of(rows),
        str(rows.meta["claim"]),
        _figure(rows),
        table[0],
        tuple(table[1:]),
        tuple(remarks_of(rows, cells)),
    )


def where_of(rows: JobRows) -> str:
    """Model, defence, data and certificate in a line."""
    return " · ".join(called(rows))


def called(rows: JobRows) -> list[str]:
    """The same, as a page calls them."""
    return [word if word != "none" else "undefended" for word in words_of(rows)]


def _figure(rows: JobRows) -> DrawnFigure:
    at = radii_drawn(rows.columns)
    after = np.nextafter(np.asarray(at), np.inf)  # a step of a certificate ends at its radius
    named = [("certified, at least", at, certified_accuracy(rows.columns, after))]
    if _attacked(rows):
        named.append(("under attack, at most", at, empirical_accuracy(rows.columns, np.asarray(at))))
    norm = fmt.norm_name(str(rows.meta["norm"]))
    series = [{"name": name, "x": list(x), "y": [float(v) for v in y]} for name, x, y in named]
    return draw_figure(
        {
            "kind": "lines",
            "title": str(rows.meta["certificate"]),
            "caption": "",
            "x_label": f"{norm} radius",
            "y_label": "accuracy",
            "step": True,
            "series": series,
        }
    )


def certified_lines(rows: JobRows) -> list[tuple[str, ...]]:
    """Heads and lines of the table: radius, certified accuracy, accuracy under attack."""
    norm, n = str(rows.meta["norm"]), len(rows.columns["id"])
    attacked = _attacked(rows)
    heads = (f"{fmt.norm_name(norm)} radius", "certified, at least", *(["under attack, at most"] if attacked else []))
    at = shown_radii(rows)
    columns = [certified_accuracy(rows.columns, np.asarray(at))]
    columns += [empirical_accuracy(rows.columns, np.asarray(at))] if attacked else []
    lines = [(f"{radius:.4g}", *(_share(float(values[i]), n) for values in columns)) for i, radius in enumerate(at)]
    return [heads, *lines]


def _share(value: float, n: int) -> str:
    interval = wilson(min(max(value * n, 0.0), n), n) if n else Interval(0.0, 1.0)
    return fmt.rate(Estimate((value,), interval, n))


def shown_radii(rows: JobRows) -> list[float]:
    """Round radii from 0 until past the largest that was certified or reached."""
    top = radii_drawn(rows.columns)[-1]
    if top <= 0:
        return [0.0]
    unit = tick_step(top, MOST)
    return [unit * k for k in range(math.ceil(top / unit - 1e-9) + 1)]


def _attacked(rows: JobRows) -> bool:
    values = np.asarray(rows.columns["wrong_at"], float)
    return bool(len(values)) and not bool(np.isnan(values).any())


def remarks_of(rows: JobRows, cells: Sequence[CellRows] = ()) -> list[Remark]:
    """What is to be said of a certificate: withheld answers, mean radius, contradictions, what is missing."""
    n = len(rows.columns["id"])
    told = [Remark(f"Average certified radius {mean_radius(rows.columns):.4g} over {plural(n, 'image')}.")] if n else []
    withheld = int((np.asarray(rows.columns["label"]) < 0).sum())
    if withheld:
        verb = "counts" if withheld == 1 else "count"
        told.append(Remark(f"The answer is withheld on {plural(withheld, 'image')}, which {verb} as wrong."))
    seen = contradicted(rows, cells)
    if seen.checked or _attacked(rows):
        text = contradictions_text(rows, seen, cells)
        told.append(Remark(f"The bound or its code is wrong: {text}" if seen.refuted else text, seen.refuted))
    if _attacked(rows):
        named = ", ".join(map(str, rows.meta.get("attacks", ())))
        told.append(Remark(f"Attacks: {named}; their images are not rounded."))
    if rows.meta.get("stability"):
        told.append(Remark(str(rows.meta["stability"])))
    if not rows.complete:
        told.append(Remark(f"{n} of {rows.meta['n']} images; run the same command again to finish", doubt=True))
    told += [Remark(f"batch {line['index']}: {line.get('error')}", doubt=True) for line in rows.failures]
    if rows.changed:
        told.append(Remark(f"made by code that has changed since: {', '.join(rows.changed)}", doubt=True))
    return told


def certified_table(rows: JobRows) -> str:
    """The table in Markdown, under a line that says what it is of."""
    heads, *lines = certified_lines(rows)
    body = ["| " + " | ".join(map(fmt.markdown_text, line)) + " |" for line in [heads, *lines]]
    rule = "|" + " --- |" * len(heads)
    return "\n".join([f"{where_of(rows)}", f"Certified: {rows.meta['claim']}.", "", body[0], rule, *body[1:], ""])
