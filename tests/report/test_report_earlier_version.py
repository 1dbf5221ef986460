"""Files that version 0.1 wrote: reported as made by it, with the numbers that it reported itself."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from vauban.report import headlines, render, write
from vauban.report.reproduction import page as reproduction
from vauban.report.run.judged_cells import current_cells
from vauban.report.run.result_rows import result_rows
from vauban.store import load

OLD = Path(__file__).parents[1] / "fixtures" / "vauban-0.1"
NOTE = "made by vauban 0.1"
WANTED = ("robust_accuracy", "robust_low", "robust_high", "p_suc", "median")


@pytest.fixture
def study(tmp_path):
    return Path(shutil.copytree(OLD / "study", tmp_path / "study"))


@pytest.fixture
def run(study):
    return load(study)


def test_old_cells_are_named_by_their_version_and_not_stale(run):
    assert len(run.cells) == 4
    for cell in run.cells:
        assert cell.meta["sources"]
        assert (cell.earlier_version, cell.changed, cell.stale, cell.complete) == ("0.1", (), False, True)
    assert current_cells(run.cells) == run.cells


def test_the_table_has_the_numbers_that_0_1_reported(run):
    table = list(csv.DictReader(io.StringIO(render(run, "csv"))))
    assert [row["notes"] for row in table] == [NOTE] * 4
    rows = {
        (row["model"], row["attack"]): {k: float(v or "nan") for k, v in row.items() if k in WANTED} for row in table
    }
    pgd, ddn = rows["digits-cnn", "pgd steps=10"], rows["digits-cnn", "ddn steps=20"]
    assert [round(100 * pgd[k], 1) for k in ("robust_accuracy", "robust_low", "robust_high")] == [4.2, 0.7, 20.2]
    assert round(ddn["median"], 3) == 0.562
    pgd, ddn = rows["noisy.py:make", "pgd steps=10"], rows["noisy.py:make", "ddn steps=20"]
    assert [round(100 * pgd[k], 1) for k in ("robust_accuracy", "robust_low", "robust_high")] == [5.8, 1.3, 22.6]
    assert (round(100 * ddn["p_suc"], 1), round(ddn["median"], 3)) == (56.5, 0.976)


@pytest.mark.parametrize(
    ("form", "numbers"),
    [
        (
            "md",
            ("4.2\u00a0% [0.7–20.2\u00a0%]", "| 0.562 |", "5.8\u00a0% [1.3–22.6\u00a0%]", "56.5\u00a0%", "| 0.976 |"),
        ),
        ("latex", (r"4.2~\% [0.7--20.2~\%]", "& 0.562 &", r"5.8~\% [1.3--22.6~\%]", r"56.5~\%", "& 0.976 &")),
    ],
)
def test_every_form_of_the_table_says_who_made_it(run, form, numbers):
    text = render(run, form)
    assert text.count(NOTE) == 4
    assert "stale" not in text
    for number in numbers:
        assert number in text


def test_the_page_counts_old_cells_in_the_verdict_and_names_their_version(study):
    html = write(study).read_text(encoding="utf-8")
    assert (
        "Robust accuracy at L∞ 51/255 is at most 4.2\u00a0% (95\u00a0% interval 0.7 to 20.2\u00a0%, all 24 images)"
        in html
    )
    assert "at most 5.8\u00a0% (95\u00a0% interval 1.3 to 22.6\u00a0%, all 24 images)" in html
    assert html.count("2 cells made by vauban 0.1, counted like the others") == 2
    assert html.count(f'<abbr title="{NOTE}">*</abbr>') == 4
    assert "code that has changed since" not in html
    assert "stale cell" not in html
    assert 'id="troubles"' not in html


def test_old_and_new_cells_share_a_verdict_until_the_new_ones_replace_them(run):
    """An old cell beside a new one of another attack counts; beside a new one of its own words it is superseded."""
    old = next(c for c in run.cells if c.meta["model"] == "digits-cnn" and c.meta["norm"] == "linf")
    weaker = replace(
        old, meta=old.meta | {"hash": "new", "attack": "fgsm:eps=51/255"}, earlier_version="", columns=dict(old.columns)
    )
    weaker.columns["misclassified"] = 1 - old.columns["clean_correct"]
    weaker.columns["reached"] = weaker.columns["misclassified"]
    weaker.columns["success"] = weaker.columns["reached"] > 0
    (headline,) = headlines(replace(run, cells=[old, weaker]))
    assert round(100 * headline.bounds[0].robust.value, 1) == 4.2
    assert headline.earlier == (("0.1", 1),)
    (headline,) = headlines(replace(run, cells=[replace(old, superseded=True), weaker]))
    assert round(100 * headline.bounds[0].robust.value, 1) == 95.8
    assert (headline.earlier, headline.stale) == ((), 1)


def test_a_superseded_old_cell_is_stale_and_still_named(run):
    cells = [replace(cell, superseded=True) for cell in run.cells]
    assert {row.notes for row in result_rows(replace(run, cells=cells))} == {("stale", NOTE)}


def test_the_page_of_an_old_reproduction_is_made_again_from_its_record(tmp_path):
    folder = Path(shutil.copytree(OLD / "reproduction" / "cia-5-smoke", tmp_path / "cia-5-smoke"))
    record = json.loads((folder / "reproduction.json").read_text(encoding="utf-8"))
    html = reproduction.write(folder).read_text(encoding="utf-8")
    body = html[html.index("<tbody>") : html.index("</tbody>")]
    for row in record["rows"]:
        assert row["unit"] == "rate"
        assert f">{100 * row['ours']:.1f}\u00a0%<" in body
        assert f">{100 * row['printed']:.1f}\u00a0%<" in body
        assert f"[{100 * row['low']:.1f}–{100 * row['high']:.1f}\u00a0%]" in body
    assert f"vauban {record['version']}" in html
    assert record["command"] in html
    # The table that 0.1 wrote beside the record.
    assert reproduction.markdown(folder) == (OLD / "reproduction" / "cia-5-smoke" / "table.md").read_text(
        encoding="utf-8"
    )
