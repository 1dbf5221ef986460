"""A small experiment as a user's file, which worker processes can make again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.norms import Linf
from vauban.reproduce import Craft, Experiment, Judge, Scale, TableCell, TrainingRun, WeightedNetwork

NETS = Path(__file__).resolve().parent.parent / "reproduce" / "nets.py"
FIRST = TrainingRun(f"{NETS}:FitWorker", "digits/train[:60]", 1, batch=20, lr=0.01, holdout=0)
RECIPES = {"first": FIRST, "B": replace(FIRST, start="first", seed=1)}
SCALE = Scale("digits/test[:10]", {"A": f"{NETS}:Means"}, 10, (0, 1), 0.1, "stand-in", "ten digits", recipes=RECIPES)
CRAFT = Craft(PGD(Linf(80 / 255), steps=2), (WeightedNetwork("A"),), targeted=False)


def cells(scale: Scale) -> Sequence[TableCell]:
    judge = Judge(("A",))
    return [
        TableCell(CRAFT, judge, "MAD_avg", {}, "MAD"),
        TableCell(CRAFT, Judge(("B",)), "misclassification_rate", {}, "B, which is trained from another network"),
    ]


def small() -> Experiment:
    """An experiment without printed values."""
    return Experiment("small", "A small experiment", "nobody", cells, {"smoke": SCALE}, None, printed_n=10)
