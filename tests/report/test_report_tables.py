"""Tables and verdicts against the columns they come from."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest

from vauban.core.errors import UnknownName
from vauban.report import headlines, render
from vauban.report.run.attack_labels import attack_labels
from vauban.report.run.result_rows import result_rows
from vauban.report.shared import format as fmt
from vauban.statistics.intervals import wilson
from vauban.store import CellRows, Store, load


@pytest.fixture(scope="module")
def run(run_folder):
    return load(run_folder)


def _cell(run, model, defence, attack):
    (cell,) = [
        c for c in run.cells if (c.meta["model"], c.meta["defence"], c.meta["attack"]) == (model, defence, attack)
    ]
    return cell


def test_csv_has_the_raw_numbers(run):
    table = list(csv.DictReader(io.StringIO(render(run, "csv"))))
    (line,) = [r for r in table if (r["model"], r["defence"], r["attack"]) == ("cifar10-cnn", "jpeg", "apgd")]
    columns = _cell(run, "cifar10-cnn", "jpeg", "apgd").columns
    right = columns["clean_correct"] == 1
    robust = np.mean(right & ~columns["success"])
    assert float(line["robust_accuracy"]) == pytest.approx(robust)
    low, high = wilson(robust * 200, 200)
    assert (float(line["robust_low"]), float(line["robust_high"])) == pytest.approx((low, high))
    assert (line["population"], int(line["n"])) == ("correct", right.sum())
    distances = columns["linf"][right]
    assert float(line["p_suc"]) == pytest.approx(np.isfinite(distances).mean())
    assert float(line["median"]) == pytest.approx(np.median(distances))
    assert float(line["conditional_mean"]) == pytest.approx(distances[np.isfinite(distances)].mean())
    assert float(line["gradients"]) == pytest.approx(columns["backwards"][right].mean())
    assert float(line["unrounded_median"]) == pytest.approx(np.median(distances) * 0.99)


@pytest.mark.slow
def test_every_form_has_every_row_and_the_population_is_named(run):
    count = len(result_rows(run))
    for population in ("all", "correct", "common"):
        markdown = render(run, "md", population).splitlines()
        assert len(markdown) == count + 2
        assert len({line.replace(r"\|", "").count("|") for line in markdown}) == 1
        assert f"| {population} |" in markdown[2]
    latex = render(run, "latex").splitlines()
    assert len(latex) == count + 6
    assert len({line.count(" & ") for line in latex[2:-2] if "&" in line}) == 1
    assert not any(letter in "".join(latex) for letter in "∞≤–\u00a0\u202f")
    with pytest.raises(UnknownName, match="latex"):
        render(run, "latx")


def test_unfinished_and_stale_rows_say_so(run):
    notes = {(row.model, row.defence, row.attack): row.notes for row in result_rows(run)}
    assert notes["cifar10-resnet", "jpeg", "ddn"] == ("incomplete, 150 of 200",)
    assert notes["cifar10-resnet", "jpeg", "cw-l2"] == ("stale",)
    assert notes["cifar10-cnn", "none", "ddn"] == ()


def test_a_minimal_attack_has_no_robust_accuracy(run):
    (line,) = [x for x in render(run).splitlines() if "cifar10-cnn | none | white-box | ddn" in x]
    assert line.split(" | ")[8] == fmt.DASH


def test_the_verdict_is_the_worst_case_of_fresh_cells(run):
    bare = headlines(run)[0]
    assert (bare.model, bare.defence, bare.stale) == ("cifar10-cnn", "none", 0)
    (bound,) = bare.bounds
    broken = np.zeros(200, bool)
    for attack in ("fgsm", "apgd", "square", "ddn", "cw-l2"):
        columns = _cell(run, "cifar10-cnn", "none", attack).columns
        broken |= columns["linf"] <= 8 / 255 + 1e-9
        right = columns["clean_correct"] == 1
    expected = np.mean(right & ~broken)
    assert bound.robust.value == pytest.approx(expected)
    assert bare.lowest == bound.robust.value
    text = bound.sentence
    assert f"at L∞ 8/255 is at most {100 * expected:.1f}\u00a0%" in text
    assert "not broken by apgd, cw-l2, ddn, fgsm and square" in text
    for word in ("survive", "strongest", "secure", "is robust"):
        assert word not in text
    last = headlines(run)[-1]
    assert (last.model, last.defence, last.stale, last.only_stale, last.unfinished) == (
        "cifar10-resnet",
        "jpeg",
        1,
        False,
        1,
    )
    assert "cw-l2" not in last.bounds[0].sentence
    (minimal,) = bare.minimal
    assert "median L2 distance" in minimal.sentence


def test_everything_broken_is_said_plainly(tmp_path, fake_run):
    folder = fake_run.build(tmp_path, n=50, models=("m",), defences=("none",))
    run = load(folder)
    for cell in run.cells:
        rows = len(cell.columns["id"])
        cell.columns.update(success=np.ones(rows, bool), linf=np.full(rows, 1 / 255))
        cell.columns.update(misclassified=np.ones(rows), reached=np.ones(rows))
    (headline,) = headlines(run)
    assert "at most 0.0\u00a0%" in headline.bounds[0].sentence
    assert "Every image was broken" in headline.bounds[0].sentence


def test_removed_defence_rows_do_not_judge_the_defended_network(run):
    cells = [CellRows({**c.meta, "threat": "removed"}, c.columns, [], [], True) for c in run.cells[:3]]
    honest = CellRows({**run.cells[0].meta, "hash": "x"}, run.cells[0].columns, [], [], True)
    only = headlines(type(run)(run.path, {}, [honest], []))[0].bounds[0].robust
    both = headlines(type(run)(run.path, {}, [honest, *cells], []))[0].bounds[0].robust
    assert only == both


def test_union_and_worst_rows(tmp_path, fake_run):
    folder = fake_run.build(tmp_path, n=50, models=("m",), defences=("none",))
    store = Store(folder)
    base = load(folder).cells[1]
    again = store.cell("other")
    eps = 4 / 255
    params = {"attack": {**base.meta["params"]["attack"], "eps": eps}, "threat": {"draws": 1}, "defence": {}}
    again.create({**base.meta, "eps": eps, "params": params})
    columns = dict(base.columns)
    columns["success"] = columns["linf"] <= eps
    for name in ("linf", "l2", "l1", "l0", "raw_l2", "raw_linf"):
        columns[name] = np.where(columns["success"], columns[name], np.inf)
    columns["misclassified"] = columns["reached"] = columns["success"].astype(float)
    again.append(0, {k: [None if v != v else v for v in x] for k, x in columns.items()})
    (union,) = [row for row in result_rows(load(folder)) if row.kind == "union"]
    assert union.attack == "apgd (union of 2 budgets)"
    assert union.robust_accuracy.value == pytest.approx(
        np.mean((base.columns["clean_correct"] == 1) & ~base.columns["success"])
    )
    right = base.columns["clean_correct"] == 1
    assert union.gradients == pytest.approx(2 * base.columns["backwards"][right].mean())


def test_labels_name_only_what_tells_cells_apart(run):
    one = run.cells[1]
    other = CellRows(
        {**one.meta, "hash": "b", "params": {"attack": {**one.meta["params"]["attack"], "steps": 200}}},
        one.columns,
        [],
        [],
        True,
    )
    targeted = CellRows({**one.meta, "hash": "c", "goal": "least-likely"}, one.columns, [], [], True)
    assert attack_labels([one]) == {one.meta["hash"]: "apgd"}
    names = attack_labels([one, other, targeted])
    assert names == {one.meta["hash"]: "apgd steps=100", "b": "apgd steps=200", "c": "apgd (least-likely)"}


@pytest.mark.parametrize(
    ("value", "norm", "text"),
    [
        (8 / 255, "linf", "8/255"),
        (0.3, "linf", "0.3"),
        (math.inf, "l2", "∞"),
        (math.nan, "l2", "–"),
        (1.31416, "l2", "1.31"),
        (30.0, "l0", "30"),
        (8 / 255, "l2", "0.0314"),
        (0.0, "linf", "0"),
    ],
)
def test_distances_read_as_the_field_writes_them(value, norm, text):
    assert fmt.distance(value, norm) == text


def test_formulas_of_a_spreadsheet_are_disarmed(tmp_path, fake_run):
    folder = fake_run.build(tmp_path, n=50, models=("=HYPERLINK(0)",), defences=("none",))
    table = list(csv.DictReader(io.StringIO(render(load(folder), "csv"))))
    assert {row["model"] for row in table} == {"'=HYPERLINK(0)"}


def test_an_invalid_finding_stands_on_the_verdict_of_its_network_alone(run):
    finding = {
        "code": "noise-beats-attack",
        "severity": "invalid",
        "message": "m",
        "about": "cifar10-cnn | jpeg | adaptive",
    }
    verdicts = headlines(type(run)(run.path, {}, run.cells, [finding]))
    assert [h.invalid for h in verdicts] == [(), ("noise-beats-attack",), (), ()]


@pytest.mark.parametrize(
    ("word", "label"),
    [
        ("pgd:eps=8/255", "pgd"),
        ("pgd:eps=8/255,steps=9", "pgd steps=9"),
        ("mine.py:attack", "mine.py:attack"),
        ("mine.py:attack:eps=0.1,k=2", "mine.py:attack k=2"),
        ("ddn", "ddn"),
    ],
)
def test_an_attack_is_called_by_its_word_without_the_budget(run, word, label):
    cell = CellRows({**run.cells[1].meta, "attack": word}, run.cells[1].columns, [], [], True)
    assert list(attack_labels([cell]).values()) == [label]
