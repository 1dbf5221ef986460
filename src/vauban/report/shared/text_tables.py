"""Tables as Markdown, CSV or LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from vauban.report.shared import format as fmt

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
    "≥": r"$\ge$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "→": r"$\to$",
    "ε": r"$\varepsilon$",
    "δ": r"$\delta$",
    "σ": r"$\sigma$",
    "…": r"\dots{}",
    "—": "---",
    "–": "--",
    "−": "$-$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "\u00a0": "~",
    "\u202f": r"\,",
}


def markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Heads and lines of fields."""

    def line(fields: Sequence[str]) -> str:
        return "| " + " | ".join(map(fmt.markdown_text, fields)) + " |"

    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, body)]) + "\n"


def latex(head: Sequence[str], body: Sequence[Sequence[str]], aligned: str) -> str:
    """The same with booktabs; aligned: a letter for each column."""

    def line(fields: Sequence[str]) -> str:
        text = " & ".join(map(latex_text, fields)) + r" \\"
        return "{}" + text if text.startswith(("[", "*")) else text  # else the option of the line break before it

    top = [rf"\begin{{tabular}}{{{aligned}}}", r"\toprule", line(head), r"\midrule"]
    return "\n".join([*top, *map(line, body), r"\bottomrule", r"\end{tabular}"]) + "\n"


def latex_text(text: str) -> str:
    """Text with every letter escaped that LaTeX reads as something else."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def csv_lines(names: Sequence[str], body: Sequence[Mapping[str, Any]]) -> str:
    """Raw values, one line for each mapping."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _disarmed(value) for name, value in fields.items()} for fields in body)
    return text.getvalue()


def _disarmed(value: Any) -> Any:
    """A text that starts like a formula with a quote in front: a spreadsheet would run it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value
