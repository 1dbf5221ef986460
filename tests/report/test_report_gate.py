"""The gate: what makes a number fail, what makes a difference fail, and the file that continuous integration reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from vauban.core.errors import ContractError
from vauban.report.run.comparison import comparison_checks, paired_rates
from vauban.report.run.gate import Check, cell_checks, check_share, gate_checks, incomplete
from vauban.report.run.headlines import headlines
from vauban.report.run.junit import junit, write_junit
from vauban.statistics.intervals import mcnemar, wilson
from vauban.store import CellRows, Run

Findings = list[dict[str, Any]]
MASKED = {"code": "zero-gradients", "severity": "invalid", "message": "no gradient", "advice": "", "share": 1.0}
SMALL = {**MASKED, "code": "few-classes", "severity": "warning", "message": "two classes"}


def cell(
    broken: Sequence[bool], threat: str = "white-box", findings: Findings | None = None, **changes: Any
) -> CellRows:
    """A cell at L-infinity 0.1 on images that are right before the attack; the broken ones are not after it."""
    hit = np.asarray(broken)
    n = len(hit)
    columns = {
        "id": np.arange(n),
        "clean_correct": np.ones(n),
        "misclassified": hit.astype(float),
        "reached": hit.astype(float),
        "success": hit,
        "linf": np.where(hit, 0.1, math.inf),
        "backwards": np.ones(n),
        "forwards": np.ones(n),
    }
    meta = {
        "hash": f"{threat} {changes.get('model')} {changes.get('attack')}",
        "model": "net",
        "defence": "none",
        "data": "digits/test",
        "data_fingerprint": "d161",
        "threat": threat,
        "attack": "pgd",
        "goal": "untargeted",
        "norm": "linf",
        "eps": 0.1,
        "n": n,
        **changes,
    }
    return CellRows(meta, columns, findings or [], [], complete=meta["n"] == n, checked=True)


def run(*cells: CellRows, findings: Findings | None = None, path: str = "runs/a") -> Run:
    return Run(Path(path), {"cells": [c.meta["hash"] for c in cells]}, list(cells), findings or [])


def reasons(checks: Sequence[Check]) -> list[str]:
    return [reason for check in checks for reason in check.failures]


def first(k: int, n: int) -> Sequence[bool]:
    return [i < k for i in range(n)]


def test_the_lower_end_of_the_interval_is_compared_and_the_estimate_on_demand() -> None:
    robust, low = 0.8, wilson(80, 100).low
    study = run(cell(first(20, 100)))
    assert not reasons(gate_checks(study, low - 1e-9))
    (below,) = reasons(gate_checks(study, low + 1e-9))
    assert below.startswith("lower end of the 95 % interval of robust accuracy 0.711 is below")
    assert not reasons(gate_checks(study, robust, "point"))
    assert reasons(gate_checks(study, robust + 1e-9, "point"))


def test_a_number_on_an_invalid_finding_fails_and_one_that_another_threat_reaches_does_not() -> None:
    masked = cell(first(1, 100), findings=[MASKED, SMALL])
    (reason,) = reasons(gate_checks(run(masked), 0.5))
    assert reason == "robust accuracy cannot be relied on: invalid findings zero-gradients"
    assert reasons(cell_checks(run(masked))) == ["invalid zero-gradients: no gradient"]
    adaptive = cell(first(10, 100), "adaptive")
    assert not reasons([*gate_checks(run(masked, adaptive), 0.5), *cell_checks(run(masked, adaptive))])
    notes = [note for check in cell_checks(run(masked, adaptive)) for note in check.notes]
    assert notes == ["invalid zero-gradients: no gradient", "warning few-classes: two classes"]
    between = [{**MASKED, "code": "noise-beats-attack", "about": "net | none | white-box"}]
    assert reasons(gate_checks(run(cell(first(1, 100)), findings=between), 0.5))


def test_unfinished_cells_fail_and_so_does_a_run_without_a_budget() -> None:
    partial = cell(first(0, 50), n=100)
    assert reasons(cell_checks(run(partial))) == ["50 of 100 images have rows"]
    assert "1 unfinished cells" in reasons(gate_checks(run(partial), 0.5))[0]
    (nothing,) = reasons(gate_checks(run(cell(first(0, 50), eps=None)), 0.5))
    assert "budget" in nothing


def test_every_budget_is_compared_and_not_only_the_one_that_most_attacks_share() -> None:
    def two_budgets(broken: int) -> Run:
        shared = [cell(first(1, 100), attack=attack) for attack in ("pgd", "fgsm")]
        far = cell(first(broken, 100), attack="pgd:eps=0.3", eps=0.3)
        return run(*shared, replace(far, columns={**far.columns, "linf": 3 * far.columns["linf"]}))

    (reason,) = reasons(gate_checks(two_budgets(90), 0.3, "point"))
    assert reason == "robust accuracy 0.100 is below 0.3"
    (dropped,) = reasons(comparison_checks(two_budgets(50), two_budgets(90)))
    assert dropped.startswith("dropped from 0.500 to 0.100")
    (headline,) = headlines(two_budgets(90))
    assert [(bound.eps, bound.robust.value) for bound in headline.bounds] == [(0.1, 0.99)]
    assert [(bound.eps, bound.robust.value) for bound in headline.other_bounds] == [(0.3, 0.1)]


def test_a_planned_cell_that_was_never_begun_is_missing() -> None:
    whole = run(cell(first(0, 5)))
    assert not incomplete(whole)
    whole.study["cells"].append("another")
    assert incomplete(whole)
    assert incomplete(run(cell(first(0, 5), n=6)))


@pytest.mark.parametrize("value", [95, 1.001, -0.1, math.nan, math.inf, -math.inf])
def test_a_share_is_from_0_to_1(value: float) -> None:
    with pytest.raises(ContractError, match="--fail-under as a share from 0 to 1"):
        check_share("--fail-under", value)
    with pytest.raises(ContractError):
        gate_checks(run(cell([True])), value)


def test_a_percentage_is_told_as_a_share() -> None:
    with pytest.raises(ContractError, match=r"95 percent is 0\.95"):
        check_share("--fail-under", 95)


def test_a_drop_is_a_matter_of_pairs() -> None:
    n = 40
    base = run(cell(first(0, n)))
    one, many = run(cell(first(3, n)), path="runs/b"), run(cell(first(6, n)), path="runs/b")
    clean, robust = paired_rates(base, many)
    assert (clean.quantity, clean.lost, clean.p) == ("clean accuracy", 0, 1)
    assert (robust.base, robust.new, robust.lost, robust.gained, robust.n) == (1, 0.85, 6, 0, n)
    assert robust.p == pytest.approx(2 * 0.5**6)  # six coins that fall on one side
    assert robust.p == mcnemar(np.arange(n) >= 6, np.ones(n, bool))
    low, high = robust.difference
    assert low < -0.15 < high < 0
    (reason,) = reasons(comparison_checks(base, many))
    assert "dropped from 1.000 to 0.850" in reason
    assert not reasons(comparison_checks(base, one))  # p = 0.25
    assert reasons(comparison_checks(base, one, 0.26))
    assert not reasons(comparison_checks(many, base))  # better is no drop


def test_pairs_count_and_not_averages() -> None:
    """Ten images lost and eight gained: hardly a difference; ten lost and none gained is one."""
    base = [False] * 10 + [True] * 8 + [False] * 22
    swapped = [True] * 10 + [False] * 8 + [False] * 22
    lost = [True] * 10 + [True] * 8 + [False] * 22
    assert not reasons(comparison_checks(run(cell(base)), run(cell(swapped))))
    assert reasons(comparison_checks(run(cell(base)), run(cell(lost))))


def test_images_are_paired_by_their_ids() -> None:
    broken = np.arange(30) % 3 == 0
    one, other = cell(list(broken)), cell(list(broken))
    order = np.random.default_rng(0).permutation(30)
    shuffled = {name: values[order] for name, values in other.columns.items()}
    other.columns.clear()
    other.columns.update(shuffled)
    _, robust = paired_rates(run(one), run(other))
    assert (robust.lost, robust.gained) == (0, 0)


DIFFERENT: Mapping[str, tuple[dict[str, Any], str]] = {
    "data": ({"data_fingerprint": "d162"}, "same images and labels"),
    "slice": ({"data_fingerprint": "d163", "n": 41}, "same images and labels"),
    "attack": ({"attack": "fgsm"}, "same attacks"),
    "goal": ({"goal": "targeted:3"}, r"same attacks .*\(targeted:3, not rounded\) in the new run"),
    "rounding": ({"levels": 256}, r"\(untargeted, not rounded\) in the base and pgd \(untargeted, 256 pixel levels\)"),
    "query budget": ({"params": {"threat": {"budget": 2}}}, r"not rounded, at most 2 queries\) in the new run"),
    "precision": ({"precision": "bf16"}, r"not rounded, bf16\) in the new run; run both .* --precision$"),
    "threat": ({"threat": "transfer"}, "a threat that both runs have.*with --threat white-box too"),
    "cards unknown": ({"threat": "adaptive"}, "a threat that both runs have"),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_cannot_be_compared_is_refused(case: str) -> None:
    changes, words = DIFFERENT[case]
    threat = changes.pop("threat", "white-box")
    with pytest.raises(ContractError, match=words) as refused:
        paired_rates(run(cell(first(1, 40))), run(cell(first(1, 40), threat, **changes)))
    assert "\n" not in str(refused.value)


BARE: dict[str, Any] = {"params": {"defence": []}}
CARDED: dict[str, Any] = {
    "defence": "bits",
    "params": {"defence": [{"name": "bits", "backward": {"t": None}, "draws": 1}]},
}


def defended(white_box: int, adaptive: int, n: int = 40) -> Run:
    """A network whose card prescribes more than to differentiate it, so that the plan has two threats."""
    return run(cell(first(white_box, n), **CARDED), cell(first(adaptive, n), "adaptive", **CARDED), path="runs/b")


def test_a_bare_network_is_compared_with_a_defended_one_under_the_threats_of_their_plans() -> None:
    bare = run(cell(first(3, 40), **BARE))
    _, robust = paired_rates(bare, defended(white_box=0, adaptive=12))
    assert (robust.base, robust.new, robust.lost) == (37 / 40, 28 / 40, 9)  # the worst case over both threats
    assert robust.threats == "under white-box (base) and adaptive and white-box (new)"
    _, back = paired_rates(defended(white_box=0, adaptive=12), bare)
    assert (back.base, back.new, back.gained) == (28 / 40, 37 / 40, 9)
    _, same = paired_rates(defended(1, 2), defended(1, 2))
    assert same.threats == "under adaptive and white-box"


def test_white_box_and_adaptive_are_one_where_no_card_prescribes_more() -> None:
    white, adaptive = run(cell(first(3, 40), **BARE)), run(cell(first(4, 40), "adaptive:eot=2", **BARE))
    _, robust = paired_rates(white, adaptive)
    assert (robust.base, robust.new) == (37 / 40, 36 / 40)
    only = run(cell(first(5, 40), **CARDED))  # a masked defence under white-box: no answer to its adaptive attacker
    with pytest.raises(ContractError, match="with --threat adaptive too"):
        paired_rates(run(cell(first(5, 40), "adaptive", **CARDED)), only)


def test_a_threat_of_one_run_alone_is_left_out_and_named() -> None:
    both = run(cell(first(3, 40), **BARE), cell(first(20, 40), "transfer", **BARE))
    _, robust = paired_rates(both, run(cell(first(4, 40), **BARE)))
    assert (robust.base, robust.new) == (37 / 40, 36 / 40)
    assert robust.threats == "under white-box; left out: transfer, which the new run has not"


def test_the_options_that_a_run_lacks_are_told() -> None:
    one = run(cell(first(3, 40)))
    two = run(cell(first(3, 40)), cell(first(3, 40), attack="restarts:attack=[fgsm],times=2"))
    with pytest.raises(ContractError, match=r'run the new one with --attack "restarts:attack=\[fgsm\],times=2" too$'):
        paired_rates(two, one)
    with pytest.raises(ContractError, match=r"run the base one with --attack "):
        paired_rates(one, two)


def test_the_only_model_may_have_another_name_and_of_several_none() -> None:
    base = run(cell(first(1, 10)))
    (clean, _) = paired_rates(base, run(cell(first(1, 10), model="net2")))
    assert clean.network == "net → net2"
    (clean, _) = paired_rates(base, run(cell(first(1, 10), defence="jpeg")))
    assert clean.network == "net → net behind jpeg"
    two = run(cell(first(1, 10)), cell(first(1, 10), model="other"))
    assert len(paired_rates(two, two)) == 4
    with pytest.raises(ContractError, match="other in runs/a alone"):
        paired_rates(two, run(cell(first(1, 10)), path="runs/b"))
    with pytest.raises(ContractError, match="rows of its last plan"):
        paired_rates(run(), two)


def test_numbers_that_prove_nothing_fail_a_comparison_on_either_side() -> None:
    sound, masked = run(cell(first(1, 40))), run(cell(first(1, 40), findings=[MASKED]))
    assert "base robust accuracy cannot be relied on" in reasons(comparison_checks(masked, sound))[0]
    assert "new robust accuracy cannot be relied on" in reasons(comparison_checks(sound, masked))[0]
    assert "unfinished" in reasons(comparison_checks(sound, run(cell(first(1, 39), n=40))))[0]


def test_the_nearest_images_are_compared_within_the_usual_budget() -> None:
    def nearest(k: int) -> Run:
        return run(cell(first(k, 30), eps=None, d_upp=0.15, attack="ddn"))

    _, robust = paired_rates(nearest(0), nearest(12))
    assert robust.quantity == "robust accuracy at L∞ 0.15"
    assert (robust.lost, robust.new) == (12, 0.6)


def test_the_file_has_a_case_for_each_check(tmp_path: Path) -> None:
    checks = [
        Check("cell", "net | <none> & more", seconds=1.5),
        Check("gate", "bad\x00\x1b[31m", ("one", 'two "quoted"'), ("said",)),
    ]
    write_junit(tmp_path / "ci" / "vauban.xml", checks)
    assert (tmp_path / "ci" / "vauban.xml").read_bytes() == junit(checks)
    (suite,) = ET.fromstring(junit(checks))
    assert (suite.get("tests"), suite.get("failures"), suite.get("time")) == ("2", "1", "1.500")
    good, bad = suite.findall("testcase")
    assert (good.get("classname"), good.get("name")) == ("vauban.cell", "net | <none> & more")
    assert good.find("failure") is None
    failure = bad.find("failure")
    assert bad.get("name") == "bad[31m"
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("one", 'one\ntwo "quoted"')
    assert bad.findtext("system-out") == "said"
