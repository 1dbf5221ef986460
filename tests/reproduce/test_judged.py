"""Success and distance where both are known: the toy line, arrays by hand, and limits against simulation."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

from vauban import metrics
from vauban.core.errors import ContractError
from vauban.core.norms import L2, Norm
from vauban.data.dataset import Dataset, InMemory
from vauban.engine import Attack, Oracle, Result
from vauban.engine.result import untouched
from vauban.reproduce import (
    Craft,
    Experiment,
    FirstImages,
    Judge,
    OperatingCurves,
    Scale,
    Sweep,
    TableCell,
    WeightedNetwork,
    WorstCases,
    reproduce,
)
from vauban.reproduce.crafting import craft_batch, npy, reload
from vauban.reproduce.declarations import MAD_SHARES
from vauban.reproduce.judged import Attained, Judged, attained, rejections
from vauban.reproduce.networks import Networks
from vauban.reproduce.panels import operating
from vauban.reproduce.results import mad_share, number

FILE = Path(__file__)  # the toy data and the toy network are named as a user's would be
LEVELS = (100, 110, 120, 125, 127, 128, 131, 140, 150, 170)
MISLABELLED = 3  # the position whose label is the other one
MARGIN = [4 * abs(level - 127.5) / 255 for level in LEVELS]
"""L2 distance of an image of 4 x 4 equal pixels to the hyperplane sum(x) = 16 / 2: |w . x - 2| with w = 1/4 each."""
POPULATION = [margin for i, margin in enumerate(MARGIN) if i != MISLABELLED]


class Half(nn.Module):
    """Class 1 where the pixels sum to more than half of their number."""

    def forward(self, x: Tensor) -> Tensor:
        score = x.flatten(1).double().sum(1) / 4 - 2
        return torch.stack([-score, score], 1)


def line() -> Dataset:
    x = torch.tensor(LEVELS, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4).contiguous()
    y = (torch.tensor(LEVELS) > 127).long()
    y[MISLABELLED] = 1 - y[MISLABELLED]
    return Dataset("line", "test", InMemory(x), y, ("dark", "light"))


@dataclass(frozen=True)
class Push(Attack):
    """Every image moved by L2 distance `by` straight to the boundary: a success where `by` exceeds the margin.

    With best, what the attack hands over as its success is that image, and as its last iterate the original.
    """

    by: float
    best: bool = False
    measure: Norm = L2

    def run(self, oracle: Oracle) -> Result:
        side = (0.5 - oracle.domain.x0.flatten(1).mean(1)).sign()[:, None, None, None]
        x = oracle.domain.x0 + self.by * side / 4
        if not self.best:
            return replace(untouched(oracle.domain.x0), crafted=x)
        return replace(untouched(oracle.domain.x0), adversarial=x, rate=oracle.check(x))


SCALE = Scale(f"{FILE}:line", {"half": f"{FILE}:Half"}, 10, (0,), 0.1, "same", "ten grey images")
JUDGE = Judge(("half",))
Go = Callable[..., dict[str, Any]]


def pushed(by: float, **options: Any) -> Craft:
    return Craft(Push(by), (WeightedNetwork("half"),), targeted=False, **{"saved": "float", **options})


@pytest.fixture
def go(register: Callable[[Experiment], None], tmp_path: Path) -> Go:
    def run(cells: Sequence[TableCell], panels: Any = None, **changes: Any) -> dict[str, Any]:
        scales = {"smoke": replace(SCALE, **changes)}
        drawn = None if panels is None else lambda scale: panels
        register(Experiment("toy", "A toy", "nobody", lambda scale: cells, scales, None, panels=drawn))
        folder = reproduce("toy", "smoke", tmp_path, batch_size=4)
        return dict(json.loads((folder / "reproduction.json").read_text()))

    return run


def cell(craft: Craft, metric: str, **options: Any) -> TableCell:
    return TableCell(craft, JUDGE, metric, {}, metric, **options)


def test_one_run(go: Go) -> None:
    """A push of 0.2 crosses the margins below it; the image that is wrong before the attack does not count."""
    metrics = [("P_suc", None), ("D_avg_L2", None), ("P_upp", 0.25), ("P_upp", 0.15)]
    rows = go([cell(pushed(0.2), metric, at=at) for metric, at in metrics])["beyond"]
    share = sum(margin < 0.2 for margin in POPULATION) / 9
    assert 0 < share < 1
    assert [row["ours"] for row in rows] == pytest.approx([share, 0.2, share, 0.0], abs=1e-6)
    assert [row["n"] for row in rows] == [9] * 4
    assert [row["unit"] for row in rows] == ["rate", "distance", "rate", "rate"]
    assert (rows[1]["low"], rows[1]["high"]) == pytest.approx((0.2, 0.2), abs=1e-6)


@pytest.mark.slow
def test_the_nearest_success_of_several_runs_counts(go: Go) -> None:
    """Every image is reached by the least push beyond its margin."""
    sizes = (0.7, 0.02, 0.05, 0.1, 0.2, 0.3)
    first, *also = (pushed(by) for by in sizes)
    needs = sorted(min((by for by in sizes if by > margin), default=math.inf) for margin in POPULATION)
    reached = [d for d in needs if d < math.inf]
    metrics = [("P_suc", None), ("D_avg_L2", None), ("D_median_L2", None), ("P_upp", 0.15)]
    rows = go([cell(first, metric, also=tuple(also), at=at) for metric, at in metrics])["beyond"]
    assert len(set(reached)) > 3
    expected = [len(reached) / 9, np.mean(reached), np.median(needs), np.mean(np.array(needs) <= 0.15)]
    assert [row["ours"] for row in rows] == pytest.approx(expected, abs=1e-6)
    for row in rows[:2]:
        assert row["low"] < row["ours"] < row["high"] or row["ours"] == row["high"] == 1


def test_what_has_no_value_is_none_and_says_why(go: Go) -> None:
    never, rarely = pushed(0.001), pushed(0.02)
    rows = go([cell(never, "D_avg_L2"), cell(rarely, "D_median_L2"), cell(never, "P_suc")])["beyond"]
    assert [row["ours"] for row in rows] == [None, None, 0.0]
    assert "No image is fooled" in rows[0]["why"]
    assert "median distance is infinite" in rows[1]["why"]


def test_an_infinite_limit_is_none_and_says_so(go: Go) -> None:
    """5 of 9 fooled: the median is finite, its upper limit, the second largest distance, is not."""
    (row,) = go([cell(pushed(0.2), "D_median_L2")])["beyond"]
    assert row["ours"] == pytest.approx(0.2, abs=1e-6)
    assert row["high"] is None
    assert "no finite upper limit" in row["why"]


def test_rounding_when_saved(go: Go, tmp_path: Path) -> None:
    """A push of 0.02 moves a pixel by 1.275 levels, and 8 bits leave one: success and distance are of that image."""
    rows = go([cell(pushed(0.02, saved="png"), m) for m in ("P_suc", "D_avg_L2")])["beyond"]
    fooled = [margin for margin in POPULATION if margin < 4 / 255]
    assert [row["ours"] for row in rows] == pytest.approx([len(fooled) / 9, 4 / 255], abs=1e-6)


def test_unrounded_saving_is_lossless() -> None:
    x = torch.rand(3, 3, 5, 7, generator=torch.Generator().manual_seed(0)) * 1.01 - 0.005
    assert torch.equal(reload([npy(image) for image in x]), x)
    network = Networks({"half": f"{FILE}:Half"})
    batch, craft = line().take(10), pushed(1 / 3)
    made = craft_batch(craft, network.threat(craft), batch, 1 - batch.y, 0)
    side = (0.5 - batch.x.flatten(1).mean(1)).sign()[:, None, None, None]
    assert torch.equal(reload(made.image), batch.x + (1 / 3) * side / 4)
    assert made.l2.tolist() == pytest.approx([1 / 3] * 10, abs=1e-6)


def test_keep_best_takes_the_success_and_else_what_was_made() -> None:
    network, batch = Networks({"half": f"{FILE}:Half"}), line().take(10)
    for keep in ("last", "best"):
        craft = Craft(Push(0.2, best=True), (WeightedNetwork("half"),), False, keep=keep, saved="float")
        made = craft_batch(craft, network.threat(craft), batch, 1 - batch.y, 0)
        # of the image that is wrong from the start the push leaves the wrong class: it is no success
        successes = [m < 0.2 and i != MISLABELLED for i, m in enumerate(MARGIN)]
        moved = [0.2 * s if keep == "best" else 0.0 for s in successes]
        assert made.l2.tolist() == pytest.approx(moved, abs=1e-6)


def test_the_grid_of_an_attack_is_its_doors() -> None:
    network = Networks({"half": f"{FILE}:Half"})
    assert [network.threat(pushed(0.1, grid=grid)).levels for grid in (None, 256)] == [None, 256]


REFUSED = {
    "several runs of a rate": (cell(pushed(0.1), "misclassification_rate", also=(pushed(0.2),)), "several runs"),
    "nothing crafted": (TableCell(None, JUDGE, "P_suc", {}, "x"), "clean images"),
    "two goals": (cell(pushed(0.1), "P_suc", also=(replace(pushed(0.2), targeted=True),)), "one goal"),
    "nothing to compare with": (cell(pushed(0.1), "MAD_lower"), "one run to compare"),
    "no pair for ties": (cell(pushed(0.1), "MAD_tie"), "for MAD_tie, got 0"),
    "no distance": (cell(pushed(0.1), "P_upp"), "`at`"),
    "a distance too many": (cell(pushed(0.1), "P_suc", at=1.0), "`at`"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_cells_that_do_not_hold(case: str, go: Go) -> None:
    wrong, told = REFUSED[case]
    with pytest.raises(ContractError, match=told):
        go([wrong])


def reached(distance: Sequence[Sequence[float]]) -> Attained:
    array = np.array(distance, float)
    return Attained(array, np.zeros(array.shape, int), 2 * array, np.arange(array.shape[1]))


def test_each_metric_of_several_seeds() -> None:
    told = reached([[0.1, 0.3, np.inf], [0.2, 0.4, 0.6]])
    assert number("D_avg_L2", told).per_seed == pytest.approx([0.2, 0.4])
    assert number("MAD_avg", told).per_seed == pytest.approx([0.4, 0.8])
    assert number("D_median_L2", told).per_seed == pytest.approx([0.3, 0.4])
    assert number("P_suc", told).per_seed == pytest.approx([2 / 3, 1])
    assert number("P_upp", told, 0.35).per_seed == pytest.approx([2 / 3, 1 / 3])
    x, y = operating(told, 0.5)
    assert x == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert y == pytest.approx([0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 4 / 6])


NONE = [False] * 6  # of six images


def test_targeted_success_is_the_target() -> None:
    rows = pa.table(
        {"y": [0, 0, 0], "target": [1, 1, 1], "label": [1, 2, 0], "rejected": NONE[:3], "l2": [1.0, 2.0, 3.0]}
    )
    clean = pa.table({"y": [0, 0, 0], "label": [0, 0, 0]})
    judged = Judged([[rows]], [clean])
    assert attained(judged, True).distance.tolist() == [[1.0, math.inf, math.inf]]
    assert attained(judged, False).distance.tolist() == [[1.0, 2.0, math.inf]]


def test_an_image_that_the_judge_rejects_is_not_fooled() -> None:
    rows = pa.table(
        {"y": [0, 0, 0], "target": [1] * 3, "label": [1, 2, 2], "rejected": [False, True, True], "l2": [1.0, 2.0, 3.0]}
    )
    judged = Judged(
        [[rows]], [pa.table({"y": [0, 0, 0], "label": [0, 0, 2]})]
    )  # the last is rejected as it is: an error
    assert attained(judged, False).distance.tolist() == [[1.0, math.inf]]
    assert rejections(judged) == pytest.approx(2 / 3)


def test_an_image_whose_label_is_the_target_is_in_no_targeted_number() -> None:
    rows = pa.table(
        {"y": [0, 1, 0], "target": [1, 1, 1], "label": [1, 1, 0], "rejected": NONE[:3], "l2": [1.0, 0.0, 3.0]}
    )
    judged = Judged([[rows]], [pa.table({"y": [0, 1, 0], "label": [0, 1, 0]})])
    assert attained(judged, True).distance.tolist() == [[1.0, math.inf]]
    assert attained(judged, False).index.tolist() == [0, 1, 2]


def test_shares_count_what_both_fool_and_ties_apart() -> None:
    """Both fool images 1, 2, 4 and 5: the first run has the higher value on 1, the lower on 2, the same on 4 and 5."""
    first = pa.table({"y": [0] * 6, "target": [1] * 6, "label": [1, 1, 1, 0, 1, 1], "rejected": NONE, "l2": [1.0] * 6})
    other = pa.table({"y": [0] * 6, "target": [1] * 6, "label": [0, 1, 1, 1, 1, 1], "rejected": NONE, "l2": [1.0] * 6})
    clean = pa.table({"y": [0] * 6, "label": [0] * 6})
    values = [np.array([0.0, 3.0, 1.0, 0.0, 2.0, 0.0]), np.array([1.0, 2.0, 2.0, 1.0, 2.0, 0.0])]
    told = {share: mad_share(share, Judged([[first, other]], [clean], [values]), False) for share in MAD_SHARES}
    assert {share: (number.per_seed, number.n) for share, number in told.items()} == {
        "MAD_lower": ([0.25], 4),
        "MAD_tie": ([0.5], 4),
        "MAD_higher": ([0.25], 4),
    }


def test_a_metric_of_the_nearest_success(go: Go, tmp_path: Path) -> None:
    """The mean roughness over the images that are fooled, of the craft that fools them; measured once and kept."""
    cells = [cell(pushed(0.2), "roughness_avg", also=(pushed(0.05),))]
    (row,) = go(cells)["beyond"]
    folders = list(tmp_path.glob("measured/*/*.parquet"))
    before = {path: path.stat().st_mtime_ns for path in folders}
    data, expected = line().all(), []
    for x, margin, i in zip(data.x, MARGIN, range(10), strict=True):
        if i != MISLABELLED and margin < 0.2:
            moved = x + (0.05 if margin < 0.05 else 0.2) * float((0.5 - x.mean()).sign()) / 4
            expected.append(float(metrics.roughness(x[None], moved[None])))
    assert row["ours"] == pytest.approx(np.mean(expected), rel=1e-5)
    assert len(folders) == 2 * 3
    go(cells)
    assert {path: path.stat().st_mtime_ns for path in folders} == before


@pytest.mark.slow
def test_panels(go: Go, tmp_path: Path) -> None:
    """An operating curve is monotone and ends at P_suc; what cells and panels share is made once."""
    runs = tuple(pushed(by) for by in (0.05, 0.2, 0.3))
    panels = [
        OperatingCurves("P(D)", {"push": runs, "weak": runs[:1]}, JUDGE, 1.0),
        Sweep("S", "push", "P_suc", {"P": [(c.attack.by, cell(c, "P_suc")) for c in runs]}),
        Sweep("M", "push", "median", {"M": [(c.attack.by, cell(c, "D_median_L2")) for c in runs]}),
        WorstCases("W", {"push": runs, "weak": runs[:1]}, JUDGE, "push", 2),
    ]
    told = go([cell(runs[0], "P_suc", also=runs[1:])], panels)
    assert len(list(tmp_path.glob("crafted/*"))) == 3
    assert len(list(tmp_path.glob("judged/*"))) == 4
    operating, rates, medians = told["figures"]
    push, weak = operating["series"]
    assert (push["name"], operating["step"], rates["step"]) == ("push", True, False)
    assert {operating["kind"], rates["kind"], medians["kind"]} == {"lines"}
    for one in (push, weak):
        assert one["x"] == sorted(one["x"])
        assert one["y"] == sorted(one["y"])
        assert (one["x"][0], one["x"][-1]) == (0, 1)
    assert push["y"][-1] == told["beyond"][0]["ours"] > weak["y"][-1]
    assert rates["series"][0]["x"] == [0.05, 0.2, 0.3]
    assert rates["series"][0]["y"] == pytest.approx([np.mean(np.array(POPULATION) < by) for by in (0.05, 0.2, 0.3)])
    assert len(medians["series"][0]["x"]) < 3
    assert "left out" in medians["caption"]
    assert told["pictures"][0]["title"] == "W"
    assert "not fooled" in told["pictures"][0]["caption"]
    assert len(pq.read_table(next(iter(tmp_path.glob("crafted/*/00000.parquet"))))) == 4


def test_a_metric_of_a_network_is_averaged_over_the_images_that_have_a_value(go: Go, tmp_path: Path) -> None:
    """Empirical robustness of a push of 0.2: 0.2 over the length of the image, over the images that it fools."""
    craft = pushed(0.2)
    robust, slope, far = go(
        [
            TableCell(craft, JUDGE, "empirical-robustness", {}, "rho"),
            TableCell(None, JUDGE, "loss-sensitivity", {}, "slope"),
            TableCell(craft, JUDGE, f"training-set-distance:data='{FILE}:line'", {}, "distance"),
        ]
    )["beyond"]
    fooled = [level for i, level in enumerate(LEVELS) if i != MISLABELLED and MARGIN[i] < 0.2]
    assert robust["ours"] == pytest.approx(np.mean([0.2 / (4 * level / 255) for level in fooled]), rel=1e-4)
    assert robust["metric"] == "empirical-robustness"
    assert f"{len(fooled) / 10:.1%}" in robust["why"]
    score = (np.array(LEVELS) / 255 * 4 - 2) * np.where(line().y.numpy() == 1, 1, -1)
    assert slope["ours"] == pytest.approx(np.mean(2 / (1 + np.exp(2 * score))), rel=1e-5)
    moved = [4 * level / 255 + 0.2 * math.copysign(1, 127.5 - level) for level in fooled]
    nearest = [min(abs(at - 4 * level / 255) for level in LEVELS) for at in moved]
    assert far["ours"] == pytest.approx(np.mean(nearest), rel=1e-4)


def test_a_metric_of_a_network_is_of_one_network(go: Go) -> None:
    both = TableCell(None, Judge(("half", "half")), "loss-sensitivity", {}, "slope")
    with pytest.raises(ContractError, match="one network behind no path"):
        go([both])


def test_the_first_images_are_shown_with_how_many_are_fooled(go: Go) -> None:
    shown = go([cell(pushed(0.2), "P_suc")], [FirstImages("F", {"push": (pushed(0.2), JUDGE)}, 4)])["pictures"][0]
    fooled = [i for i in range(4) if (MARGIN[i] < 0.2) != (i == MISLABELLED)]
    assert f"push: {len(fooled)} of 4 images fooled" in shown["caption"]
