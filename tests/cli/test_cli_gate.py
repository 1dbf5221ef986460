"""Exit codes of the gates, and that no incomplete cell ends with 0."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

Run = Callable[..., Any]
ROUNDED = ["--defence", "bit-depth:bits=2", "--threat", "white-box", "--data", "digits/test[:64]"]
FLAKY = """
from pathlib import Path
import torch
from mine import Means

class Net(Means):
    def forward(self, z):
        if len(z) == 2 and not Path("up").exists():
            raise ConnectionError("refused")
        return super().forward(z)
"""


def cases(path: Path) -> dict[str, bool]:
    """Whether each test case of a JUnit file passed, by class and name."""
    return {f"{c.get('classname')} {c.get('name')}": c.find("failure") is None for c in ET.parse(path).iter("testcase")}


@pytest.mark.parametrize("value", ["95", "nan", "-0.1", "1.01", "inf"])
def test_a_percentage_or_no_number_is_refused_before_anything_runs(value: str, evaluate: Run, project: Path) -> None:
    ran = evaluate("--fail-under", value)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "share from 0 to 1" in ran.err
    assert not (project / "run").exists()


def test_other_words_of_a_gate_are_refused_before_anything_runs(evaluate: Run, project: Path) -> None:
    for words in (["--gate", "mean"], ["--junit", "."]):
        ran = evaluate(*words)
        assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert not (project / "run").exists()


def test_the_lower_end_fails_where_the_estimate_passes(evaluate: Run, project: Path) -> None:
    words = ["--attack", "random-noise:steps=1,eps=0.01", "--no-preflight"]  # 6 of 8 stand: at least 0.409
    assert evaluate(*words, "--fail-under", "0.4").code == 0
    low = evaluate(*words, "--fail-under", "0.42", "--junit", "ci.xml")
    assert (low.code, low.err.count("\n")) == (1, 1)
    assert "0.409 is below 0.42" in low.err
    assert list(cases(project / "ci.xml").values()) == [True, False]
    assert evaluate(*words, "--fail-under", "0.74", "--gate", "point").code == 0


def test_a_masked_number_fails_the_gate_however_high_it_is(evaluate: Run, project: Path) -> None:
    words = [*ROUNDED, "--attack", "pgd:steps=3,eps=0.03", "--model", "digits-cnn"]
    ran = evaluate(*words, "--fail-under", "0.1", "--junit", "ci.xml")
    assert ran.code == 1
    assert "cannot be relied on: invalid findings zero-gradients" in ran.err
    assert list(cases(project / "ci.xml").values()) == [False, False]
    assert evaluate(*words).code == 0  # without a gate the findings are told, and that is all


@pytest.mark.slow
def test_a_failed_batch_fails_the_gate_and_without_one_is_exit_code_3(
    evaluate: Run, vauban: Run, project: Path
) -> None:
    (project / "flaky.py").write_text(FLAKY)
    words = ["--model", "flaky.py:Net", "--batch-size", "6", "--no-preflight", "--junit", "ci.xml"]
    assert evaluate(*words).code == 3
    assert list(cases(project / "ci.xml").values()) == [False]
    ran = evaluate(*words, "--fail-under", "0.0")
    assert ran.code == 1
    assert "1 batch failed, the last with ConnectionError: refused" in ran.err
    assert list(cases(project / "ci.xml").values()) == [False, False]
    assert vauban("compare", "run", "run").code == 3
    assert vauban("compare", "run", "run", "--fail-on-drop").code == 1
    (project / "up").touch()
    assert evaluate(*words, "--fail-under", "0.0").code == 0
    assert list(cases(project / "ci.xml").values()) == [True, True]


@pytest.mark.slow
def test_two_runs_are_compared_image_by_image(evaluate: Run, vauban: Run, project: Path) -> None:
    words = ["--attack", "fgsm:eps=0.1", "--data", "digits/test[:64]", "--no-preflight"]
    assert evaluate(*words, "--out", "base").code == 0
    assert evaluate(*words, "--out", "worse", "--model", "mine.py:Means:scale=-5").code == 0
    assert evaluate(*words[:2], "--out", "fewer", "--no-preflight").code == 0
    same = vauban("compare", "base", "base", "--fail-on-drop", "--junit", "ci.xml")
    assert (same.code, same.err) == (0, "")
    assert "64 images" in same.out
    assert list(cases(project / "ci.xml").values()) == [True, True]
    drop = vauban("compare", "base", "worse", "--fail-on-drop", "--junit", "ci.xml")
    assert (drop.code, drop.err.count("\n")) == (1, 1)
    assert "exact McNemar p" in drop.err
    assert list(cases(project / "ci.xml").values()) == [True, False]
    assert vauban("compare", "base", "worse").code == 0
    assert vauban("compare", "worse", "base", "--fail-on-drop").code == 0
    assert evaluate(*words, "--out", "bits", "--model", "bit-depth:bits=2|mine.py:Means").code == 0
    defended = vauban("compare", "base", "bits", "--fail-on-drop")
    assert (defended.code, defended.err) == (0, "")
    assert "white-box (base) and adaptive and white-box (new)" in " ".join(defended.out.split())
    for refused in (["base", "fewer"], ["base", "nowhere"], ["base", "base", "--significance", "5"]):
        ran = vauban("compare", *refused, "--fail-on-drop")
        assert (ran.code, ran.err.count("\n")) == (2, 1)
