"""Accuracy after each attack of a cascade and of the battery, as the command line tells it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vauban.report.run.attack_stages import cell_stages
from vauban.report.run.headlines import headlines
from vauban.report.shared import format as fmt
from vauban.store import query

OLD = Path(__file__).parents[1] / "fixtures" / "vauban-0.1" / "study"
CASCADE = "cascade:attacks=[pgd:eps=0.01,steps=1][standard:eps=0.3,steps=5,n_target=1,queries=5][pgd:eps=0.3,steps=5]"
STAGES = ["pgd:eps=0.01,steps=1", "random-noise", "apgd", "apgd-t", "fmn", "square", "rays", "pgd:eps=0.3,steps=5"]


@pytest.mark.slow
def test_the_verdict_the_table_and_json_tell_it(evaluate: Callable[..., Any], vauban: Callable[..., Any]) -> None:
    told = " ".join(evaluate("--attack", CASCADE).out.split())
    assert "Accuracy after each attack of cascade" in told
    assert "(no common budget, 8 images): " in told
    (cell,) = query.load("run").cells
    assert cell.meta["stages"] == STAGES
    stages = cell_stages(cell)
    right, broken_by = cell.columns["clean_correct"] > 0.5, cell.columns["broken_by"]
    assert sum(after.broke > 0 for after in stages) > 1
    for k, after in enumerate(stages):
        assert after.broke == (right & (broken_by == k)).sum()
        assert after.accuracy.value == np.mean(right & ~(broken_by <= k))
        assert f"{after.stage} {100 * after.accuracy.value:.1f}" in told
    assert f"{fmt.percent(stages[0].accuracy.value)} after {STAGES[0]}, " in vauban("table", "run").out
    results = json.loads(evaluate("--attack", CASCADE, "--json").out)
    assert [(row["stage"], row["broke"], row["accuracy"], row["n"]) for row in results["stages"]] == [
        (after.stage, after.broke, after.accuracy.value, 8) for after in stages
    ]
    assert results["results"][0]["robust_accuracy"] == stages[-1].accuracy.value


def test_one_attack_has_none(evaluate: Callable[..., Any]) -> None:
    assert "after each attack" not in evaluate().out
    assert json.loads(evaluate("--json").out)["stages"] == []


def test_rows_of_before_do_not_say_it() -> None:
    run = query.load(OLD)
    assert {cell_stages(cell) for cell in run.cells} == {()}
    assert all(np.isnan(cell.columns["broken_by"]).all() for cell in run.cells)
    assert {headline.stages for headline in headlines(run)} == {()}
