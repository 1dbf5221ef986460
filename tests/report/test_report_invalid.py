"""When the findings of one threat cast doubt on a network's bound, and when another threat vouches for it."""

from __future__ import annotations

import numpy as np
import pytest

from vauban.report.run.doubts import invalid_codes
from vauban.report.run.paired_difference import against_undefended
from vauban.store import CellRows

MASKED = [
    {"code": "zero-gradients", "severity": "invalid", "message": "", "advice": "", "share": 1.0, "threshold": 0.1}
]


def cell(threat: str, broken: float, findings: list[dict[str, object]]) -> CellRows:
    n = 10
    hit = (np.arange(n) < broken * n).astype(float)
    columns = {
        "id": np.arange(n),
        "clean_correct": np.ones(n),
        "misclassified": hit,
        "reached": hit,
        "success": hit > 0,
        "backwards": np.ones(n),
        "forwards": np.ones(n),
        "linf": np.where(hit > 0, 0.1, np.inf),
    }
    meta = {"hash": threat, "model": "m", "defence": "d", "threat": threat, "norm": "linf", "eps": 0.1}
    return CellRows(meta, columns, findings, [], complete=True)


@pytest.mark.parametrize(
    ("adaptive_breaks", "doubted"), [(1.0, ()), (0.3, ()), (0.1, ("zero-gradients",))]
)  # the masked white-box attacker breaks 0.3
def test_a_clean_threat_vouches_only_for_a_bound_it_reaches(adaptive_breaks: float, doubted: tuple[str, ...]) -> None:
    cells = [cell("white-box", 0.3, MASKED), cell("adaptive", adaptive_breaks, [])]
    assert invalid_codes(cells, []) == doubted


def test_a_threat_that_breaks_at_any_distance_does_not_vouch_for_a_budget() -> None:
    far = cell("adaptive", 1.0, [])
    far.meta["eps"] = None
    far.columns["linf"][:] = 0.5
    assert invalid_codes([cell("white-box", 0.3, MASKED), far], []) == ("zero-gradients",)


def test_findings_between_cells_count_for_the_threat_they_are_about() -> None:
    between = [{**MASKED[0], "code": "black-box-beats-white-box", "about": "m | d | white-box"}]
    assert invalid_codes([cell("white-box", 0.3, [])], between) == ("black-box-beats-white-box",)


def test_a_defence_is_compared_with_the_undefended_network_pair_by_pair() -> None:
    bare, defended = cell("white-box", 0.8, []), cell("adaptive", 0.3, [])
    for c in (bare, defended):
        c.columns["linf"] = np.where(c.columns["success"], 0.1, np.inf)
    sentence = against_undefended([defended], [bare], "linf", 0.1)
    assert sentence is not None
    # samples 3 to 7 are broken on one network only: 5 discordant pairs of 10, all in one direction, p = 2 * 2^-5
    assert "+50.0 points" in sentence
    assert "10 images" in sentence
    assert "p = 0.062" in sentence
    defended.columns["misclassified"] = np.full(10, 0.5)
    assert against_undefended([defended], [bare], "linf", 0.1) is None
