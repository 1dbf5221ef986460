"""The commands from end to end: the user's own files for every word, budgets and goals, exit codes, no torch where none is
needed. What must be a process of its own is one."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from vauban import models
from vauban.store import query

Run = Callable[..., Any]
LISTS = ("attacks", "defences", "models", "datasets", "threats", "metrics", "losses", "experiments")
COMMANDS = ("evaluate", "run", "report", "table", "status", "verify", "magnify", "train", "fit", "reproduce", "list")


@pytest.fixture
def process(hang_after: float) -> Run:
    """The command line in a process of its own: `process(folder, *words, **environment)`."""

    def run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "vauban", *words],
            capture_output=True,
            text=True,
            timeout=hang_after,
            check=False,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80", **environment},
        )

    return run


@pytest.fixture
def no_torch(tmp_path: Path) -> dict[str, str]:
    """An environment in which importing torch fails."""
    fake = tmp_path / "fake"
    fake.mkdir()
    (fake / "torch.py").write_text("raise RuntimeError('torch was imported')\n")
    return {"PYTHONPATH": str(fake)}


@pytest.mark.slow
def test_the_default_job(process: Run, tmp_path: Path) -> None:
    words = ("evaluate", "--data", "digits/test[:8]", "--out", "run")
    first = process(tmp_path, *words)
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    assert "digits-cnn, undefended: clean accuracy" in first.stdout
    assert re.search(r"fools? digits-cnn on ", " ".join(first.stdout.split()))  # the sentence on top of the page too
    assert "digits-cnn, behind bit-depth:bits=2" in first.stdout
    assert "Robust accuracy at" in first.stdout
    assert max(map(len, first.stdout.splitlines())) <= max(80, len(str(tmp_path)) + 40)
    assert "<html" in (tmp_path / "run" / "report.html").read_text()
    cells = query.load(tmp_path / "run").cells
    assert len(cells) == 4 * 3  # white-box twice, adaptive where the defence is
    assert all(cell.complete and cell.checked for cell in cells)
    assert {cell.meta["attack"].split(":")[0] for cell in cells} == {"fgsm", "pgd", "ddn", "standard"}


@pytest.mark.slow
def test_reading_a_run_needs_no_torch(evaluate: Run, process: Run, project: Path, no_torch: dict[str, str]) -> None:
    assert evaluate().code == 0
    report = process(project, "report", "run", **no_torch)
    assert (report.returncode, report.stderr) == (0, "")
    assert report.stdout.strip().endswith("report.html")
    for form in ("md", "csv", "latex"):
        table = process(project, "table", "run", "--format", form, **no_torch)
        assert (table.returncode, table.stderr) == (0, "")
        assert "fgsm" in table.stdout
    status = process(project, "status", "run", **no_torch)
    assert (status.returncode, status.stderr) == (0, "")
    assert "8/8" in status.stdout


@pytest.mark.slow
def test_help_needs_no_torch(no_torch: dict[str, str], hang_after: float) -> None:
    script = (
        "import sys\nfrom vauban import cli\n"
        "for words in ([], *([c] for c in sys.argv[1:])):\n"
        "    sys.argv[1:] = [*words, '--help']\n"
        "    try:\n        cli.main()\n"
        "    except SystemExit as left:\n        assert not left.code, (words, left.code)\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *COMMANDS],
        capture_output=True,
        text=True,
        timeout=hang_after,
        check=False,
        env={**os.environ, **no_torch},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage:") == 1 + len(COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", LISTS)
def test_lists(kind: str, vauban: Run) -> None:
    entries = json.loads(vauban("list", kind, "--json").out)
    assert entries
    assert all(entry["name"] and entry["summary"] for entry in entries)
    text = vauban("list", kind).out.splitlines()
    assert [line.split()[0] for line in text if not line[0].isspace()] == [entry["name"] for entry in entries]


def test_version_and_bare_command(vauban: Run) -> None:
    import vauban as package

    assert vauban("--version").out.strip() == package.__version__
    bare = vauban()
    assert bare.out.startswith("Usage: vauban")
    assert bare.err == ""


OWN = {
    "class with parameters": ["--model", "mine.py:Means:scale=5"],
    "instance": ["--attack", "mine.py:mine"],
    "attack class": ["--attack", "mine.py:Mine:steps=2,eps=0.2"],
    "attack with run": ["--attack", "mine.py:Own"],
    "attack with run and parameters": ["--attack", "mine.py:Own:eps=0.3"],
    "defence class": ["--defence", "mine.py:Shift"],
    "defence class with parameters": ["--defence", "mine.py:Shift:by=0.1"],
    "defence function": ["--defence", "mine.py:halve"],
    "defence function with parameters": ["--defence", "mine.py:halve:by=0.2"],
    "threat class": ["--threat", "mine.py:Watch"],
    "threat class with parameters": ["--threat", "mine.py:Watch:draws=2"],
    "threat": ["--threat", "mine.py:watch"],
    "loss": ["--attack", "pgd:steps=2,eps=0.2,loss=mine.py:loss"],
    "data": ["--data", "mine.py:digit"],
    "transfer": ["--threat", "transfer:sources=mine.py:net", "--attack", "pgd:steps=2,eps=0.2"],
}


@pytest.mark.slow
@pytest.mark.parametrize("case", OWN)
def test_the_users_own(case: str, evaluate: Run, project: Path) -> None:
    attack = [] if "--attack" in OWN[case] else ["--attack", "pgd:steps=2,eps=0.2"]
    ran = evaluate(*OWN[case], *attack, "--no-preflight")
    assert (ran.code, ran.err) == (0, ""), ran.err
    (cell,) = query.load(project / "run").cells
    assert cell.complete
    assert str(project / "mine.py") in cell.meta["sources"]


def test_a_class_keeps_its_own_budget_unless_told(evaluate: Run, project: Path) -> None:
    evaluate("--attack", "mine.py:Mine", "--attack", "mine.py:Mine:norm=l2", "--no-preflight", "--dry-run")
    evaluate("--attack", "mine.py:Mine", "--attack", "mine.py:Mine:norm=l2", "--no-preflight")
    budgets = {(cell.meta["norm"], cell.meta["eps"]) for cell in query.load(project / "run").cells}
    assert budgets == {("linf", 0.15), ("l2", 1.0)}


@pytest.mark.slow
def test_fail_under(evaluate: Run, project: Path) -> None:
    assert evaluate("--fail-under", "0.0").code == 0
    weak = evaluate("--fail-under", "0.99")
    assert weak.code == 1
    assert "is below 0.99" in weak.err
    assert (
        evaluate("--attack", "fgsm:eps=0.01", "--fail-under", "0.4").code == 0
    )  # the earlier rows are not this plan's
    none = evaluate("--attack", "ddn:steps=2", "--fail-under", "0.5", "--out", "minimal")
    assert (none.code, none.err.count("\n")) == (1, 1)
    assert "budget" in none.err


def test_dry_run_runs_nothing(evaluate: Run, project: Path) -> None:
    ran = evaluate("--attack", "pgd:steps=7,eps=0.2", "--defence", "none", "--defence", "bit-depth:bits=2", "--dry-run")
    assert ran.code == 0
    assert "3 cells" in ran.out
    assert "nothing was run" in ran.out
    assert "2 planted tests" in ran.out
    assert "planted" not in evaluate("--attack", "fgsm", "--planted", "0", "--dry-run").out
    assert not (project / "run").exists()


@pytest.mark.slow
def test_budget_levels_goal_and_labels(evaluate: Run, project: Path) -> None:
    words = [
        "--attack",
        "pgd:steps=9,eps=0.25",
        "--no-preflight",
        "--data",
        "digits/test[:16]",
        "--model",
        "mine.py:net",
    ]
    out = iter("abcdef")

    def columns(*more: str) -> tuple[dict[str, Any], dict[str, Any]]:
        folder = next(out)
        assert evaluate(*words, *more, "--out", folder).code == 0
        (cell,) = query.load(project / folder).cells
        return cell.meta, cell.columns

    meta, attacked = columns()
    inside = (attacked["linf"][np.isfinite(attacked["linf"])] * 255).round(3)
    assert (inside == inside.round()).all()
    assert attacked["forwards"].max() > 5
    _, cheap = columns("--budget", "5")
    assert 0 < cheap["forwards"].max() <= 5
    meta, _ = columns("--unrounded")
    assert meta["levels"] is None
    _, own = columns("--labels", "own")
    assert (own["clean_correct"] == 1).all()
    meta, target = columns("--goal", "targeted:3")
    assert meta["goal"] == "targeted:3"
    assert (target["target"] == 3).all()
    assert (target["adv_label"][target["success"]] == 3).all()
    _, least = columns("--goal", "least-likely")
    assert (least["target"] != least["y"]).all()


def test_saved_images_judge_the_same(evaluate: Run, project: Path) -> None:
    assert evaluate("--save-images", "--attack", "pgd:steps=3,eps=0.25").code == 0
    (cell,) = query.load(project / "run").cells
    net = models.load("mine.py:net")
    for i, sample in enumerate(cell.columns["id"]):
        data = (project / "run" / "images" / cell.meta["hash"] / f"{sample}.png").read_bytes()
        assert data == cell.columns["adv_png"][i]
        x = torch.from_numpy(np.asarray(Image.open(io.BytesIO(data))).copy())[None, None].float() / 255
        assert int(net(x).argmax()) == cell.columns["adv_label"][i]


def test_verify_agrees_with_the_run_that_made_the_images(evaluate: Run, vauban: Run, project: Path) -> None:
    evaluate("--save-images", "--attack", "pgd:steps=3,eps=0.25")
    (cell,) = query.load(project / "run").cells
    words = [
        "--model",
        "mine.py:net",
        "--data",
        "digits/test[:8]",
        "--adv",
        f"run/images/{cell.meta['hash']}",
        "--budget",
        "linf:0.25",
    ]
    verdict = json.loads(vauban("verify", *words, "--json").out)
    assert verdict["samples"] == 8
    assert verdict["in_budget"] == verdict["in_range"] == verdict["on_grid"] == 1
    assert verdict["success"] == verdict["success_reloaded"] == cell.columns["success"].mean()
    assert verdict["robust_accuracy"] == 1 - cell.columns["misclassified"].mean()
    text = vauban("verify", *words)
    assert (text.code, text.err) == (0, "")
    assert "robust accuracy" in text.out


def test_train_writes_weights_that_evaluate_takes(vauban: Run, project: Path) -> None:
    ran = vauban(
        "train", "--model", "digits-cnn", "--data", "digits/train[:64]", "--epochs", "1", "--out", "w.safetensors"
    )
    assert ran.code == 0, ran.err
    assert "epoch 1" in ran.out
    weights: dict[str, Tensor] = load_file(project / "w.safetensors")
    assert weights
    ran = vauban(
        "evaluate", "--model", "w.safetensors", "--data", "digits/test[:4]", "--attack", "fgsm", "--no-preflight"
    )
    assert ran.code == 0, ran.err


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error(hang_after: float) -> None:
    command = f"{sys.executable} -m vauban list losses | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=hang_after, check=False)
    assert "Traceback" not in done.stderr
