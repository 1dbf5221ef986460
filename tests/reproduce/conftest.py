"""A small experiment that no paper has, registered for the time of a test, and its printed values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.norms import Linf
from vauban.defences import BitDepth
from vauban.reproduce import Craft, Experiment, Judge, Scale, TableCell, WeightedNetwork, printed, registry

NETS = Path(__file__).with_name("nets.py")
MODELS = {"A": f"{NETS}:Means", "B": f"{NETS}:Means:every=9", "C": f"{NETS}:Means:every=25"}
SCALE = Scale("digits/test[:10]", MODELS, 10, (0, 1), 0.1, "stand-in", "ten digits")
PGD4 = PGD(Linf(80 / 255), steps=4)
ONE = Craft(PGD4, (WeightedNetwork("A"),))
ALL = Craft(PGD4, tuple(WeightedNetwork(role, (BitDepth(bits=3),)) for role in "ABC"), targeted=False)
PRINTED = """attack,network,metric,value,certain,raw,note
none,A,accuracy,0.9,yes,90%,
pgd,A,targeted_success_rate,0.5,yes,50%,
pgd,A,target_confidence,0.25,yes,25%,
pgd,B,targeted_success_rate,,no,?%,damaged
"""


def cells(scale: Scale) -> Sequence[TableCell]:
    a, b, vote = Judge(("A",)), Judge(("B",)), Judge(("A", "B", "C"), (BitDepth(bits=3),))
    return [
        TableCell(None, a, "accuracy", {"attack": "none"}),
        TableCell(
            ONE, a, "targeted_success_rate", {"attack": "pgd", "network": "A", "metric": "targeted_success_rate"}
        ),
        TableCell(ONE, a, "target_confidence", {"attack": "pgd", "network": "A", "metric": "target_confidence"}),
        TableCell(ONE, b, "targeted_success_rate", {"attack": "pgd", "network": "B"}),
        TableCell(ALL, vote, "misclassification_rate", {}, "vote behind 3 bits"),
    ]


def demo() -> Experiment:
    """A demonstration."""
    wide = replace(SCALE, data="mnist/test", images=20)
    scales = {"smoke": SCALE, "paper": wide}
    return Experiment("demo", "A demonstration", "nobody", cells, scales, "demo.csv", printed_n=40)


Register = Callable[[Experiment], None]


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Make an experiment the only ones that are registered, with the printed values of the demonstration."""
    monkeypatch.setattr(registry, "_entries", {})
    monkeypatch.setattr(registry, "_loaded", True)
    rows = printed.parsed(PRINTED, "demo.csv")
    monkeypatch.setattr(printed, "rows_of", lambda name: rows)

    def add(experiment: Experiment) -> None:
        def make() -> Experiment:
            return experiment

        make.__qualname__, make.__doc__ = experiment.id, experiment.title
        registry.register(experiment.id)(make)

    return add


@pytest.fixture
def registered(register: Register) -> None:
    register(demo())
