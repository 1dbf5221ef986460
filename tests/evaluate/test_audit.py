"""The quick battery and its audit: in Python, in studies, after an interruption and over processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban.evaluate import audited_rows
from vauban.evaluate.study import Study
from vauban.jobs import runner
from vauban.statistics.audit import audit
from vauban.store import Store, cell_store, query

QUICK = "standard:eps=0.1,effort=quick,steps=20,blind_queries=200,queries=100"
FULL = "standard:eps=0.1,steps=20,blind_queries=200,queries=100"
SHORT = "standard:eps=0.01,effort=quick,steps=4,n_target=1,blind_queries=30,queries=20"
"""For what does not depend on how strong the battery is."""


class Reversed(nn.Module):
    """The same answers with gradients of the opposite sign: ascents go down, random search does not care."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(2 * x.detach() - x)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def digits() -> nn.Module:
    return vb.models.load("digits-cnn")


def rows_of(out: Path) -> dict[str, Any]:
    (cell,) = query.load(out).cells
    return cell.columns


@pytest.mark.slow
def test_quick_says_what_full_says_on_a_sound_network(digits: nn.Module) -> None:
    quick, full = (vb.attack(word, digits, "digits/test[:60]") for word in (QUICK, FULL))
    assert quick.robust_accuracy == full.robust_accuracy
    assert quick.after_each[-1].accuracy.value == pytest.approx(full.robust_accuracy)


@pytest.mark.slow
def test_what_is_spared_is_audited_and_costs_little(digits: nn.Module) -> None:
    word = QUICK.replace("eps=0.1", "eps=0.01")
    report = vb.attack(word, digits, "digits/test[:80]")
    full = vb.attack(FULL.replace("eps=0.1", "eps=0.01"), digits, "digits/test[:80]")
    assert report.audit is not None
    assert (report.audit.audited, report.audit.missed, report.audit.pending) == (30, 0, False)
    assert report.robust_accuracy == full.robust_accuracy
    assert "audit: all of the attack broke 0 of 30" in repr(report)
    passes = report.forwards + report.backwards
    audited = report.evaluated.audited
    assert float(passes[~audited].double().mean()) < 0.3 * float((full.forwards + full.backwards).double().mean())


@pytest.mark.slow
def test_a_network_that_fools_the_triage_is_noticed_and_gets_everything(digits: nn.Module, caplog: Any) -> None:
    masked, words = Reversed(digits), "standard:eps=0.1,steps=8,queries=300"
    report = vb.attack(f"{words},effort=quick", masked, "digits/test[:60]")
    full = vb.attack(words, masked, "digits/test[:60]")
    assert report.robust_accuracy <= full.robust_accuracy
    assert report.audit is not None
    assert report.audit.missed > 0
    standing = report.evaluated.attacked & ~report.success
    assert bool(report.evaluated.audited[standing].all())


@pytest.mark.slow
def test_the_study_audits_after_all_batches_and_agrees_with_one_call(digits: nn.Module, tmp_path: Path) -> None:
    study = Study(tmp_path, data="digits/test[:40]", models={"net": digits}, attacks=SHORT, batch_size=16)
    study.run(progress=False)
    rows = rows_of(tmp_path)
    report = vb.attack(SHORT, digits, "digits/test[:40]", batch_size=16)
    assert (rows["audited"] == report.evaluated.audited.numpy()).all()
    assert (rows["success"] == report.success.numpy()).all()
    assert (rows["forwards"] == report.forwards.numpy()).all()
    assert (rows["backwards"] == report.backwards.numpy()).all()
    said = audit(rows)
    assert said is not None
    assert not said.pending
    page = study.report()
    assert "audited images" in page.read_text()


@pytest.mark.slow
def test_rows_do_not_depend_on_batches(digits: nn.Module, tmp_path: Path) -> None:
    found = []
    for size in (7, 40):
        out = tmp_path / str(size)
        Study(out, data="digits/test[:40]", models={"net": digits}, attacks=SHORT, batch_size=size).run(progress=False)
        found.append(rows_of(out))
    assert (found[0]["audited"] == found[1]["audited"]).all()
    assert (found[0]["success"] == found[1]["success"]).all()


