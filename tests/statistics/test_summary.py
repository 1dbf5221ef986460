"""Metrics on hand-made columns and against their definitions written as loops."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vauban.core.errors import ContractError, UnknownName
from vauban.statistics import combine, summary
from vauban.statistics.summarise import summarise
from vauban.store import CellRows

INF = math.inf


def columns(**given):
    n = len(given["success"])
    base = {
        "id": np.arange(n),
        "clean_correct": np.ones(n),
        "misclassified": np.asarray(given["success"], float),
        "reached": np.asarray(given["success"], float),
        "forwards": np.full(n, 10),
        "backwards": np.full(n, 5),
        "switches": np.zeros(n, int),
        "vanished": np.zeros(n, int),
    }
    out = base | {k: np.asarray(v) for k, v in given.items()}
    out.setdefault("l2", np.where(out["success"], 1.0, INF))
    for norm, factor in (("l0", 10), ("l1", 3), ("linf", 0.1)):
        out.setdefault(norm, out["l2"] * factor)
    for name, source in (("raw_success", "success"), ("raw_l2", "l2"), ("raw_linf", "linf")):
        out.setdefault(name, out[source])
    return out


def rows(meta=None, **given):
    return CellRows({"norm": "l2", "eps": None} | (meta or {}), columns(**given), [], [], True)


def test_robust_accuracy_counts_clean_errors_rates_and_ignores_images_outside_the_budget():
    cell = columns(
        success=[True, False, False, True, False],
        clean_correct=[1.0, 1.0, 0.0, 0.6, 1.0],
        misclassified=[1.0, 0.25, 0.0, 0.7, 1.0],
        reached=[1.0, 0.25, 0.0, 0.7, 1.0],  # the last reached its goal without success: outside the budget
    )
    assert summary.robust(cell) == pytest.approx([0.0, 0.75, 0.0, 0.3, 1.0])


def test_samples_whose_label_is_the_target_are_in_no_rate_of_the_attack():
    """Of four samples the last two are of the target's class: an old row that calls one a success, and a new one."""
    cell = columns(
        y=[0, 1, 3, 3], target=[3, 3, 3, 3], success=[True, False, True, False], clean_correct=[1.0, 1.0, 1.0, 0.0]
    )
    for name in ("all", "correct"):
        told = summarise(cell, "l2", name, d_upp=1.0)
        assert (told.n, told.left_out) == (2, 2)
        assert (told.p_suc.value, told.p_upp.value, told.robust_accuracy.value) == (0.5, 0.5, 0.5)
    assert summarise(cell, "l2").clean_accuracy.value == 0.75
    assert summary.robust_curve(cell, "l2", np.array([0.0, 1.0])).tolist() == [1.0, 0.5]
    run = CellRows({"norm": "l2", "eps": 1.0}, cell, [], [], True)
    worst = combine.worst_case([run])
    assert (worst.ids.tolist(), worst.robust.tolist()) == ([0, 1], [0.0, 1.0])
    assert worst.clean_of_all.tolist() == [1.0, 1.0, 1.0, 0.0]
    assert combine.worst_curve([run], "l2", np.array([0.5, 1.0])).tolist() == [1.0, 0.5]
    assert combine.nearest_success([run], "l2").correct.tolist() == [True, True, False, False]
    other = CellRows({"norm": "l2", "eps": 1.0}, cell | {"target": np.full(4, 0)}, [], [], True)
    assert combine.worst_case([run, other]).ids.tolist() == [
        0,
        1,
        2,
        3,
    ]  # each has something to reach in one of the two


def test_answers_that_are_not_finite_are_counted_apart():
    cell = columns(success=[True] * 3, clean_not_finite=[1.0, 0.0, 0.0], not_finite=[1.0, 1.0, 0.0])
    assert summarise(cell, "l2", "all").not_finite == (1, 1)
    before = columns(success=[True] * 3, not_finite=[np.nan] * 3)  # a part that was written without the column
    assert summarise(before, "l2", "all").not_finite == (0, 0)


def test_targeted_success_and_misclassification_differ():
    cell = columns(success=[True, False], misclassified=[1.0, 1.0], reached=[1.0, 0.0])
    result = summarise(cell, "l2", "all")
    assert (result.p_suc.value, result.misclassified.value, result.robust_accuracy.value) == (0.5, 1.0, 0.0)


def test_populations():
    a = columns(success=[True] * 4, clean_correct=[1.0, 1.0, 0.0, 0.4])
    b = columns(success=[True] * 4, clean_correct=[0.0, 1.0, 1.0, 1.0])
    assert summary.population(a, "all").sum() == 4
    assert list(summary.population(a, "correct")) == [True, True, False, False]
    shared = summary.common_ids([a, b])
    assert list(shared) == [1]
    assert list(summary.population(b, "common", shared)) == [False, True, False, False]
    with pytest.raises(ContractError, match="common_ids"):
        summary.population(a, "common")
    with pytest.raises(UnknownName, match="correct"):
        summary.population(a, "corect")


