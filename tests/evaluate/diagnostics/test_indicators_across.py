"""Comparisons of finished cells, on made-up rows whose answer is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vauban.evaluate.diagnostics.indicators_across import across, compare

N = 100
DEFAULTS: dict[str, Any] = {
    "model": "m",
    "defence": "none",
    "data": "d",
    "goal": "untargeted",
    "threat": "white-box",
    "norm": "linf",
    "eps": 0.1,
    "needs": "gradients",
    "one_step": False,
}
PGD: dict[str, Any] = {"attack": "pgd:eps=0.1"}
FGSM: dict[str, Any] = {"attack": "fgsm:eps=0.1", "one_step": True}
NOISE: dict[str, Any] = {"attack": "random-noise:eps=0.1", "needs": "labels", "threat": "labels-only"}
SQUARE: dict[str, Any] = {"attack": "square:eps=0.1", "needs": "scores", "threat": "scores-only"}
MOVED: dict[str, Any] = {"attack": "pgd:eps=0.1", "threat": "transfer:m2"}
Cell = tuple[dict[str, Any], dict[str, Any]]


def cell(meta: dict[str, Any], won: Iterable[int], ids: Iterable[int] = range(N), **columns: Any) -> Cell:
    ids = np.array(list(ids))
    success = np.isin(ids, list(won))
    full = {**DEFAULTS, **meta}
    full.setdefault("hash", full["attack"])
    distance = np.where(success, 0.1, np.inf)
    return full, {"id": ids, "success": success, "reached": success.astype(float), "linf": distance, **columns}


def codes(*cells: Cell) -> dict[str, str]:
    return {f.code: label for label, f in across(cells)}


@pytest.mark.parametrize(
    ("weak", "code", "enough"),
    [
        (FGSM, "one-step-beats-iterative", 5),
        (NOISE, "noise-beats-gradients", 3),
        (SQUARE, "black-box-beats-white-box", 7),
        (MOVED, "transfer-beats-white-box", 3),
    ],
)
def test_fires_at_its_share_and_not_below(weak: dict[str, Any], code: str, enough: int) -> None:
    strong = cell(PGD, range(10, N - 20))
    assert codes(strong, cell(weak, range(N - 20 - 3, N - 20 + enough))) == {code: "pgd:eps=0.1"}
    assert codes(strong, cell(weak, range(N - 20 - 3, N - 20 + enough - 1))) == {}
    assert codes(strong, cell(weak, range(10, N - 20))) == {}
    (_, finding), *rest = across([strong, cell(weak, range(N - 20, N))])
    assert not rest
    assert finding.share == 0.2
    assert finding.message.startswith("20 of 100 samples are broken")


@pytest.mark.parametrize(
    "other",
    [
        {"eps": 0.2},
        {"norm": "l2"},
        {"model": "m2"},
        {"defence": "jpeg"},
        {"data": "e"},
        {"goal": "targeted:1"},
        {"threat": "removed"},
    ],
)
def test_only_equals_are_compared(other: dict[str, Any]) -> None:
    assert codes(cell({**PGD, "attack": "apgd", **other}, []), cell({**SQUARE, "hash": "s"}, range(50))) == {}
    assert codes(cell({**PGD, "attack": "apgd"}, []), cell({**SQUARE, "hash": "s", **other}, range(50))) == {}


def test_the_worst_case_of_the_iterative_attacks_counts() -> None:
    apgd = {**PGD, "attack": "apgd:eps=0.1"}
    assert codes(cell(PGD, range(50)), cell(apgd, range(50, N)), cell(SQUARE, range(N))) == {}
    label = "m | none | white-box"
    assert codes(cell(PGD, range(50)), cell(apgd, range(80)), cell(SQUARE, range(N))) == {
        "black-box-beats-white-box": label
    }


def test_each_threat_is_judged_by_itself() -> None:
    adaptive = {**PGD, "threat": "adaptive:draws=16", "hash": "adaptive"}
    found = codes(cell(PGD, []), cell(adaptive, range(N)), cell(SQUARE, range(50)))
    assert found == {"black-box-beats-white-box": "pgd:eps=0.1"}


def test_attacks_that_head_for_one_class_are_no_measure() -> None:
    illc = cell({**PGD, "attack": "illc:eps=0.1"}, [])
    assert codes(illc, cell(FGSM, range(50)), cell(NOISE, range(20)), cell(SQUARE, range(50))) == {}


def test_minimal_attacks_count_up_to_the_budget() -> None:
    minimal = {"attack": "fmn", "eps": None}
    near, far = np.full(N, 0.08), np.full(N, 0.12)
    assert codes(cell(minimal, range(N), linf=near), cell(SQUARE, range(N))) == {}
    assert codes(cell(minimal, range(N), linf=far), cell(SQUARE, range(N))) == {"black-box-beats-white-box": "fmn"}


@pytest.mark.parametrize(("meta", "on_it"), [({}, 0.1 + 1.05e-6), ({"tolerance": 1e-3}, 0.1 + 1.05e-3)])
def test_a_distance_that_exceeds_the_budget_by_rounding_is_within_it(meta: dict[str, Any], on_it: float) -> None:
    minimal = {"attack": "fmn", "eps": None, **meta}
    square, beyond = cell(SQUARE, range(N)), 0.1 + 2 * (on_it - 0.1)
    assert codes(cell(minimal, range(N), linf=np.full(N, on_it)), square) == {}
    assert codes(cell(minimal, range(N), linf=np.full(N, beyond)), square) == {"black-box-beats-white-box": "fmn"}


def test_separate_runs_at_several_eps() -> None:
    def at(eps: float, won: Iterable[int], attack: str = "pgd") -> Cell:
        return cell({"attack": f"{attack}:eps={eps},steps=40", "eps": eps}, won)

    assert codes(at(0.2, range(30)), at(0.1, range(20)), at(0.3, range(30))) == {}
    assert codes(at(0.2, range(30)), at(0.1, range(20)), at(0.3, range(5, 40))) == {
        "not-monotone": "pgd:eps=0.3,steps=40"
    }
    assert codes(at(0.1, range(20)), at(0.2, [], "apgd")) == {}


def test_luck_of_a_random_model_is_not_counted() -> None:
    def share(r: float) -> dict[str, Any]:
        return {"success": np.full(N, r > 0.5), "reached": np.full(N, r)}

    assert codes(cell(PGD, [], **share(0.4)), cell(SQUARE, [], **share(0.6))) == {}
    assert codes(cell(PGD, [], **share(0.1)), cell(SQUARE, [], **share(0.6))) == {}
    assert codes(cell(PGD, [], **share(0.1)), cell(SQUARE, [], **share(0.9))) != {}


def test_cells_without_an_attack_are_passed_over() -> None:
    clean = ({**DEFAULTS, "attack": None, "clean_only": True, "hash": "c"}, {"id": np.arange(N)})
    assert across([clean, cell(PGD, []), cell(FGSM, [])]) == []
    assert across([]) == []


@given(st.data())
def test_samples_are_matched_by_id(data: st.DataObject) -> None:
    subsets = st.lists(st.integers(0, 30), unique=True)
    ids = [data.draw(subsets), data.draw(subsets)]
    won = [set(data.draw(subsets)), set(data.draw(subsets))]
    pairs = compare([cell(PGD, won[0], ids[0]), cell(SQUARE, won[1], ids[1])])
    common = set(ids[0]) & set(ids[1])
    measured = [(m.count, m.of) for _, m in pairs if m.rule.code == "black-box-beats-white-box"]
    assert measured == ([(len(common & won[1] - won[0]), len(common))] if common else [])
