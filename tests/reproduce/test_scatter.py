"""A scatter of two attacks: its dots against an image by image computation, and what its caption counts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vauban import metrics
from vauban.core.errors import ContractError
from vauban.core.norms import L2, Norm
from vauban.data.dataset import Dataset, InMemory
from vauban.engine import Attack, Oracle, Result
from vauban.engine.result import untouched
from vauban.reproduce import Craft, Experiment, Judge, Scale, Scatter, TableCell, WeightedNetwork, reproduce
from vauban.reproduce.declarations import MAD_SHARES
from vauban.reproduce.panels import needed

FILE = Path(__file__)
LEVELS = (126, 129, 118, 136, 100, 150, 160, 70, 190, 20, 125)
"""Means 0.01, 0.01; 0.04, 0.03; 0.11, 0.09, 0.13; 0.23, 0.25; 0.42 from the boundary; the last has the wrong label."""
SIDE = 16


class Half(nn.Module):
    """Class 1 where the mean pixel is above 1/2."""

    def forward(self, x: Tensor) -> Tensor:
        score = x.flatten(1).double().mean(1) - 0.5
        return torch.stack([-score, score], 1)


def flat() -> Dataset:
    x = torch.tensor(LEVELS, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, SIDE, SIDE).contiguous()
    y = (torch.tensor(LEVELS) > 127).long()
    y[-1] = 1
    return Dataset("flat", "test", InMemory(x), y, ("dark", "light"))


@dataclass(frozen=True)
class Wave(Attack):
    """Every pixel moved by `by` toward the boundary and up or down by `wave`, as on a chessboard: their mean by `by`."""

    by: float
    wave: float
    measure: Norm = L2

    def moved(self, x: Tensor) -> Tensor:
        row = torch.arange(SIDE) // 4  # finer squares cannot be seen: MAD is 0
        board = 1.0 - 2.0 * ((row + row[:, None]) % 2)
        return x + self.by * (0.5 - x.flatten(1).mean(1)).sign()[:, None, None, None] + self.wave * board

    def run(self, oracle: Oracle) -> Result:
        return replace(untouched(oracle.domain.x0), crafted=self.moved(oracle.domain.x0))


SCALE = Scale(f"{FILE}:flat", {"half": f"{FILE}:Half"}, len(LEVELS), (0,), 0.1, "same", "eleven grey images")
JUDGE = Judge(("half",))
PLAIN = (Wave(0.01, 0), Wave(0.06, 0.05), Wave(0.2, 0.02), Wave(0.3, 0.1), Wave(0.45, 0))
SMOOTH = (Wave(0.01, 0), Wave(0.06, 0.01), Wave(0.2, 0.03), Wave(0.3, 0.1))
Go = Callable[..., dict[str, Any]]


def crafts(attacks: Sequence[Wave]) -> tuple[Craft, ...]:
    return tuple(Craft(attack, (WeightedNetwork("half"),), targeted=False, saved="float") for attack in attacks)


def panel(x: Sequence[Wave], y: Sequence[Wave], **options: Any) -> Scatter:
    return Scatter("T", ("plain", crafts(x)), ("smooth", crafts(y)), JUDGE, "MAD of plain", "MAD of smooth", **options)


@pytest.fixture
def go(register: Callable[[Experiment], None], tmp_path: Path) -> Go:
    def run(drawn: Scatter, cells: Sequence[TableCell] = (), seeds: tuple[int, ...] = (0,)) -> dict[str, Any]:
        scales = {"smoke": replace(SCALE, seeds=seeds)}
        register(Experiment("toy", "A toy", "nobody", lambda scale: cells, scales, None, panels=lambda scale: [drawn]))
        folder = reproduce("toy", "smoke", tmp_path, batch_size=4)
        return dict(json.loads((folder / "reproduction.json").read_text()))

    return run


def nearest(attacks: Sequence[Wave], level: int) -> Wave | None:
    found = [attack for attack in attacks if attack.by > abs(level / 255 - 0.5)]
    return min(found, key=lambda attack: math.hypot(attack.by, attack.wave), default=None)


def expected(metric: Any) -> list[tuple[float, float]]:
    found = []
    for level in LEVELS[:-1]:
        x = torch.full((1, 1, SIDE, SIDE), level / 255)
        reached = [nearest(attacks, level) for attacks in (PLAIN, SMOOTH)]
        values = [float(metric(x, attack.moved(x))) for attack in reached if attack is not None]
        if len(values) == 2:
            found.append((values[0], values[1]))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_a_dot_for_each_image_that_both_fool(go: Go, seeds: tuple[int, ...]) -> None:
    (told,) = go(panel(PLAIN, SMOOTH), seeds=seeds)["figures"]
    (dots,) = told["series"]
    pairs = expected(metrics.mad)
    assert told["kind"] == "scatter"
    assert (told["x_label"], told["y_label"]) == ("MAD of plain", "MAD of smooth")
    assert len(pairs) == len(LEVELS) - 2
    assert dots["x"] == pytest.approx([x for x, _ in pairs], rel=1e-4)
    assert dots["y"] == pytest.approx([y for _, y in pairs], rel=1e-4)
    counted = (
        "Below the diagonal (smooth lower): 2; above it (plain lower): 3; on it: 2; at the origin, both exactly 0: 2."
    )
    assert told["caption"].endswith(f"n = 9{', means over 2 seeds' if len(seeds) == 2 else ''}. {counted}")


@pytest.mark.slow
def test_another_metric(go: Go) -> None:
    (told,) = go(panel(PLAIN, SMOOTH, metric="roughness_avg"))["figures"]
    assert told["series"][0]["y"] == pytest.approx([y for _, y in expected(metrics.roughness)], rel=1e-4)


@pytest.mark.slow
def test_the_share_below_is_that_of_the_cell(go: Go) -> None:
    """One run each: the shares are those of the dots below the diagonal, on it and above it."""
    x, y = PLAIN[3:4], SMOOTH[2:3]
    cells = [TableCell(crafts(y)[0], JUDGE, share, {}, share, crafts(x)) for share in MAD_SHARES]
    told = go(panel(x, y), cells)
    (dots,) = told["figures"][0]["series"]
    pairs = list(zip(dots["x"], dots["y"], strict=True))
    counts = [sum(b < a for a, b in pairs), sum(b == a for a, b in pairs), sum(b > a for a, b in pairs)]
    assert ([row["n"] for row in told["beyond"]], len(pairs)) == ([7] * 3, 7)
    assert [row["ours"] for row in told["beyond"]] == pytest.approx([count / 7 for count in counts])


@pytest.mark.slow
def test_nothing_in_common_is_said(go: Go) -> None:
    (told,) = go(panel((Wave(0.001, 0),), SMOOTH))["figures"]
    assert told["series"][0]["x"] == told["series"][0]["y"] == []
    assert told["caption"] == "No image is fooled by both, so there is nothing to compare."


def test_a_panel_that_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ContractError, match=r"MAD_avg, roughness_avg, got 'P_suc'"):
        needed([panel(PLAIN, SMOOTH, metric="P_suc")])
    with pytest.raises(ContractError, match="at least one craft for 'smooth'"):
        needed([panel(PLAIN, ())])