@pytest.mark.slow
def test_an_audit_that_was_interrupted_is_pending_and_goes_on(
    digits: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def study(out: Path) -> Study:
        return Study(out, data="digits/test[:40]", models={"net": digits}, attacks=SHORT, batch_size=16)

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    study(whole).run(progress=False)
    true_run, runs = runner.run, []

    def once(*arguments: Any, **given: Any) -> Any:
        runs.append(0)
        if len(runs) > 1:
            raise KeyboardInterrupt
        return true_run(*arguments, **given)

    with monkeypatch.context() as patch:
        patch.setattr(runner, "run", once)
        with pytest.raises(KeyboardInterrupt):
            study(cut).run(progress=False)
    said = audit(rows_of(cut))
    assert said is not None
    assert (said.pending, said.audited) == (True, 0)
    codes = [finding["code"] for finding in query.load(cut).findings]
    assert "audit-pending" in codes
    monkeypatch.setattr(cell_store, "FEW", 2)
    (cell,) = Store(cut).cells()
    assert cell.compact()  # an audit of a cell whose rows are in one file
    study(cut).run(progress=False)
    assert [path.name for path in cell.files()] == ["rows.parquet"]
    assert "audit-pending" not in [finding["code"] for finding in query.load(cut).findings]
    for name, values in rows_of(whole).items():
        assert all(a == b or (a != a and b != b) for a, b in zip(values, rows_of(cut)[name], strict=True)), name


@pytest.mark.slow
def test_workers_audit_the_same_rows(tmp_path: Path) -> None:
    rows = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        study = Study(out, data="digits/test[:40]", models="digits-cnn", attacks=SHORT, batch_size=16)
        study.run(progress=False, workers=workers)
        rows.append(rows_of(out))
    assert rows[0]["audited"].sum() == 30
    for name in ("id", "audited", "spared", "success", "forwards", "backwards", "linf"):
        assert (rows[0][name] == rows[1][name]).all(), name


def test_the_worst_case_of_a_row_takes_all_columns_and_the_passes_of_both() -> None:
    stored = {name: [10, 20] for name in audited_rows.COUNTS}
    stored |= {"id": [5, 6], "success": [False, False], "misclassified": [0.0, 0.0], "linf": [np.inf, np.inf]}
    stored |= {"first_success_backwards": [None, None], "broken_by": [None, None], "spared": [True, True]}
    stored |= {"audited": [False, False]}
    seen = {name: np.array([3]) for name in audited_rows.COUNTS}
    seen |= {"id": np.array([6]), "success": np.array([True]), "misclassified": np.array([1.0])}
    seen |= {"linf": np.array([0.5]), "first_success_backwards": [2], "broken_by": [1]}
    rows = audited_rows.merged(stored, seen, stage=4)
    assert rows["success"] == [False, True]
    assert rows["linf"] == [np.inf, 0.5]
    assert rows["backwards"] == [10, 23]
    assert rows["first_success_backwards"] == [None, 22]
    assert rows["broken_by"] == [None, 4]
    assert (rows["spared"], rows["audited"]) == ([True, False], [False, True])


def test_a_random_network_gets_the_full_cascade() -> None:
    word = "standard:eps=0.05,effort=quick,steps=3,blind_queries=10,queries=10"
    report = vb.attack(word, "gaussian-noise:sigma=0.02|digits-cnn", "digits/test[:6]")
    assert report.audit is None
    assert not bool(report.evaluated.spared.any())


def test_the_order_is_that_of_ids_and_seed() -> None:
    ids = torch.arange(50).tolist()
    order = audited_rows.order_of(ids, 0)
    assert (audited_rows.order_of(ids[::-1], 0)[::-1] == order).all()
    assert (audited_rows.order_of(ids, 1) != order).any()
