"""A craft that cannot be made fails its own cells, and the table is written with the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.errors import MissingExtra
from vauban.core.norms import Ball, Linf
from vauban.engine import Oracle
from vauban.reproduce import Craft, Experiment, Judge, Scale, TableCell, WeightedNetwork, reproduce

NETS = Path(__file__).with_name("nets.py")
SCALE = Scale("digits/test[:6]", {"A": f"{NETS}:Means"}, 6, (0,), 0.1, "stand-in", "six digits")


@dataclass(frozen=True)
class Needing(PGD):
    """PGD that needs a package, or breaks."""

    ball: Ball = Linf(80 / 255)
    breaks: bool = False

    def start(self, oracle: Oracle, **per_sample: Tensor) -> Any:
        if self.breaks:
            raise ValueError("broken")
        raise MissingExtra("nowhere", "none", "this attack")


@pytest.mark.parametrize("breaks", [False, True])
def test_the_table_is_written_without_it(
    breaks: bool, register: Callable[[Experiment], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = Craft(PGD(Linf(80 / 255), steps=2), (WeightedNetwork("A"),))
    bad = replace(good, attack=Needing(breaks=breaks))
    cells = [
        TableCell(bad, Judge(("A",)), "targeted_success_rate", {}, "bad"),
        TableCell(good, Judge(("A",)), "targeted_success_rate", {}, "good"),
    ]
    register(Experiment("half", "Half a table", "nobody", lambda scale: cells, {"smoke": SCALE}, None))
    record = json.loads((reproduce("half", "smoke", tmp_path) / "reproduction.json").read_text())
    assert record["failures"] == 2  # the craft, and the judge that is not tried
    assert {row["label"]: row["ours"] is not None for row in record["beyond"]} == {"bad": False, "good": True}
    assert len(record["pictures"]) == 1
    assert ("nowhere" in caplog.text) != breaks
