"""Every registered experiment at scale smoke: it runs, and every printed number has one of ours beside it."""

from __future__ import annotations

import json
import math

import pytest

from vauban import reproduce as experiments
from vauban.reproduce.declarations import ATTAINED, RATES
from vauban.reproduce.printed import printed

pytestmark = pytest.mark.slow


def check(row):
    """Two images; a metric over those right before the attack may have fewer, and no value where it has none."""
    if row["metric"] in RATES:
        assert row["n"] == 2
    assert 0 <= row["n"] <= 2
    if row["ours"] is None:
        assert row["metric"] in ATTAINED
        assert row["why"]
        return
    least = -math.inf if row["metric"] == "gradient-similarity" else 0
    assert least <= row["low"] <= row["ours"] <= (math.inf if row["high"] is None else row["high"])
    assert row["unit"] == "distance" or row["high"] <= 1


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """One folder, as for a user: what several experiments share is fitted and crafted once."""
    return tmp_path_factory.mktemp("smoke")


@pytest.mark.parametrize("name", [entry.name for entry in experiments.registry])
def test_at_scale_smoke(name, out):
    folder = experiments.reproduce(name, "smoke", out, images=2)
    reproduction = json.loads((folder / "reproduction.json").read_text())
    rows = [tuple(sorted(row["key"].items())) for row in reproduction["rows"]]
    assert len(set(rows)) == len(printed(experiments.load(name).printed))
    assert name == "thesis-5.1" or len(rows) == len(set(rows))  # which prints two readings of a row
    for row in reproduction["rows"] + reproduction["beyond"]:
        check(row)
    assert all(row["reason"] in ("different setting", "not scored") for row in reproduction["rows"])
    assert name in (folder / "report.html").read_text()
    assert (folder / "table.md").read_text().count("\u00a0=\u00a0") >= sum(
        r["ours"] is not None for r in reproduction["rows"]
    )
