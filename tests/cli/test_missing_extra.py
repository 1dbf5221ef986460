"""A package that is not installed fails the cells that need it, and no other; outputs are tried before anything is paid."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import vauban as vb
from vauban.core.contracts import Part
from vauban.core.errors import ContractError, MissingExtra, check_installed
from vauban.defences.inputs.jpeg import DifferentiableJPEG
from vauban.evaluate import outputs
from vauban.evaluate.job import CellJob
from vauban.evaluate.study import Study
from vauban.jobs.perform import Task, perform

Run = Callable[..., Any]


@pytest.fixture
def no_kornia(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kornia", None)
    monkeypatch.setitem(sys.modules, "kornia.enhance", None)


def test_a_package_that_is_not_there() -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'vauban\[nowhere\]'"):
        check_installed("package_of_nobody", "nowhere", "this test")
    check_installed("torch", "none", "this test")


@pytest.mark.usefixtures("no_kornia")
def test_the_cell_that_needs_it_fails_and_is_named_before_anything_runs(evaluate: Run, project: Path) -> None:
    ran = evaluate("--defence", "none", "--defence", "jpeg")
    assert ran.code == 3
    first = ran.err.splitlines()[0]
    assert "jpeg | adaptive" in first
    assert "pip install 'vauban[kornia]'" in first
    assert "this cell fails, the others run" in first
    assert "1 batch failed" in ran.out
    cells = {
        (c["defence"], c["threat"]): c
        for c in map(json.loads, (p.read_text() for p in project.glob("run/cells/*/cell.json")))
    }
    assert set(cells) == {("none", "white-box"), ("jpeg", "white-box"), ("jpeg", "adaptive")}
    stored = {key: len(list(project.glob(f"run/cells/{c['hash']}/parts/*.parquet"))) for key, c in cells.items()}
    assert stored == {("none", "white-box"): 1, ("jpeg", "white-box"): 1, ("jpeg", "adaptive"): 0}
    alone = evaluate("--defence", "jpeg", "--threat", "adaptive", "--out", "alone")
    assert alone.code == 2
    assert alone.err.count("\n") == 1


def test_a_model_that_needs_it_fails_and_the_others_run(
    evaluate: Run, vauban: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    ran = evaluate("--model", "mine.py:net", "--model", "timm:resnet18")
    assert ran.code == 3
    assert "not run timm:resnet18" in " ".join(ran.out.split())
    assert "clean accuracy" in ran.out
    assert "not run timm:resnet18" in " ".join(vauban("status", "run").out.split())
    assert evaluate("--model", "timm:resnet18", "--out", "alone").code == 2


@pytest.mark.usefixtures("no_kornia")
def test_a_job_ends_and_the_run_goes_on(tmp_path: Path) -> None:
    class Needing:
        label = key = "needing"

        def __init__(self) -> None:
            self.failed: list[str] = []

        def stored(self, part: Part) -> bool:
            return False

        def lock(self, part: Part) -> Any:
            from contextlib import nullcontext

            return nullcontext(True)

        def compute(self, part: Part, scratch: Path) -> Any:
            return DifferentiableJPEG()(torch.rand(1, 3, 16, 16))

        def fail(self, part: Part, error: str, traceback: str) -> None:
            self.failed.append(error)

    job = Needing()
    done = perform(Task(job, Part(0, torch.arange(1))))  # type: ignore[arg-type]
    assert (done.state, done.fatal) == ("ended", None)
    assert "kornia" in job.failed[0]


def test_a_parameter_that_is_left_out_is_named(evaluate: Run) -> None:
    for words, says in (
        (("--threat", "ensemble"), "threat 'ensemble' needs models; write ensemble:models=[...][...]"),
        (("--model", "torchvision"), "model 'torchvision' needs name; write torchvision:name=..."),
    ):
        ran = evaluate(*words)
        assert ran.code == 2
        assert says in ran.err
        assert ran.err.count("\n") == 1


PLACES = {"a file in the way": "taken/run", "a file": "taken", "nothing": "", "blanks": "  "}


@pytest.mark.slow
@pytest.mark.parametrize("what", PLACES)
def test_no_work_is_paid_for_an_output_that_cannot_be_written(
    what: str, evaluate: Run, vauban: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "taken").write_text("mine")
    for owner, name in ((CellJob, "compute"), (outputs, "carry_out"), (outputs, "fit")):
        monkeypatch.setattr(owner, name, lambda *_, **__: pytest.fail("paid for"))
    monkeypatch.setattr("vauban.reproduce.harness.prepared", lambda *_: pytest.fail("planned"))
    out = PLACES[what]
    weights = f"{out}/w.safetensors" if out.strip() and what != "a file" else out
    data = ("--data", "digits/train[:40]", "--out", weights)
    commands = [
        lambda: evaluate("--out", out),
        lambda: vauban("reproduce", "cia-2", "--out", out),
        lambda: vauban("train", "--model", "digits-cnn", "--epochs", "1", *data),
        lambda: vauban("fit", "--attack", "universal:eps=0.1", "--model", "mine.py:net", *data),
    ]
    if what != "a file":
        commands.append(lambda: evaluate("--junit", out))
    for command in commands:
        ran = command()
        assert ran.code == 2, ran
        assert ran.err.startswith("vauban: ")
        assert ran.err.count("\n") == 1, ran.err
    assert (project / "taken").read_text() == "mine"
    assert sorted(p.name for p in project.iterdir()) == ["mine.py", "taken"]


def test_in_python_too(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(ContractError, match="which is a file"):
        Study(tmp_path / "taken", data="digits/test[:4]", models="digits-cnn", attacks="fgsm:eps=0.1")
    with pytest.raises(ContractError, match="is a file and no folder"):
        vb.train(
            vb.TrainingRun("digits-cnn", "digits/test", 1), "digits/test[:24]", tmp_path / "taken" / "w.safetensors"
        )
    if os.geteuid():
        (tmp_path / "shut").mkdir(mode=0o500)
        with pytest.raises(ContractError, match="no permission"):
            Study(tmp_path / "shut" / "run", data="digits/test[:4]", models="digits-cnn", attacks="fgsm:eps=0.1")
