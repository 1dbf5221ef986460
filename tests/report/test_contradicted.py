"""Attacks of a run against the certificates beside them: what counts as a contradiction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vauban as vb
from vauban.report.run.certified import remarks_of
from vauban.report.run.contradicted import contradicted, judging
from vauban.store import CellRows, load
from vauban.store.job_rows import JobRows

NONE = np.full(4, np.nan)


def certificate(**facts: Any) -> JobRows:
    meta = {"certificate": "ibp", "claim": "the network", "norm": "linf", "model": "net", "defence": "none", "n": 4}
    columns = {
        "id": np.array([10, 11, 12, 13]),
        "y": np.array([0, 1, 2, 0]),
        "label": np.array([0, 1, 2, 0]),
        "certified": np.array([0, 1, 2, -1]),
        "radius": np.array([0.1, 0.2, 0.3, 0.0]),
        "wrong_at": NONE,
        "other_at": NONE,
    }
    return JobRows(meta | {"data": "d/test", "network": "abc", "plain": True} | facts, columns, True)


def cell(label: list[int], distance: list[float], **facts: Any) -> CellRows:
    meta = {"model": "other name", "data": "d/test", "network": "abc"}
    columns = {
        "id": np.array([13, 12, 99, 10]),
        "y": np.array([0, 2, 0, 0]),
        "adv_label": np.array(label),
        "linf": np.array(distance),
    }
    return CellRows(meta | facts, columns, [], [], True)


@pytest.mark.parametrize(
    ("label", "distance", "count"),
    [
        (
            [1, 1, 1, 1],
            [0.05, 0.29, 0.01, 0.2],
            1,
        ),  # by id: 12 inside its radius, 10 outside, 13 has none, 99 is unknown
        ([1, 2, 1, 0], [0.05, 0.29, 0.01, 0.05], 0),  # the certified class
        ([1, -1, 1, -1], [0.05, 0.29, 0.01, 0.05], 0),  # no label
        ([1, 1, 1, 1], [0.05, 0.29, 0.01, 0.05], 2),
        ([1, 1, 1, 1], [0.05, np.inf, 0.01, 0.3], 0),  # nothing was reached, or outside the radius
    ],
)
def test_other_classes_inside_the_radius_count_by_id(label: list[int], distance: list[float], count: int) -> None:
    seen = contradicted(certificate(), [cell(label, distance)])
    assert (seen.count, seen.checked, seen.allowed) == (count, 2, 0)
    assert seen.refuted == (count > 0)
    assert any(
        "The bound or its code is wrong" in r.text for r in remarks_of(certificate(), [cell(label, distance)])
    ) == (count > 0)


@pytest.mark.parametrize("facts", [{"network": "another"}, {"data": "d/train"}, {"network": None}])
def test_another_network_says_nothing(facts: dict[str, Any]) -> None:
    assert not judging(certificate(), [cell([1, 1, 1, 1], [0.0] * 4, **facts)])


def test_cells_say_nothing_of_a_smoothed_classifier() -> None:
    assert not judging(certificate(plain=False, alpha=0.001), [cell([1, 1, 1, 1], [0.0] * 4)])


def test_both_commands_name_the_same_network(tmp_path: Path) -> None:
    words = {"models": "digits-cnn", "data": "digits/test[:6]", "attacks": "pgd:eps=0.5,steps=3"}
    vb.Study(tmp_path, **words, preflight=False).run()
    results = vb.certify(
        ["ibp", "smoothing:sigma=0.1,n=5,n0=2,predictions=5"], "digits-cnn", "digits/test[:8]", tmp_path, attacks=[]
    )
    plain, smoothed = results.certificates
    cells = load(tmp_path, pictures=False).cells
    assert judging(plain, cells) == cells
    assert not judging(smoothed, cells)
    seen = contradicted(plain, cells)
    assert (seen.count, seen.checked) == (0, int((plain.columns["radius"][:6] > 0).sum()))
    assert "by 1 cell of this run too" in str(results)
