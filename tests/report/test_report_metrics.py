"""Declared metrics in the table and on the page: their aggregate over the successes, with unit and direction."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from vauban.report import render, write
from vauban.report.run.metric_values import metric_head, metric_text
from vauban.report.run.result_rows import result_rows
from vauban.store import MetricColumn, Store, load

WARMTH = MetricColumn("warmth", "K", "lower", "mean")
HUM = MetricColumn("hum", "1", "higher", "median")
VALUES = {  # success and values of six correct images, and of two that were wrong before the attack
    "success": [True, True, True, True, False, False, True, True],
    "warmth": [1.0, 2.0, 4.0, None, 100.0, 100.0, 50.0, 60.0],
    "hum": [0.1, 0.2, 0.6, 0.7, 9.0, 9.0, 5.0, 5.0],
}


def columns(values, eps=0.1):
    success = np.asarray(values["success"])
    correct = np.array([1.0] * 6 + [0.0] * 2)
    near = np.where(success, np.where(correct > 0, eps, 0.0), np.inf)
    n = len(success)
    return {
        "id": np.arange(n),
        "y": np.zeros(n, int),
        "clean_label": (correct == 0).astype(int),
        "clean_correct": correct,
        "clean_confidence": np.ones(n),
        "adv_label": success.astype(int),
        "adv_confidence": np.ones(n),
        "misclassified": success.astype(float),
        "reached": success.astype(float),
        "success": success,
        **dict.fromkeys(("l0", "l1", "l2", "linf", "raw_l2", "raw_linf"), near),
        "raw_success": success,
        **dict.fromkeys(("forwards", "backwards"), np.full(n, 3)),
        **dict.fromkeys(("switches", "vanished"), np.zeros(n, int)),
    }


def put(store, key, metrics, values, **facts):
    cell = store.cell(key)
    meta = {"model": "m", "defence": "none", "data": "d", "threat": "white-box", "attack": "pgd", "norm": "linf"}
    meta |= {"eps": 0.1, "n": 8, "params": {"attack": {}}, "metrics": [metric.to_json() for metric in metrics]}
    cell.create(meta | facts)
    cell.append(0, columns(values, facts.get("eps", 0.1)) | {m.name: values[m.name] for m in metrics})


@pytest.fixture
def folder(tmp_path):
    store = Store(tmp_path)
    put(store, "a", (WARMTH, HUM), VALUES)
    put(store, "b", (HUM,), VALUES | {"hum": [2.0] * 8}, attack="fgsm")
    return tmp_path


def test_each_metric_has_its_own_aggregate_over_the_successes_of_the_set(folder):
    rows = {row.attack: row.metrics for row in result_rows(load(folder))}
    assert rows == {
        "pgd": {WARMTH: pytest.approx(7 / 3), HUM: pytest.approx(0.4)},
        "fgsm": {HUM: pytest.approx(2.0)},
        "worst case": {},
    }
    everything = {row.attack: row.metrics for row in result_rows(load(folder), "all")}
    assert everything["pgd"] == {WARMTH: pytest.approx(117 / 5), HUM: pytest.approx(0.65)}


def test_the_markdown_table_has_a_column_for_each_with_unit_and_direction(folder):
    lines = [[field.strip() for field in line.split(" | ")] for line in render(load(folder)).splitlines()]
    assert lines[0][-5:-3] == ["hum, median ↑", "warmth, mean in K ↓"]
    assert {line[3]: line[-5:-3] for line in lines[2:]} == {
        "fgsm": ["2", "–"],
        "pgd": ["0.4", "2.33"],
        "worst case": ["–", "–"],
    }


def test_csv_has_the_number_with_its_unit_and_direction(folder):
    table = {row["attack"]: row for row in csv.DictReader(io.StringIO(render(load(folder), "csv")))}
    pgd, fgsm = table["pgd"], table["fgsm"]
    assert float(pgd["metric_mean_warmth"]) == pytest.approx(7 / 3)
    assert (pgd["unit_mean_warmth"], pgd["direction_mean_warmth"]) == ("K", "lower")
    assert float(pgd["metric_median_hum"]) == pytest.approx(0.4)
    assert (pgd["unit_median_hum"], pgd["direction_median_hum"]) == ("1", "higher")
    assert (fgsm["metric_mean_warmth"], fgsm["unit_mean_warmth"]) == ("", "")
    assert table["worst case"]["metric_median_hum"] == ""
    assert list(pgd)[-3:] == ["gradients", "queries", "notes"]


def test_latex_keeps_its_columns_in_step(folder):
    latex = render(load(folder), "latex").splitlines()
    assert r"hum, median $\uparrow$ & warmth, mean in K $\downarrow$" in latex[2]
    letters = latex[0].split("{")[-1].rstrip("}")
    assert {line.count(" & ") + 1 for line in latex[2:-2] if "&" in line} == {len(letters)}


def test_the_page_shows_them_and_escapes_their_units(folder, tmp_path_factory):
    html = write(folder).read_text(encoding="utf-8")
    assert '<th scope="col">hum, median ↑</th><th scope="col">warmth, mean in K ↓</th>' in html
    assert "<td>0.4</td><td>2.33</td>" in html
    assert "Metrics are over the successes of the set" in html
    evil = tmp_path_factory.mktemp("evil")
    put(Store(evil), "a", (MetricColumn("warmth", "<b>K</b>", "lower", "mean"),), VALUES)
    assert "mean in <b>" not in write(evil).read_text(encoding="utf-8")


def test_cells_without_metrics_have_the_fixed_columns_alone(tmp_path):
    put(Store(tmp_path), "a", (), VALUES)
    head = render(load(tmp_path)).splitlines()[0]
    assert head.endswith("| Unrounded median | Gradients | Queries | Notes |")
    assert "Metrics are over" not in write(tmp_path).read_text(encoding="utf-8")


def test_a_union_over_budgets_has_the_metrics_that_every_budget_has(tmp_path):
    store = Store(tmp_path)
    put(store, "a", (HUM, WARMTH), VALUES)
    put(store, "b", (HUM,), VALUES | {"hum": [1.0] * 8}, eps=0.05)
    (union,) = [row for row in result_rows(load(tmp_path)) if row.kind == "union"]
    assert union.metrics == {HUM: pytest.approx(1.0)}  # the images of the smaller budget are kept


def test_numbers_have_three_digits_and_heads_say_the_unit_where_there_is_one():
    assert metric_text(float("nan")) == "–"
    assert [metric_text(value) for value in (float("inf"), -0.51234, 1234.5)] == ["∞", "−0.512", "1.23e+03"]
    assert metric_head(HUM) == "hum, median ↑"


def test_a_cell_whose_metric_was_never_measured_has_a_dash(tmp_path):
    put(Store(tmp_path), "a", (WARMTH,), VALUES | {"warmth": [None] * 8})
    line = render(load(tmp_path)).splitlines()[2].split(" | ")
    assert line[-4] == "–"
