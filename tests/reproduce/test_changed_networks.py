"""Networks that change while a table is made, and packages that are missing: the jobs concerned fail, the others run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.universal.uap import Universal
from vauban.cli.app import app
from vauban.core.errors import MissingExtra
from vauban.core.norms import Linf
from vauban.defences import JPEG, BitDepth
from vauban.jobs import perform
from vauban.reproduce import Craft, Experiment, Judge, Scale, TableCell, WeightedNetwork, crafting, reproduce
from vauban.reproduce.declarations import FitOnUse
from vauban.reproduce.figures import Sweep
from vauban.training.run import TrainingRun

MINE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, after=10**9):
        super().__init__()
        self.left = after
        self.register_buffer("w", torch.linspace(0, 900, 640).sin().view(10, 64))

    def forward(self, x):
        self.left -= 1
        if self.left == 0:
            self.w[3] += 1
        return x.flatten(1) @ self.w.T
"""
Register = Callable[[Experiment], None]
FITTED = FitOnUse(Universal(Linf(0.2), epochs=1), "digits/train[:6]")
GOOD = Craft(PGD(Linf(80 / 255), steps=2), (WeightedNetwork("A"),), targeted=False)


def ran(register: Register, out: Path, cells: list[TableCell], after: int = 10**9) -> dict[str, Any]:
    """The record of a run: A is a still network, C one that changes once, at its call number `after`."""
    (out / "mine.py").write_text(MINE)
    models = {"A": f"{out}/mine.py:Net", "C": f"{out}/mine.py:Net:after={after}"}
    scale = Scale("digits/test[:6]", models, 6, (0,), 0.1, "stand-in", "six digits")
    register(Experiment("half", "Half a table", "nobody", lambda _: cells, {"smoke": scale}, None))
    record: dict[str, Any] = json.loads(
        (reproduce("half", "smoke", out / "out", batch_size=3) / "reproduction.json").read_text()
    )
    return record


def cell(craft: Craft | None, judge: Judge, label: str) -> TableCell:
    return TableCell(craft, judge, "accuracy", {}, label)


def told(record: dict[str, Any]) -> dict[str, bool]:
    """Whether each cell has a number."""
    return {row["label"]: row["ours"] is not None for row in record["beyond"]}


