"""Solves that miss their tolerance: counted per sample, stored, and a finding on the page and in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from vauban.attacks.smooth.ddn import SmoothDDN
from vauban.attacks.smooth.scw import SCW
from vauban.cli.screens.study import show_outcomes
from vauban.core.rng import seeded
from vauban.engine import BoundThreat, Oracle
from vauban.evaluate.diagnostics.indicators_counts import counted, own
from vauban.evaluate.study import Study
from vauban.laplacian import smoothing
from vauban.report.run.page import write
from vauban.store import load

META: dict[str, Any] = {"hash": "h", "attack": "scw", "clean_only": False}


def network() -> nn.Module:
    with seeded("unsolved"):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).requires_grad_(False).eval()


@pytest.fixture
def iterative(monkeypatch: pytest.MonkeyPatch) -> None:
    """No image is small enough to be factorised."""
    monkeypatch.setattr(smoothing, "DIRECT_SIDE", 0)


def cell(unsolved: list[float], **meta: Any) -> list[Any]:
    count = np.array(unsolved)
    return [({**META, **meta}, {"unsolved": count, "backwards": np.full(len(count), 10)})]


@pytest.mark.usefixtures("iterative")
@pytest.mark.parametrize(("attack", "solves"), [(SmoothDDN(7, limit=1), 7), (SCW(2, 5, limit=1), 20)])
def test_the_ledger_counts_the_solves_of_each_row(attack: Any, solves: int, digits_test: Any) -> None:
    x, net = digits_test[0][:3].clone(), network()
    x[1] = 1
    x[1, 0, ::2, ::2] = x[1, 0, 1::2, 1::2] = 0  # a chessboard of isolated pixels: nothing to solve
    oracle = Oracle.open(BoundThreat(net), x, net(x).argmax(1))
    attack.run(oracle)
    assert oracle.pass_count.unsolved.tolist() == [solves, 0, solves]


@pytest.mark.parametrize("attack", [SmoothDDN(7), SCW(2, 5)])
def test_solves_that_meet_their_tolerance_are_not_counted(attack: Any, digits_test: Any) -> None:
    x, net = digits_test[0][:3], network()
    oracle = Oracle.open(BoundThreat(net), x, net(x).argmax(1))
    attack.run(oracle)
    assert not oracle.pass_count.unsolved.any()


def test_the_rule() -> None:
    ((label, finding),) = own(cell([12.0] * 3 + [0.0] * 97))
    assert (label, finding.code, finding.severity, finding.share) == ("h", "smoothing-not-converged", "warning", 0.03)
    assert "12 solves each" in finding.message
    assert own(cell([12.0] * 2 + [0.0] * 98)) == []
    assert own(cell([0.0] * 50)) == []
    assert own(cell([9.0] * 50, clean_only=True)) == []
    assert list(counted(cell([np.nan] * 50))) == []  # written before the column was
    ((_, measured),) = counted([({**META}, {"unsolved": np.array([1, 1, 0, 0]), "backwards": np.array([2, 2, 2, 0])})])
    assert (measured.count, measured.of) == (2, 3)  # a sample that was never attacked is not examined


@pytest.mark.slow
@pytest.mark.usefixtures("iterative")
def test_a_capped_solver_is_a_finding_and_its_result_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    attacks = ["smooth-ddn:steps=5,limit=1", "smooth-ddn:steps=5"]
    study = Study(tmp_path, models=network(), data="digits/test[:16]", attacks=attacks, labels="own")
    study.run()
    done = load(tmp_path)
    short, full = sorted(done.cells, key=lambda row: "limit=1" not in row.meta["attack"])
    assert (short.columns["unsolved"] > 0).sum() > 8
    assert not full.columns["unsolved"].any()
    found = [f for f in done.findings if f["code"] == "smoothing-not-converged"]
    assert [f["about"] for f in found] == [short.meta["hash"]]
    won = short.columns["success"]
    assert won.any()
    assert np.isfinite(short.columns["l2"][won]).all()
    show_outcomes(study, write(tmp_path))
    assert "smoothing-not-converged" in capsys.readouterr().out
    assert "missed their tolerance" in (tmp_path / "report.html").read_text()