def test_summary_by_hand():
    cell = columns(success=[True, True, True, False], l2=[1.0, 3.0, 2.0, INF], clean_correct=[1.0, 1.0, 0.0, 1.0])
    result = summarise(cell, "l2", "all")
    assert (result.n, result.median.value) == (4, 2.5)
    assert (result.conditional.value, result.conditional.p_suc) == (2.0, 0.75)
    assert (result.gradients, result.queries) == (5.0, 10.0)
    assert result.clean_accuracy.value == 0.75
    assert result.robust_accuracy.value == 0.25
    correct = summarise(cell, "l2", "correct")
    assert (correct.n, correct.median.value) == (3, 3.0)
    assert correct.robust_accuracy == result.robust_accuracy  # over all, whatever set the success is over


def test_empty_set_is_nan_without_a_warning():
    result = summarise(columns(success=[True], clean_correct=[0.0]), "l2", "correct")
    assert result.n == 0
    assert math.isnan(result.median.value)
    assert math.isnan(result.p_suc.value)


distances = st.lists(st.one_of(st.just(INF), st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0])), min_size=1, max_size=12)


@given(distances, st.data())
def test_robust_curve_is_its_definition(distance, data):
    n = len(distance)
    weights = st.lists(st.sampled_from([0.0, 0.3, 0.6, 1.0]), min_size=n, max_size=n)
    clean, wrong = data.draw(weights), data.draw(weights)
    success = np.isfinite(distance)
    cell = columns(success=success, l2=np.array(distance), clean_correct=np.array(clean), misclassified=np.array(wrong))
    at = np.array([0.0, 0.5, 0.7, 2.0, 9.0])
    expected = [
        np.mean([1 - max(1 - c, w if d <= eps else 0.0) for c, w, d in zip(clean, wrong, distance, strict=True)])
        for eps in at
    ]
    assert summary.robust_curve(cell, "l2", at) == pytest.approx(expected)


def test_unrounded_distances():
    cell = columns(success=[False, True], raw_success=[True, True], raw_l2=[0.4, 0.9], raw_linf=[0.1, 0.2])
    assert list(summary.distortion(cell, "l2")) == [INF, 1.0]
    assert list(summary.distortion(cell, "l2", rounded=False)) == [0.4, 0.9]
    with pytest.raises(ContractError, match="unrounded"):
        summary.distortion(cell, "l1", rounded=False)
    with pytest.raises(UnknownName, match="linf"):
        summary.distortion(cell, "lin")


def test_union_over_budgets_takes_the_smallest_and_sums_the_cost():
    small = columns(success=[True, False, False], l2=[0.5, INF, INF])
    large = columns(success=[True, True, False], l2=[2.0, 2.0, INF], id=[0, 1, 2], backwards=[7, 7, 7])
    shuffled = {k: v[[2, 0, 1]] for k, v in large.items()}
    both = combine.union([small, shuffled], "l2")
    assert list(both["l2"]) == [0.5, 2.0, INF]
    assert list(both["success"]) == [True, True, False]
    assert list(both["backwards"]) == [12, 12, 12]
    assert list(both["linf"]) == pytest.approx([0.05, 0.2, INF])
    with pytest.raises(ContractError, match="different ids"):
        combine.union([small, columns(success=[True])], "l2")


def test_family_joins_runs_that_differ_in_eps_only():
    def cell(eps, steps=40, **more):
        return rows({"attack": "pgd", "params": {"attack": {"eps": eps, "steps": steps}}} | more, success=[True])

    assert combine.family(cell(0.1)) == combine.family(cell(0.2))
    assert combine.family(cell(0.1)) != combine.family(cell(0.1, steps=20))
    assert combine.family(cell(0.1)) != combine.family(cell(0.1, threat="labels-only"))
    assert combine.family(cell(0.1)) != combine.family(cell(0.1, data="other"))


def test_worst_case_per_sample():
    first = rows(success=[True, False, False], clean_correct=[1.0, 1.0, 0.0])
    second = rows(success=[False, True, False], clean_correct=[1.0, 1.0, 0.0])
    worst = combine.worst_case([first, second])
    assert list(worst.robust) == [0.0, 0.0, 0.0]
    assert list(combine.worst_case([first]).robust) == [0.0, 1.0, 0.0]
    assert list(worst.gradients) == [10, 10, 10]


