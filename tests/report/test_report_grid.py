"""The grid: a column per defence and threat, numbers that a finding calls invalid told from the others."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from urllib.parse import unquote

import pytest

from vauban.report import headlines, render
from vauban.report.run import page
from vauban.report.run.result_grid import result_grids
from vauban.report.run.result_rows import result_rows
from vauban.report.shared import format as fmt
from vauban.store import CellRows, Run, load


@pytest.fixture(scope="module")
def run(run_folder) -> Run:
    return load(run_folder)


@pytest.mark.slow
def test_every_number_stands_under_its_own_defence_and_threat(run):
    rows = result_rows(run)
    for grid in result_grids(rows, headlines(run)):
        assert grid.columns == (
            ("none", "white-box"),
            ("none", "scores-only"),
            ("jpeg", "adaptive"),
            ("jpeg", "scores-only"),
        )
        assert grid.defences == [("none", 2), ("jpeg", 2)]
        assert [line.attack for line in grid.lines] == ["cw-l2", "ddn", "apgd", "fgsm", "square", "worst case"]
        for line in grid.lines[:-1]:
            for (defence, threat), field in zip(grid.columns, line.fields, strict=True):
                own = [
                    row
                    for row in rows
                    if (row.model, row.defence, row.threat, row.attack) == (grid.model, defence, threat, line.attack)
                ]
                assert (field is None) == (not own)
                if field is not None and own[0].eps is not None:
                    assert field.value == fmt.percent(own[0].robust_accuracy.value)


def test_the_worst_case_spans_the_columns_that_it_counts(run):
    first, _ = result_grids(result_rows(run), headlines(run))
    assert [(field.value, field.span) for field in first.lines[-1].fields if field] == [
        (fmt.percent(verdict.bounds[0].robust.value), 2) for verdict in headlines(run)[:2]
    ]


def test_a_removed_defence_has_a_column_that_no_verdict_spans(run):
    removed = [
        CellRows({**cell.meta, "hash": f"r{k}", "threat": "removed"}, cell.columns, [], [], True)
        for k, cell in enumerate(run.cells)
        if (cell.meta["model"], cell.meta["defence"]) == ("cifar10-cnn", "jpeg")
    ]
    wider = replace(run, cells=[*run.cells, *removed])
    grid = result_grids(result_rows(wider), headlines(wider))[0]
    assert grid.columns[-1] == ("jpeg", "removed")
    assert [None if field is None else field.span for field in grid.lines[-1].fields] == [2, 2, None]


@pytest.fixture
def doubted(run) -> Run:
    """The run with a finding that calls one cell invalid."""
    cells = [
        replace(cell, findings=[{"code": "zero-gradients", "severity": "invalid", "message": "standing still"}])
        if (cell.meta["model"], cell.meta["defence"], cell.meta["attack"]) == ("cifar10-cnn", "none", "fgsm")
        else cell
        for cell in run.cells
    ]
    return replace(run, cells=cells)


def test_an_invalid_number_is_gray_with_its_finding_beside_it(doubted):
    grid = result_grids(result_rows(doubted), headlines(doubted))[0]
    invalid = [(line.attack, field.invalid) for line in grid.lines for field in line.fields if field and field.invalid]
    # The threat of the cell breaks most, so the doubt is that of the network too.
    assert invalid == [("fgsm", ("zero-gradients",)), ("worst case", ("zero-gradients",))]
    html = page.page(doubted)
    assert html.count('<a href="#finding-zero-gradients">zero gradients</a>') == 3
    assert 'id="finding-zero-gradients"' in html
    table = csv.DictReader(io.StringIO(render(doubted, "csv")))
    (row,) = [row for row in table if "zero" in row["notes"] and row["kind"] == "cell"]
    assert (row["attack"], row["notes"]) == ("fgsm", "invalid: zero-gradients")


def test_a_finding_is_told_in_words_and_never_by_a_hash(doubted):
    gone = {"code": "noise-beats-gradients", "severity": "warning", "message": "noise won", "about": "0123456789abcdef"}
    html = page.page(replace(doubted, findings=[gone]))
    assert "<h3>standing still</h3>" in html
    assert "<h3>noise won</h3>" in html
    assert "<code>noise-beats-gradients</code>" in html
    assert "0123456789abcdef" not in html.split('id="settings"')[0]


def test_the_results_of_the_page_come_as_csv(run):
    (link,) = re.findall(r'href="data:text/csv;charset=utf-8,([^"]*)"', page.page(run))
    assert unquote(link) == render(run, "csv")