@pytest.mark.parametrize("judged", [True, False])
@pytest.mark.parametrize("bits", [None, 3])
def test_a_network_that_changes_fails_what_asks_it_from_then_on(
    judged: bool, bits: int | None, register: Register, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = () if bits is None else (BitDepth(bits=bits),)
    through = replace(GOOD, through=(WeightedNetwork("C", path, bpda="identity"),))
    changing = cell(GOOD, Judge(("A", "C"), path), "bad") if judged else cell(through, Judge(("A",)), "bad")
    cells = [cell(None, Judge(("A",)), "clean"), changing, cell(GOOD, Judge(("A",)), "good")]
    record = ran(register, tmp_path, cells, after=2)
    assert told(record) == {"clean": True, "bad": False, "good": True}
    assert "'w' of Net" in caplog.text


def test_a_change_by_one_job_is_noticed_by_the_next(register: Register, tmp_path: Path) -> None:
    first = replace(GOOD, through=(WeightedNetwork("C"),))
    cells = [
        cell(first, Judge(("A",)), "first"),
        cell(replace(first, clip=0.2), Judge(("A",)), "second"),
        cell(None, Judge(("C",)), "clean"),
    ]
    assert not any(told(ran(register, tmp_path, [*cells], after=2)).values())
    assert all(told(ran(register, tmp_path, [*cells])).values())


def test_a_fit_on_a_network_that_changes_fails_and_the_run_goes_on(register: Register, tmp_path: Path) -> None:
    fitted = replace(GOOD, attack=FITTED, through=(WeightedNetwork("C"),))
    cells = [cell(fitted, Judge(("A",)), "fitted"), cell(GOOD, Judge(("A",)), "good")]
    assert told(ran(register, tmp_path, cells, after=2)) == {"fitted": False, "good": True}
    assert not list(tmp_path.rglob("*.safetensors"))


BEHIND = replace(GOOD, through=(WeightedNetwork("A", (JPEG(),)),))


def test_what_is_not_installed_is_told_before_anything_runs(
    register: Register, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kornia", None)
    crafted = crafting.craft_batch

    def craft_batch(craft: Craft, *rest: Any) -> Any:
        assert "kornia" in caplog.text
        assert craft == GOOD
        return crafted(craft, *rest)

    monkeypatch.setattr(crafting, "craft_batch", craft_batch)
    monkeypatch.setattr(Universal, "fit", lambda *_, **__: pytest.fail("fitted"))
    fitted = replace(BEHIND, attack=FITTED)
    cells = [
        cell(BEHIND, Judge(("A",)), "jpeg"),
        cell(fitted, Judge(("A",)), "fitted"),
        cell(GOOD, Judge(("A",), (JPEG(),)), "good"),
    ]
    record = ran(register, tmp_path, cells)
    assert told(record) == {"jpeg": False, "fitted": False, "good": True}
    assert record["failures"] > 0
    assert "its cells fail, the others run" in caplog.text


def test_where_nothing_is_left_to_run_it_is_the_error(
    register: Register, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "kornia", None)
        without.setattr(perform, "perform", lambda *_: pytest.fail("paid for"))
        with pytest.raises(MissingExtra, match=r"pip install 'vauban\[kornia\]'"):
            ran(register, tmp_path, [cell(BEHIND, Judge(("A",)), "jpeg")])


TIMM = {"T": "timm:resnet18,pretrained=true", "H": "hf:microsoft/resnet-50"}


@pytest.mark.parametrize(("role", "package"), [("T", "timm"), ("H", "transformers"), ("R", "timm")])
@pytest.mark.parametrize("judged", [True, False])
def test_a_network_whose_package_is_missing_fails_the_cells_that_need_it(
    role: str,
    package: str,
    judged: bool,
    register: Register,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "mine.py").write_text(MINE)
    models = {"A": f"{tmp_path}/mine.py:Net", **TIMM}
    recipes = {"R": TrainingRun("timm:name=resnet18,classes=10", "digits/train[:6]", epochs=1)}
    scale = Scale("digits/test[:6]", models, 6, (0,), 0.1, "stand-in", "six digits", recipes)
    through = replace(GOOD, clip=0.2, through=(WeightedNetwork("A"), WeightedNetwork(role)))
    bad = cell(GOOD, Judge(("A", role)), "bad") if judged else cell(through, Judge(("A",)), "bad")
    cells = [bad, cell(None, Judge(("A",)), "clean"), cell(GOOD, Judge(("A",)), "good")]
    panel = Sweep("bad again", "x", "y", {"curve": [(0.0, bad), (1.0, cells[2])]})
    register(
        Experiment("half", "Half a table", "nobody", lambda _: cells, {"smoke": scale}, None, panels=lambda _: [panel])
    )
    folder = reproduce("half", "smoke", tmp_path / "out", batch_size=3)
    record = json.loads((folder / "reproduction.json").read_text())
    assert told(record) == {"bad": False, "clean": True, "good": True}
    assert record["cells_not_planned"] == 2  # in the table and in the figure
    assert record["failures"] == 0
    assert record["models"][role]["fingerprint"] == ""
    assert record["models"]["A"]["fingerprint"] != ""
    assert not record["figures"]
    (line,) = [line for line in caplog.text.splitlines() if "its cells fail" in line]
    assert "2 cells: " in line
    assert package in line
    shown = CliRunner().invoke(app, ["reproduce", "half", "--out", str(tmp_path / "out"), "--batch-size", "3"])
    assert shown.exit_code == 3, shown.output
    assert "2 cells failed: a package is not installed" in shown.output


def test_where_no_network_can_be_made_it_is_the_error(
    register: Register, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    scale = Scale("digits/test[:6]", TIMM, 6, (0,), 0.1, "stand-in", "six digits")
    cells = [cell(None, Judge(("T",)), "clean")]
    register(Experiment("half", "Half a table", "nobody", lambda _: cells, {"smoke": scale}, None))
    with pytest.raises(MissingExtra, match=r"pip install 'vauban\[models\]'"):
        reproduce("half", "smoke", tmp_path)


def test_what_is_stored_needs_no_package(
    register: Register, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("kornia")
    cells = [cell(BEHIND, Judge(("A",)), "jpeg")]
    assert told(ran(register, tmp_path, cells)) == {"jpeg": True}
    monkeypatch.setitem(sys.modules, "kornia", None)
    assert told(ran(register, tmp_path, cells)) == {"jpeg": True}
    assert "kornia" not in caplog.text
