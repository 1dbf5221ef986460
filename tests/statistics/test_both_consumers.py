"""One set of distances through the report's summary of a cell and through a reproduction's measured cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from vauban.attacks.minimal.ddn import DDN
from vauban.reproduce.declarations import Craft, Judge, TableCell, WeightedNetwork
from vauban.reproduce.judged import Judged
from vauban.reproduce.results import measured
from vauban.statistics.estimates import Estimate
from vauban.statistics.summarise import Summary, summarise
from vauban.statistics.summary import tolerance_of

INF = float("inf")
DISTANCES = np.concatenate([np.linspace(0.5, 1.99, 19), np.linspace(2.05, 3, 21), [2.0000005] * 3, [INF] * 7])
"""40 in 0.5 ... 3, of which 19 within 2, three that exceed 2 by rounding, and seven failures."""
CRAFT = Craft(DDN(), (WeightedNetwork("A"),), targeted=False)


def reported(order: Any) -> Summary:
    """As a stored cell: the columns of 50 images and two that are wrong before the attack."""
    distance = np.concatenate([DISTANCES[order], [0.0, 0.0]])
    success, n = np.isfinite(distance), len(distance)
    columns = {
        "id": np.arange(n),
        "clean_correct": np.array([1.0] * 50 + [0.0] * 2),
        "misclassified": success.astype(float),
        "reached": success.astype(float),
        "success": success,
        "l2": distance,
        "raw_success": success,
        "raw_l2": distance,
        "forwards": np.ones(n),
        "backwards": np.ones(n),
    }
    return summarise(columns, "l2", "correct", d_upp=2.0, slack=tolerance_of({"norm": "l2"}))


def reproduced(metric: str, order: Any) -> Estimate:
    """As a reproduction's judged rows, whose failures have the distance of the image that failed."""
    distance = np.concatenate([DISTANCES[order], [0.0, 0.0]])
    fooled, y = np.isfinite(distance), [0] * 52
    held = {"y": y, "target": [1] * 52, "label": fooled.astype(int), "rejected": [False] * 52}
    rows = pa.table({**held, "l2": np.where(fooled, distance, 9.0)})
    clean = pa.table({"y": y, "label": [0] * 50 + [1] * 2})
    cell = TableCell(CRAFT, Judge(("A",)), metric, {}, at=2.0 if metric == "P_upp" else None)
    told = measured(cell, Judged([[rows]], [clean])).estimate
    assert told is not None
    return told


@pytest.mark.parametrize("seed", [0, 1])
def test_the_report_and_the_reproductions_say_the_same(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(50)
    summary = reported(order)
    ordered = np.sort(DISTANCES)
    middle = (ordered[24] + ordered[25]) / 2
    expected = {
        "P_suc": (summary.p_suc, 43 / 50),
        "P_upp": (summary.p_upp, 22 / 50),
        "D_median_L2": (summary.median, middle),
        "D_avg_L2": (summary.conditional, DISTANCES[:43].mean()),
    }
    for metric, (told, value) in expected.items():
        ours = reproduced(metric, order)
        assert (ours.value, ours.interval, ours.n) == (told.value, told.interval, told.n), metric
        assert told.value == pytest.approx(value, abs=1e-12), metric
        assert told.n == 50
    assert summary.median.interval == (
        ordered[17],
        ordered[32],
    )  # Binomial(50, 1/2): P(X <= 17) = 1.6 %, P(X <= 18) = 3.2 %