def test_worst_case_at_a_budget_uses_any_image_inside_it():
    minimal = rows(success=[True, True, False], l2=[0.5, 2.0, INF], linf=[0.02, 0.3, INF])
    fixed = rows({"norm": "linf", "eps": 0.1}, success=[False, False, True], l2=[INF, INF, 1.0], linf=[INF, INF, 0.1])
    assert list(combine.worst_case([minimal, fixed], "linf", 0.1).robust) == [0.0, 1.0, 0.0]
    assert list(combine.worst_case([minimal, fixed], "l2", 0.6).robust) == [0.0, 1.0, 1.0]
    assert list(combine.worst_case([minimal, fixed], "linf", 0.05).robust) == [0.0, 1.0, 1.0]
    curve = combine.worst_curve([minimal, fixed], "linf", np.array([0.05, 0.1, 0.3]))
    assert curve == pytest.approx([2 / 3, 1 / 3, 0.0])


def test_nearest_success_over_attacks_that_have_not_all_reached_every_sample():
    one = rows(success=[True, False, False], l2=[2.0, INF, INF], clean_correct=[1.0, 1.0, 0.0])
    two = rows(success=[True, True], l2=[0.5, 1.5], id=np.array([3, 0]), clean_correct=[0.0, 1.0])
    closest = combine.nearest_success([one, two], "l2")
    assert closest.ids.tolist() == [0, 1, 2, 3]
    assert closest.distance.tolist() == [1.5, INF, INF, 0.5]
    assert closest.correct.tolist() == [True, True, False, False]


@pytest.mark.parametrize(("told", "within"), [(None, 1.0000015), (1e-6, 1.0000015), (1e-3, 1.0015)])
def test_the_tolerance_of_a_cell_decides_what_is_within_a_budget(told, within):
    """At budget 1: what exceeds it by less than twice the tolerance is inside, in the worst case and in both curves."""
    meta = {} if told is None else {"tolerance": told}
    slack, at = summary.tolerance_of(meta), np.array([1.0])
    for distance, left in ((within, 0.0), (1 + 2 * (within - 1), 1.0)):
        cell = rows(meta, success=[True], l2=[distance])
        assert list(combine.worst_case([cell], "l2", 1.0).robust) == [left]
        assert list(combine.worst_curve([cell], "l2", at)) == [left]
        assert list(summary.robust_curve(cell.columns, "l2", at, slack)) == [left]
        assert summarise(cell.columns, "l2", d_upp=1.0, slack=slack).p_upp.value == 1 - left


def test_worst_case_is_an_upper_bound_while_an_attack_is_unfinished():
    done = rows(success=[False, False])
    partial = rows(success=[True])
    worst = combine.worst_case([done, partial])
    assert list(worst.robust) == [0.0, 1.0]


def test_worst_case_counts_fractional_rates_of_failed_rows_in_budget():
    noisy = rows({"norm": "linf", "eps": 0.1}, success=[False], misclassified=[0.4], reached=[0.4])
    assert list(combine.worst_case([noisy], "linf", 0.1).robust) == pytest.approx([0.6])
    assert list(combine.worst_case([noisy], "linf", 0.05).robust) == [1.0]


def test_clean_only_cells_break_nothing():
    cell = rows({"clean_only": True}, success=[False], misclassified=[math.nan], clean_correct=[1.0])
    assert list(combine.worst_case([cell]).robust) == [1.0]


def test_grouping_keeps_order():
    cells = [rows({"model": m}, success=[True]) for m in "aba"]
    cells[2] = replace(cells[2], complete=False)
    groups = combine.group(cells, lambda cell: cell.meta["model"])
    assert list(groups) == ["a", "b"]
    assert [cell.complete for cell in groups["a"]] == [True, False]


@given(st.integers(1, 4), st.integers(1, 6), st.randoms(use_true_random=False))
def test_worst_curve_is_the_worst_case_at_each_budget(attacks, n, random):
    def cell(eps):
        success = np.array([random.random() < 0.6 for _ in range(n)])
        rates = [0.0, 0.4, 0.8, 1.0]
        return rows(
            {"norm": random.choice(["l2", "linf"]), "eps": eps},
            success=success,
            l2=np.where(success, [random.choice([0.0, 0.5, 1.0, 2.0]) for _ in range(n)], INF),
            clean_correct=[random.choice(rates) for _ in range(n)],
            misclassified=[random.choice(rates) for _ in range(n)],
            reached=[random.choice(rates) for _ in range(n)],
            id=np.array(random.sample(range(8), n)),
        )

    cells = [cell(random.choice([None, 0.7, 1.0])) for _ in range(attacks)]
    at = np.array([0.0, 0.3, 0.5, 0.7, 1.0, 3.0])
    expected = [combine.worst_case(cells, "l2", float(eps)).robust.mean() for eps in at]
    assert combine.worst_curve(cells, "l2", at) == pytest.approx(expected)
