"""The results table as Markdown, CSV or LaTeX."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from vauban.core.errors import UnknownName
from vauban.report.run.rows import ResultRow, rows
from vauban.report.shared import format as fmt
from vauban.store import Run

HEADERS = (
    "Model",
    "Defence",
    "Threat",
    "Attack",
    "Budget",
    "Set",
    "n",
    "Clean accuracy",
    "Robust accuracy (all)",
    "P_suc",
    "P_upp",
    "Median distance",
    "Mean distance | success",
    "Unrounded median",
    "Gradients",
    "Queries",
    "Notes",
)

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "∞": r"$\infty$",
    "≤": r"$\le$",
    "–": "--",
    "\u00a0": "~",
    "\u202f": r"\,",
}


def render(run: Run, form: str = "md", population: str = "correct") -> str:
    """The table of a run.

    `form` is `md`, `csv` (raw numbers, one column per interval end) or `latex` (booktabs). Robust and clean accuracy
    are over `all`, the other rates over `population`. Raises UnknownName for another form or population.
    """
    forms: dict[str, Callable[[Sequence[ResultRow]], str]] = {"md": _markdown, "csv": _csv, "latex": _latex}
    if form not in forms:
        raise UnknownName("format", form, forms)
    return forms[form](rows(run, population))


def cells(row: ResultRow) -> list[str]:
    """The formatted fields of a row, in the order of HEADERS."""
    numbers = row.summary
    tail = [fmt.count(row.gradients), fmt.count(row.queries), "; ".join(row.notes)]
    head = [row.model, row.defence, row.threat, row.attack, row.budget]
    # Without a budget there is no robust accuracy, only distances.
    robust = fmt.DASH if row.eps is None else fmt.rate(row.robust_accuracy)
    accuracy = [fmt.percent(row.clean_accuracy.value), robust]
    if numbers is None:
        return [*head, "all", str(row.robust_accuracy.n), *accuracy, *[fmt.DASH] * 5, *tail]
    middle = [
        fmt.rate(numbers.p_suc),
        fmt.DASH if math.isnan(numbers.d_upp) else _at(numbers.p_upp.value, numbers.d_upp, row.norm),
        fmt.distance(numbers.median.value, row.norm),
        f"{fmt.distance(numbers.conditional.value, row.norm)} at {fmt.percent(numbers.conditional.p_suc)}",
        fmt.distance(numbers.unrounded_median, row.norm),
    ]
    return [*head, numbers.population, str(numbers.n), *accuracy, *middle, *tail]


def _at(share: float, distance: float, norm: str) -> str:
    return f"{fmt.percent(share)} at {fmt.distance(distance, norm)}"


def _markdown(table: Sequence[ResultRow]) -> str:
    def line(fields: Sequence[str]) -> str:
        return "| " + " | ".join(re.sub(r"([|\\])", r"\\\1", field).replace("\n", " ") for field in fields) + " |"

    body = [line(cells(row)) for row in table]
    return "\n".join([line(HEADERS), "|" + "---|" * len(HEADERS), *body]) + "\n"


def _csv(table: Sequence[ResultRow]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(_raw(None)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(_raw(row) for row in table)
    return text.getvalue()


def _raw(row: ResultRow | None) -> dict[str, Any]:
    """Unrounded fields; `None` gives the names."""
    names = (
        "model",
        "defence",
        "data",
        "threat",
        "attack",
        "kind",
        "norm",
        "eps",
        "clean_accuracy",
        "robust_accuracy",
        "robust_low",
        "robust_high",
        "images",
        "population",
        "n",
        "p_suc",
        "p_suc_low",
        "p_suc_high",
        "d_upp",
        "p_upp",
        "misclassified",
        "median",
        "median_low",
        "median_high",
        "conditional_mean",
        "unrounded_p_suc",
        "unrounded_median",
        "median_ssim",
        "median_psnr_db",
        "gradients",
        "queries",
        "notes",
    )
    if row is None:
        return dict.fromkeys(names)
    robust = row.robust_accuracy
    values: list[Any] = [row.model, row.defence, row.data, row.threat, row.attack, row.kind, row.norm, row.eps]
    values += [row.clean_accuracy.value, robust.value, *robust.interval, robust.n]
    s = row.summary
    if s is None:
        values += ["all", robust.n] + [None] * 14
    else:
        values += [s.population, s.n, s.p_suc.value, *s.p_suc.interval, s.d_upp, s.p_upp.value, s.misclassified.value]
        values += [s.median.value, *s.median.interval, s.conditional.value]
        values += [s.unrounded_p_suc, s.unrounded_median, s.median_ssim, s.median_psnr_db]
    values += [row.gradients, row.queries, "; ".join(row.notes)]
    return dict(zip(names, map(_cell, values), strict=True))


def _cell(value: Any) -> Any:
    # A spreadsheet runs a text that starts like a formula.
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def _latex(table: Sequence[ResultRow]) -> str:
    def line(fields: Sequence[str]) -> str:
        return " & ".join("".join(_LATEX.get(letter, letter) for letter in field) for field in fields) + r" \\"

    body = [line(cells(row)) for row in table]
    top = [rf"\begin{{tabular}}{{{'l' * 6}{'r' * 10}l}}", r"\toprule", line(HEADERS), r"\midrule"]
    return "\n".join([*top, *body, r"\bottomrule", r"\end{tabular}"]) + "\n"
