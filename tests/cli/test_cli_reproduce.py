"""`vauban reproduce` from the command line: lists, the table it prints, and mistakes in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vauban.attacks.fixed_budget.pgd import PGD
from vauban.cli.screens import show_reproduction
from vauban.core.norms import Linf
from vauban.reproduce import Craft, Experiment, Judge, Scale, TableCell, WeightedNetwork, printed, registry

Run = Callable[..., Any]
ROWS = "network,metric,value,certain,raw,note\nA,targeted_success_rate,0.5,yes,50%,\nA,accuracy,0.9,yes,90%,\n"


def cells(scale: Scale) -> list[TableCell]:
    judge = Judge(("A",))
    craft = Craft(PGD(Linf(0.3), steps=2), (WeightedNetwork("A"),))
    return [
        TableCell(None, judge, "accuracy", {"metric": "accuracy"}, "clean"),
        TableCell(craft, judge, "targeted_success_rate", {"metric": "targeted_success_rate"}, "PGD, targeted"),
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
    assert "crafting: 10/10 images\n" in ran.out  # plain lines, since there is no terminal
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


def test_distances_are_no_percentages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "label": "mean L2",
        "key": {"metric": "D_avg_L2"},
        "metric": "D_avg_L2",
        "printed": 2.49,
        "ours": 1.2345,
        "low": 1.1,
        "high": 1.4,
        "reason": "noise",
        "unit": "distance",
    }
    rate = row | {"label": "share", "metric": "accuracy", "unit": "rate", "printed": None, "ours": 0.5}
    rate |= {"low": 0.25, "high": 0.75}
    told = {
        "id": "demo",
        "scale": "smoke",
        "title": "",
        "scale_note": "",
        "rows": [row, rate],
        "beyond": [],
        "notes": [],
    }
    (tmp_path / "reproduction.json").write_text(json.dumps(told))
    show_reproduction(tmp_path)
    out = capsys.readouterr().out
    lines = {line.split("  ")[0]: line for line in out.splitlines()}
    assert [n for n in ("2.49", "1.23", "1.1 to 1.4") if n not in lines["mean L2"]] == []
    assert "%" not in lines["mean L2"]
    assert [n for n in ("50.0%", "25.0% to 75.0%") if n not in lines["share"]] == []


def test_a_cell_with_several_metrics_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = {"key": {"attack": "BP"}, "low": 0.5, "high": 1.0, "reason": "compatible", "unit": "rate"}
    rows = [
        base | {"label": "BP: P_suc", "metric": "P_suc", "printed": 0.97, "ours": 1.0},
        base | {"label": "BP: D_avg_L2", "metric": "D_avg_L2", "printed": 0.49, "ours": None, "unit": "distance"},
    ]
    beyond = [
        base
        | {"label": "BP: D_median_L2", "metric": "D_median_L2", "printed": None, "ours": 0.225, "unit": "distance"},
        base | {"label": "clean: accuracy", "metric": "accuracy", "key": {}, "printed": None, "ours": 0.8},
    ]
    told = {"id": "demo", "scale": "smoke", "title": "", "scale_note": "", "rows": rows, "beyond": beyond, "notes": []}
    (tmp_path / "reproduction.json").write_text(json.dumps(told))
    show_reproduction(tmp_path)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["printed,", "ours", "P_suc", "D_avg_L2", "D_median_L2"] in lines
    assert ["BP", "97.0%,", "100.0%", "0.49,", "none", "0.225"] in lines
    assert ["clean:", "accuracy", "80.0%", "50.0%", "to", "100.0%", "beyond", "the", "paper"] in lines
