"""What a newcomer types: lists with parameters, named models, machine-readable output, silence, data to fetch."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
from typer.testing import CliRunner

from vauban.cli.app import app
from vauban.words.model import without_folders

NET = """
from torch import nn

def net(width=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def tenfold(model, x, y):
    return (x + 0.02).clamp(0, 1)
"""


def vauban(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def evaluated(folder: Path, *words: object) -> Any:
    common = (
        "--defence",
        "none",
        "--data",
        "digits/test[:12]",
        "--attack",
        "fgsm:eps=0.1",
        "--no-preflight",
        "--out",
        folder / "run",
    )
    return vauban("evaluate", *common, *words)


def test_lists_name_parameters_with_defaults_and_ranges() -> None:
    shown = vauban("list", "attacks").output
    assert "steps = 40 (a whole number of at least 1)" in shown
    assert "norm = linf (one of linf, l2, l1)" in shown
    (pgd,) = [entry for entry in json.loads(vauban("list", "attacks", "--json").output) if entry["name"] == "pgd"]
    assert {"name": "random_start", "default": "true", "range": "true or false"} in pgd["parameters"]
    assert "quality = 75" in vauban("list", "defences").output


def test_a_name_is_explained() -> None:
    shown = vauban("list", "pgd").output
    for part in ("Projected gradient ascent", "random_start", "a whole number of at least 1", "fixed_budget/pgd.py"):
        assert part in shown
    assert "auto (one of auto, ce, margin, dlr, pm, or file.py:name)" in shown
    for thing, source in (("pgd", "attacks/fixed_budget/pgd.py"), ("smoothing", "certificates/smoothing.py")):
        assert f"Source: vauban/{source}" in vauban("list", thing).output
    assert "Random search" in vauban("list", "square").output


@pytest.mark.parametrize(
    "kind", ["attacks", "fitters", "defences", "models", "datasets", "threats", "metrics", "recipes"]
)
def test_every_registered_thing_is_explained(kind: str) -> None:
    from vauban.cli.screens.lists import registries
    from vauban.cli.screens.parameters import explained

    for entry in registries()[kind]:
        assert entry.summary.rstrip(".") in explained(entry.name, {kind: registries()[kind]})


def test_what_is_fitted_is_listed_and_told_from_the_attack() -> None:
    assert "epochs = 10" in vauban("list", "fitters").output
    shown = vauban("list", "universal").output
    assert "universal (attack)" in shown
    assert "universal (attack to fit)" in shown


def test_completion_is_offered() -> None:
    shown = vauban("--help").output
    assert "--install-completion" in shown
    assert "--show-completion" in shown


def test_a_model_is_shown_by_its_own_name_or_by_its_base_name(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(NET)
    evaluated(tmp_path, "--model", f"{file}:net", "--model", f"mine={file}:net:width=4")
    study = json.loads((tmp_path / "run" / "study.json").read_text())
    assert study["models"] == ["net.py:net", "mine"]
    for text, shown in (
        ("/a/b-c.d/net.py:make:weights=/c/w.safetensors", "net.py:make:weights=w.safetensors"),
        ("hf:microsoft/resnet-50", "hf:microsoft/resnet-50"),
        ("dir/w.safetensors", "w.safetensors"),
        ("digits-cnn", "digits-cnn"),
    ):
        assert without_folders(text) == shown


def test_json_is_all_that_is_printed(tmp_path: Path) -> None:
    told = json.loads(evaluated(tmp_path, "--json").stdout)
    (row,) = [row for row in told["results"] if row["kind"] == "cell"]
    assert row["model"] == "digits-cnn"
    assert 0 <= row["robust_accuracy"] <= row["clean_accuracy"] <= 1
    assert (told["failures"], Path(told["report"]).name) == ([], "report.html")


def test_quiet_prints_nothing_and_otherwise_progress_is_lines(tmp_path: Path) -> None:
    loud = evaluated(tmp_path).stdout
    assert "fgsm:eps=0.1: 12/12 fooled" in loud
    assert "\x1b" not in loud
    assert evaluated(tmp_path, "--quiet").output == ""
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_function_in_a_file_is_an_attack(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(NET)
    told = json.loads(evaluated(tmp_path, "--attack", f"{file}:tenfold:eps=0.05", "--json").stdout)
    assert [row["eps"] for row in told["results"] if "tenfold" in row["attack"] and row["kind"] == "cell"] == [0.05]


def idx(path: Path, array: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    )


def test_data_is_fetched_by_torchvision_when_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(root: str, download: bool) -> None:
        assert download
        folder = Path(root) / "MNIST" / "raw"
        idx(folder / "t10k-images-idx3-ubyte", np.full((6, 28, 28), 7))
        idx(folder / "t10k-labels-idx1-ubyte", np.arange(6))

    monkeypatch.setattr(torchvision.datasets, "MNIST", fetch)
    file = tmp_path / "net.py"
    file.write_text(NET.replace("64", "784"))
    words = ("evaluate", "--model", f"{file}:net", "--data", "mnist/test", "--data-root", tmp_path / "data", "--quiet")
    words += ("--attack", "fgsm:eps=0.1", "--no-preflight", "--out", tmp_path / "run")
    from vauban.data.location import MissingData

    with pytest.raises(MissingData, match="--download"):
        vauban(*words)
    assert not os.path.exists(tmp_path / "data" / "MNIST")
    assert vauban(*words, "--download").exit_code == 0
    assert (tmp_path / "data" / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").is_file()
