"""`vauban reproduce` from the command line: lists, the table it prints, and mistakes in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.norms import Linf
from vauban.experiments import Cell, Craft, Experiment, Judge, Scale, Through, printed, registry

Run = Callable[..., Any]
ROWS = "network,metric,value,certain,raw,note\nA,targeted_success_rate,0.5,yes,50%,\nA,accuracy,0.9,yes,90%,\n"


def cells(scale: Scale) -> list[Cell]:
    judge = Judge(("A",))
    craft = Craft(PGD(Linf(0.3), steps=2), (Through("A"),))
    return [
        Cell(None, judge, "accuracy", {"metric": "accuracy"}, "clean"),
        Cell(craft, judge, "targeted_success_rate", {"metric": "targeted_success_rate"}, "PGD, targeted"),
    ]


@pytest.fixture(autouse=True)
def _demo(monkeypatch: pytest.MonkeyPatch) -> None:
    def demo() -> Experiment:
        """A demonstration."""
        smoke = Scale("digits/test[:6]", {"A": "mine.py:net"}, 6, (0,), 0.1, "stand-in", "six digits")
        paper = Scale("nips2017", {"A": "mine.py:net"}, 1000, (0,), 90, "same", "as printed")
        lost = Scale("digits/test[:6]", {"B": "mine.py:net"}, 6, (0,), 0.1, "stand-in", "")
        return Experiment(
            "demo", "A title", "nobody", cells, {"smoke": smoke, "paper": paper, "lost": lost}, "demo.csv"
        )

    rows = printed.parsed(ROWS, "demo.csv")
    monkeypatch.setattr(registry, "_entries", {})
    monkeypatch.setattr(registry, "_loaded", True)
    monkeypatch.setattr(printed, "rows_of", lambda name: rows)
    registry.register("demo")(demo)


def test_from_end_to_end(vauban: Run, project: Path) -> None:
    ran = vauban("reproduce", "demo", "--out", "out", "--images", "5", "--seed", "3", "--seed", "4")
    assert (ran.code, ran.err) == (0, "")
    told = json.loads((project / "out" / "demo-smoke" / "reproduction.json").read_text())
    assert told["command"] == "vauban reproduce demo --out out --images 5 --seed 3 --seed 4"
    assert (told["images"], told["seeds"]) == (5, [3, 4])
    for part in ("demo", "A title", "six digits", "PGD, targeted", "50.0%", "5 of the 6 images"):
        assert part in ran.out
    assert "report.html" in ran.out.splitlines()[-1]
    assert max(map(len, ran.out.splitlines()[:-1])) <= 80


def test_lists(vauban: Run) -> None:
    told = vauban("reproduce", "--list")
    assert (told.code, told.err) == (0, "")
    for part in ("demo", "A title", "smoke (0.1)", "paper (90)"):
        assert part in told.out
    assert vauban("list", "experiments").out == "demo  A demonstration.\n"


WRONG = {
    "no id": ([], ["cia-2", "--list"]),
    "id": (["dmo"], ["unknown experiment 'dmo'", "'demo'"]),
    "scale": (["demo", "--scale", "smal"], ["unknown scale of demo", "'smal'", "smoke"]),
    "data root": (["demo", "--scale", "paper", "--data-root", "nowhere"], ["nips2017/images.csv", "--data-root"]),
    "too many images": (["demo", "--images", "7"], ["--images from 1 to 6", "7"]),
    "no images": (["demo", "--images", "0"], ["--images from 1 to 6", "0"]),
    "seeds": (["demo", "--seed", "1", "--seed", "1"], ["each once"]),
    "role": (["demo", "--scale", "lost"], ["unknown role 'A'"]),
    "batch size": (["demo", "--batch-size", "none"], ["--batch-size"]),
    "device": (["demo", "--device", "tpu"], ["--device"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_told_in_one_line(case: str, vauban: Run, project: Path) -> None:
    words, parts = WRONG[case]
    ran = vauban("reproduce", *words)
    assert ran.code == 2
    assert ran.err.startswith("vauban: ")
    assert ran.err.count("\n") == 1
    assert ran.out == ""
    for part in parts:
        assert part in ran.err, ran.err
    assert not list((project / "runs").rglob("*.parquet"))
