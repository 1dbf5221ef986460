"""P(D) read off at one distance, as the tables print it."""

from __future__ import annotations

import math

import numpy as np

from vauban.statistics.summarise import summarise
from vauban.statistics.summary import p_upp


def test_p_upp_counts_successes_within_the_distance_over_the_named_set() -> None:
    n = 8
    distance = np.array([0.1, 0.5, 0.9, 2.0, np.inf, np.inf, 0.0, 0.0])
    success = np.isfinite(distance)
    clean = np.array([1.0] * 6 + [0.0] * 2)  # the last two were wrong before the attack
    columns = {
        "id": np.arange(n),
        "clean_correct": clean,
        "misclassified": success.astype(float),
        "reached": success.astype(float),
        "success": success,
        "l2": distance,
        "raw_success": success,
        "raw_l2": distance,
        "forwards": np.ones(n),
        "backwards": np.ones(n),
    }
    found = summarise(columns, "l2", "correct", d_upp=0.9)
    assert found.p_upp.value == 3 / 6
    assert found.d_upp == 0.9
    assert math.isnan(summarise(columns, "l2", "correct").p_upp.value)


def test_a_float32_distance_on_the_budget_is_within_it() -> None:
    assert p_upp(np.array([np.float32(0.2), 0.3]), 0.2).value == 0.5
