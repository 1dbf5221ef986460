"""What `Study.run` gives back: outcomes, a table, robust accuracy, pandas where it is there, progress in lines."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import vauban as vb
from vauban.core.errors import ContractError, MissingExtra, UnknownName
from vauban.evaluate.results import StudyResults

torch.manual_seed(0)
NET = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
X = (torch.rand(10, 1, 4, 4) * 255).round() / 255
Y = NET(X).argmax(1).detach()
Y[0] = (Y[0] + 1) % 3


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return vb.Study(
        tmp_path_factory.mktemp("run"),
        data=DataLoader(TensorDataset(X, Y), batch_size=3, shuffle=True),
        models={"<net>": NET},
        attacks=["fgsm:eps=0.1", "pgd:eps=0.1,steps=3"],
        batch_size=4,
        preflight=False,
    )


@pytest.fixture(scope="module")
def results(study: Any) -> Any:
    return study.run()


def test_they_are_the_outcomes_and_the_numbers(results: Any) -> None:
    assert [outcome.state for outcome in results] == ["finished"] * 2
    assert len(results) == 2
    single = vb.attack("fgsm:eps=0.1", NET, (X, Y))
    robust = results.robust_accuracy
    assert len(robust) == 2
    (fgsm,) = [value for name, value in robust.items() if "fgsm" in name]
    assert fgsm == pytest.approx(single.robust_accuracy)


def test_they_print_as_a_table(results: Any) -> None:
    assert repr(results) == results.table()
    assert "| Model |" in results.table() or "| Model " in results.table()
    assert results.table("csv").startswith("model,")
    assert "<table>" in results._repr_html_()
    assert "&lt;net&gt;" in results._repr_html_()
    assert "<net>" not in results._repr_html_()
    with pytest.raises(UnknownName):
        results.table("word")


def test_pandas_is_used_where_it_is_there_and_named_where_not(results: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"vauban\[pandas\]"):
        results.to_pandas()
    pandas: Any = types.ModuleType("pandas")
    pandas.read_csv = lambda text: text.read()
    pandas.DataFrame = dict
    pandas.concat = lambda frames, ignore_index: frames
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    assert results.to_pandas() == results.table("csv")
    assert [len(frame["id"]) for frame in results.to_pandas(images=True)] == [10, 10]


def test_progress_is_shown_in_lines_unless_it_is_not_wanted(study: Any, capfd: pytest.CaptureFixture[str]) -> None:
    study.run()
    shown = capfd.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 2
    assert all(line.endswith(": 10/10 stored") for line in shown.err.splitlines())
    study.run(progress=False)
    assert capfd.readouterr().err == ""


def breaks(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    raise ValueError("no luck\nsecond line")


def test_a_failed_cell_is_named_with_its_reason_and_findings_are_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    study = vb.Study(tmp_path, data=(X, Y), models={"net": NET}, attacks=["fgsm:eps=0.1", breaks], batch_size=10)
    results = study.run(progress=False)
    folder = results.run.cells[0]
    store = study.store.cell(folder.meta["hash"])
    finding = {"code": "odd", "message": "m", "advice": "", "share": None, "threshold": None}
    store.write_findings([{**finding, "severity": "warning"}, {**finding, "severity": "warning", "code": "even"}])
    shown = StudyResults(results.path, results.outcomes)
    assert (
        "failed: net | none | white-box | breaks: 1 batch failed, the last with ValueError: no luck" in shown.remarks()
    )
    assert [line for line in shown.remarks() if "warning" in line] == [
        "2 warnings (even, odd): Study.report() explains"
    ]
    assert repr(shown).endswith("\n".join(shown.remarks()))
    assert "<p>failed: net" in shown._repr_html_()


@pytest.mark.parametrize("unfit", ["median-filter:size=17", "random-resize:frame=12"])
def test_a_defence_that_cannot_take_the_images_is_told_before_the_others_run(unfit: str, tmp_path: Path) -> None:
    defences = ["bit-depth", unfit, "mean-filter"]
    study = vb.Study(
        tmp_path, data=(X, Y), models={"net": NET}, defences=defences, attacks=["fgsm:eps=0.1"], preflight=False
    )
    with pytest.raises(ContractError, match=rf"^net \| {unfit}: expected "):
        study.run()
    assert not list(tmp_path.rglob("*.parquet"))
