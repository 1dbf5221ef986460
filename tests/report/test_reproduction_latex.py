"""LaTeX of a reproduction: letters, intervals, trainings, and the same fields as Markdown."""

from __future__ import annotations

import re
from typing import Any

from vauban.report.reproduction.latex import CLAIMS, latex_tables
from vauban.report.reproduction.markdown import markdown_tables
from vauban.report.reproduction.number_text import training_spread
from vauban.report.shared.text_tables import latex
from vauban.statistics.compare import ComparisonRow, compare
from vauban.statistics.intervals import Interval


def row(label: str = "PGD_10 & 50 %", **more: Any) -> ComparisonRow:
    given: dict[str, Any] = {
        "per_seed": (0.5, 0.7),
        "printed": 0.55,
        "raw": "55%",
        "interval": Interval(0.4, 0.8),
    } | more
    made = compare(key={"a": "b"}, label=label, metric="accuracy", n=40, printed_n=40, setting="same", **given)
    made["trainings"] = len(made["per_seed"])
    return made


def record(*rows: ComparisonRow, **more: Any) -> dict[str, Any]:
    facts = {
        "id": "mine-1",
        "title": "Table 1",
        "source": "mine",
        "scale": "smoke",
        "setting": "stand-in",
        "images": 40,
    }
    return (
        facts
        | {"data": {"name": "digits/test"}, "seeds": [0], "training_seeds": [0, 1], "rows": rows, "beyond": []}
        | more
    )


def test_a_table() -> None:
    text = latex_tables(record(row()))
    assert text.startswith("% \\usepackage{booktabs}\n% mine-1, scale smoke: Table 1 (mine)\n")
    assert "% networks trained with seeds 0, 1\n% Other networks" in text
    _, _, body = text.partition("\\midrule\n")
    fields = body.partition(" \\\\\n")[0].split(" & ")
    assert fields[:2] == ["PGD\\_10 \\& 50 \\%", "accuracy"]
    assert "60.0~\\% [40.0--80.0~\\%], n~=~40; 2~trainings 50.0--70.0~\\%" in body
    assert "55.0~\\%" in body
    assert text.endswith("\\bottomrule\n\\end{tabular}\n")


def test_fields_are_those_of_markdown() -> None:
    """As many tables of as many lines, with the same numbers in the same order."""
    claim = {"text": "a < b", "source": "s", "answer": "holds", "seen": "holds", "comparisons": ["a: 0.5 against 0.7"]}
    some = record(row(), row("other", printed=None, per_seed=(0.1, 0.3)), claims=[claim])
    plain, tex = markdown_tables(some), latex_tables(some)
    assert tex.count("\\begin{tabular}") == plain.count("--- |\n") == 2
    _, _, tex = tex.partition("\\begin")
    tex = tex.replace(CLAIMS, "")
    assert re.findall(r"\d[\d.]*", plain.replace("% interval", "")) == re.findall(r"\d[\d.]*", tex)
    assert "a \\textless{} b (s)" in tex


def test_a_line_that_begins_with_a_bracket() -> None:
    """LaTeX would read it as the option of the line break before it."""
    text = latex(("A",), (("[x]",), ("*",)), "l")
    assert "\n{}[x] \\\\\n{}* \\\\\n" in text


def test_spread_over_trainings() -> None:
    """Two trainings with three seeds each: means 0.2 and 0.5."""
    one = row(per_seed=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6))
    one["trainings"] = 2
    assert training_spread(one) == "2\u00a0trainings 20.0–50.0\u00a0%"
    one["trainings"] = 1
    assert training_spread(one) == ""
    far = row(unit="distance", per_seed=(1.0, 2.0), printed=1.5, interval=Interval(1, 2))
    assert training_spread(far) == "2\u00a0trainings 1.00–2.00"
