"""Study files: what `--print-study` prints makes the same cells, and a mistake is one line with its place."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vauban.evaluate.study import Study
from vauban.evaluate.study_file import KEYS
from vauban.store import query

Run = Callable[..., Any]
GOOD = """\
# one attack on a network of the user's
out: run
data: digits/test[:8]
models:
  - mine.py:net
attacks:
  - fgsm:eps=0.2
"""
WORDS = ["--no-preflight", "--threat", "white-box", "--threat", "adaptive", "--defence", "none"]
FURTHER = ["--defence", "bit-depth:bits=2", "--goal", "targeted:3", "--seed", "3", "--batch-size", "4", "--budget", "9"]


def test_every_argument_of_a_study_is_a_key() -> None:
    assert set(KEYS) == set(inspect.signature(Study.__init__).parameters) - {"self"}


@pytest.mark.parametrize("more", [[], [*WORDS, *FURTHER, "--unrounded", "--metrics", "roughness", "--labels", "own"]])
def test_the_printed_file_makes_the_same_cells(more: list[str], evaluate: Run, vauban: Run, project: Path) -> None:
    assert evaluate(*more).code == 0
    before = {cell.meta["hash"]: cell.columns["adv_label"].tolist() for cell in query.load(project / "run").cells}
    printed = evaluate(*more, "--print-study")
    assert (printed.code, printed.err) == (0, "")
    (project / "study.yaml").write_text(printed.out)
    ran = vauban("run", "study.yaml")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.count("8/8 stored") == len(before)
    after = query.load(project / "run")
    assert {cell.meta["hash"]: cell.columns["adv_label"].tolist() for cell in after.cells} == before
    assert set(after.study["cells"]) == set(before)


def test_printing_runs_nothing(evaluate: Run, project: Path) -> None:
    printed = evaluate("--model", "name with: colon=mine.py:net", "--print-study")
    assert printed.code == 2
    printed = evaluate("--model", "own=mine.py:net", "--print-study")
    assert "- own=mine.py:net\n" in printed.out
    assert not (project / "run").exists()


def test_one_word_needs_no_list_and_a_switch_is_true_or_false(vauban: Run, project: Path) -> None:
    text = GOOD.replace("models:\n  - mine.py:net", "models: mine.py:net") + "preflight: false\nbatch_size: auto\n"
    (project / "study.yaml").write_text(text)
    ran = vauban("run", "study.yaml", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert len(json.loads(ran.out)["results"]) == 1
    assert not query.load(project / "run").cells[0].checked


def test_the_plan_and_the_gate_are_those_of_evaluate(vauban: Run, project: Path) -> None:
    (project / "study.yaml").write_text(GOOD)
    assert "nothing was run" in vauban("run", "study.yaml", "--dry-run").out
    assert not (project / "run").exists()
    assert vauban("run", "study.yaml", "--fail-under", "95").code == 2
    weak = vauban("run", "study.yaml", "--fail-under", "0.99")
    assert weak.code == 1
    assert "is below 0.99" in weak.err


BAD = {
    "unknown key": ("atacks: fgsm\n", 8, "'atacks'; did you mean 'attacks'"),
    "key twice": ("data: digits/test[:4]\n", 8, "each key once"),
    "unknown attack": ("  - pdg\n", 8, "unknown attack 'pdg'"),
    "unknown parameter": ("  - fgsm\n  - pgd:step=3\n", 9, "'step'"),
    "unknown defence": ("defences:\n  - none\n  - jpg\n", 10, "'jpg'"),
    "unknown threat": ("threats: whitebox\n", 8, "'whitebox'"),
    "unknown metric": ("metrics: [mae]\n", 8, "'mae'"),
    "unknown goal": ("goal: nothing\n", 8, "'nothing'"),
    "labels": ("labels: yours\n", 8, "'yours'"),
    "device": ("device: toaster\n", 8, "'toaster'"),
    "list for one word": ("goal: [untargeted]\n", 8, "one word for goal"),
    "list in a list": ("  - [fgsm]\n", 8, "got a list"),
    "empty list": ("defences: []\n", 8, "empty list"),
    "no value": ("\n\nbudget:\n", 10, "got none"),
    "zero": ("batch_size: 0\n", 8, "at least 1"),
    "yes": ("rejects: yes\n", 8, "'yes'"),
    "one and a half": ("seed: 1.5\n", 8, "1.5"),
    "no fraction": ("seed: 1/0\n", 8, "fraction"),
    "one level": ("levels: 1\n", 8, "levels"),
    "tag": ("seed: !!python/object/apply:os.getcwd []\n", 8, "got a list"),
    "tag of a scalar": ("goal: !own untargeted\n", 8, "tag"),
    "anchor of a merge": ("<<: *none\n", 8, "undefined alias"),
    "merge": ("<<: fgsm\n", 8, "'<<'"),
    "open quote": ('goal: "untargeted\n', 9, "cannot be read"),
    "tab": ("goal:\n\t- x\n", 9, "cannot be read"),
    "two documents": ("---\nseed: 1\n", 8, "cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_line_with_its_place(case: str, vauban: Run, project: Path) -> None:
    more, line, said = BAD[case]
    (project / "study.yaml").write_text(GOOD + more)
    ran = vauban("run", "study.yaml")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran.err
    assert ran.err.startswith(f"vauban: study.yaml, line {line}: "), ran.err
    assert said in ran.err
    assert not (project / "run").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: expected `key: value` lines"),
        ("- fgsm\n", "line 1: expected `key: value` lines"),
        ("data: digits/test\nout: run\n", "got no models, no attacks;"),
        (GOOD.replace("digits/test[:8]", "digits/valid"), "line 3: expected a split of digits"),
        (GOOD.replace("mine.py:net", "mine.py:lost"), "line 5: "),
        (GOOD + "threats: labels-only\n", "study.yaml: fgsm:eps=0.2: the threat 'labels-only'"),
        ("\udcff", "in UTF-8"),
        ("seed: \x00\n", "cannot be read"),
        ("[" * 5000, "cannot be read"),
        ("#" * 2**21, "at most"),
    ],
)
def test_a_file_that_is_no_study(text: str, said: str, vauban: Run, project: Path) -> None:
    (project / "study.yaml").write_bytes(text.encode(errors="surrogateescape"))
    ran = vauban("run", "study.yaml")
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
    assert said in ran.err


def test_a_file_that_is_not_there(vauban: Run) -> None:
    ran = vauban("run", "lost.yaml")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "lost.yaml" in ran.err
