"""`vauban fit`, then `vauban evaluate` with what it wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vauban import data
from vauban.attacks.universal.shift import UniversalPerturbation
from vauban.core.norms import Linf
from vauban.jobs.identity import address, describe
from vauban.models import load, weights
from vauban.store import query

Run = Callable[..., Any]
WORDS = {
    "--fitter": "universal:norm=linf,eps=0.3,epochs=2",
    "--model": "mine.py:net",
    "--data": "digits/train[:30]",
    "--out": "u.safetensors",
}


@pytest.fixture
def fit(vauban: Run) -> Run:
    """`vauban fit` with the user's model; later options win."""

    def run(**changes: str) -> Any:
        given = {**WORDS, **{f"--{name}": value for name, value in changes.items()}}
        return vauban("fit", *[part for pair in given.items() for part in pair])

    return run


@pytest.mark.slow
def test_fit_then_evaluate(fit: Run, evaluate: Run, project: Path) -> None:
    ran = fit()
    assert (ran.code, ran.err) == (0, ""), ran.err
    assert ran.out.count("\n") == 1
    assert ran.out.startswith("u.safetensors: fooling rate ")
    meta = weights.metadata(project / "u.safetensors")
    assert "on 30 images after" in ran.out
    assert f"{meta['fit']['forwards']:,} forwards and {meta['fit']['backwards']:,} backwards" in ran.out
    assert f"{meta['fit']['rate']:.1%}" in ran.out
    assert (meta["norm"], meta["eps"], meta["goal"], meta["recipe"]["epochs"]) == ("linf", 0.3, "untargeted", 2)
    assert meta["data"]["fingerprint"] == data.load("digits/train[:30]").fingerprint
    model = {"name": "mine.py:net", "fingerprint": address({"module": describe(load("mine.py:net"))})}
    assert meta["model"] == model
    ran = evaluate("--attack", "universal:file=u.safetensors")
    assert (ran.code, ran.err) == (0, ""), ran.err
    (cell,) = query.load(project / "run").cells
    assert cell.complete
    assert (cell.meta["norm"], cell.meta["eps"], cell.meta["needs"]) == ("linf", 0.3, "nothing")
    assert (cell.columns["forwards"].max(), cell.columns["backwards"].max()) == (1, 0)
    x, net = data.load("digits/test[:8]").all(), load("mine.py:net")
    v = UniversalPerturbation(file=project / "u.safetensors").v
    image = ((x.x + v).clamp(0, 1) * 255).round() / 255
    near = (image - x.x).abs().amax((1, 2, 3)) <= 0.3  # where plain rounding stays in the ball it is the attack's own
    fooled = (net(image).argmax(1) != x.y).numpy()
    right = net(x.x).argmax(1) == x.y
    same = np.asarray(near & right)
    assert (cell.columns["success"].astype(bool)[same] == fooled[same]).all()
    assert "universal" in (project / "run" / "report.html").read_text()


def test_behind_a_defence_and_to_a_target(fit: Run, project: Path) -> None:
    assert fit(defence="bit-depth:bits=3", threat="adaptive", goal="targeted:3").code == 0
    meta = weights.metadata(project / "u.safetensors")
    assert (meta["goal"], meta["threat"]) == ("targeted:3", "adaptive")
    assert meta["model"]["name"] == "mine.py:net behind bit-depth:bits=3"


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "an attack that is not fitted": ({"fitter": "pgd:eps=0.1"}, "unknown attack, defence or network to fit 'pgd'"),
    "a parameter of the fit": ({"fitter": "universal:eps=0.1,epoch=3"}, "'epochs'"),
    "norm": ({"fitter": "universal:norm=l1,eps=2"}, "linf, l2"),
    "a parameter out of range": ({"fitter": "universal:eps=0.1,rate=2"}, "rate"),
    "suffix": ({"out": "u.pt"}, ".safetensors"),
    "model": ({"model": "nowhere.py:net"}, "does not exist"),
    "threat": ({"threat": "labels-only"}, "does not grant"),
    "goal": ({"goal": "targeted:77"}, "[0, 9]"),
    "NaN pixels": ({"data": "mine.py:nan"}, "NaN"),
    "out is below a file": ({"out": "mine.py/u.safetensors"}, "mine.py"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_one_line(case: str, fit: Run, project: Path) -> None:
    changes, words = WRONG[case]
    ran = fit(**changes)
    assert (ran.code, ran.err.count("\n"), ran.out) == (2, 1, ""), ran
    assert ran.err.startswith("vauban: ")
    assert words in ran.err, ran.err
    assert not list(project.glob("*.safetensors"))


def test_a_file_for_other_images_is_one_line(evaluate: Run, project: Path) -> None:
    UniversalPerturbation(torch.zeros(3, 9, 9), Linf(0.1)).save(project / "other.safetensors", {})
    for words, told in {
        "universal:file=other.safetensors": "(3, 9, 9)",
        "universal": "vauban fit --fitter universal",
        "universal:file=absent.safetensors": "absent.safetensors does not exist",
        "universal:file=other.safetensors,norm=l2,eps=1": "norm=linf",
    }.items():
        ran = evaluate("--attack", words)
        assert (ran.code, ran.err.count("\n")) == (2, 1), ran
        assert told in ran.err, ran.err
