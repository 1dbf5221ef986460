"""Chapter 4 as declared: the printed parameters and numbers, equal gradients, what a comparison of MAD counts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from vauban.attacks.minimal.cw_l2 import CW
from vauban.attacks.smooth.scw import SCW
from vauban.core.errors import ContractError
from vauban.reproduce import load, reproduce
from vauban.reproduce.declarations import MAD_SHARES, Craft, Judge, TableCell
from vauban.reproduce.figures import Scatter, WorstCases
from vauban.reproduce.jobs import JUDGED
from vauban.reproduce.judged import Judged
from vauban.reproduce.papers.thesis4.attacks import (
    PAPER,
    PARAMETERS,
    RIVALS,
    crafts,
    geometric,
    inside,
    minimal,
    radii,
    transfer_radius,
)
from vauban.reproduce.papers.thesis4.converged import CURVES, attack, gradients
from vauban.reproduce.papers.thesis4.setting import through
from vauban.reproduce.printed import printed
from vauban.reproduce.results import mad_share, measured

SOURCE = through("A")
MNIST, PAPERS = PARAMETERS["mnist"], PARAMETERS["nips2017"]
TABLES = {  # P_suc and mean distance of FGSM, I-FGSM, PGD2, C&W, qPGD2, sC&W, by columns of the print
    "table4.1-mnist": ["0.89 5.02", "1.00 2.69", "1.00 1.71", "1.00 2.49", "0.97 3.36", "1.00 1.97"],
    "table4.1-inception": ["0.97 5.92", "1.00 5.54", "1.00 1.80", "0.99 4.91", "0.96 2.10", "0.99 3.00"],
    "table4.1-resnet": ["0.92 8.20", "0.99 7.58", "1.00 3.63", "0.99 9.84", "0.93 4.80", "0.98 5.99"],
    "table4.2-mnist": ["0.15 4.53", "1.00 3.48", "1.00 2.52", "0.93 3.03", "0.99 2.94", "0.99 2.39"],
    "table4.2-inception": ["0.06 6.40", "0.97 29.94", "1.00 3.89", "0.95 6.43", "0.69 7.86", "0.75 6.22"],
}


@pytest.mark.parametrize("table", TABLES)
def test_the_numbers_of_the_tables(table: str) -> None:
    rows = {(r.columns["attack"], r.columns["metric"]): r.value for r in printed(f"thesis-{table}.csv")}
    rows.pop(("none", "accuracy"), None)
    expected = [float(number) for line in TABLES[table] for number in line.split()]
    names = [(name, metric) for name in PAPER for metric in ("P_suc", "D_avg_L2")]
    assert rows == dict(zip(names, expected, strict=True))


def test_the_numbers_of_the_transfer_table() -> None:
    lines = [
        "0.77 5.13 0.04 10.20",
        "0.82 5.12 0.02 10.10",
        "1.00 5.14 0.12 10.26",
        "0.82 4.75 0.02 10.21",
        "0.95 5.13 0.01 10.17",
        "0.68 2.91 0.01 4.63",
    ]
    values = [row.value for name in PAPER for row in printed("thesis-table4.3.csv") if row.columns["attack"] == name]
    assert values == [float(number) for line in lines for number in line.split()]


def test_the_parameters_of_section_4_4_1() -> None:
    """Absolute steps 0.08 at epsilon 0.3 and 0.1255 and 3 at 5, Adam's rate, constants, margins and alphas."""
    for parameters, largest, c, kappa, alpha in ((MNIST, 0.3, 15, 1, 0.95), (PAPERS, 0.1255, 100, 0, 0.997)):
        bim: Any = inside("I-FGSM", radii("I-FGSM", parameters)[-1], parameters)
        pgd: Any = inside("PGD2", 5.0, parameters)
        assert bim.ball.radius == pytest.approx(largest, abs=5e-5)
        assert bim.rel_stepsize * bim.ball.radius == pytest.approx(0.08)
        assert pgd.rel_stepsize * pgd.ball.radius == pytest.approx(3)
        assert not pgd.random_start
        smooth: Any = minimal("sC&W", parameters)
        plain: Any = minimal("C&W", parameters)
        for one in (smooth, plain):
            assert (one.c, one.kappa, one.lr, one.search_steps, one.steps) == (c, kappa, 0.1, 5, 1000)
        assert smooth.smoothness == alpha
        quick: Any = inside("qPGD2", 5.0, parameters)
        assert (quick.smoothness, quick.rate) == (smooth.smoothness, smooth.rate)


def test_radii() -> None:
    assert geometric(1, 8, 4) == pytest.approx([1, 2, 4, 8])
    assert (radii("PGD2", MNIST)[0], radii("qPGD2", MNIST)[-1]) == pytest.approx((1, 6))
    photographs = PARAMETERS["imagenet"]
    assert radii("PGD2", photographs)[0] == pytest.approx(0.5 * 227 / 299)
    assert radii("FGSM", photographs) == pytest.approx(geometric(1 / 255, 32 / 255, 8))


def test_transfer_is_at_the_printed_distances() -> None:
    """0.01 and 0.02 on each of 299 * 299 * 3 components."""
    assert transfer_radius(5, PAPERS) == pytest.approx((0.01, 5.1788), rel=1e-4)
    assert transfer_radius(10, PAPERS) == pytest.approx((0.02, 10.3577), rel=1e-4)


def test_the_chapter_is_not_rounded_and_the_rest_is() -> None:
    for name in (*PAPER, *RIVALS):
        for craft in crafts(name, MNIST, SOURCE):
            assert (craft.grid, craft.saved, craft.targeted) == (None, "float", False)
            assert craft.keep == ("last" if craft.attack.ball is not None else "best")
        rounded = crafts(name, MNIST, SOURCE, bits=8)
        assert {(craft.grid, craft.saved) for craft in rounded} == {(256, "png")}
        assert all(getattr(craft.attack, "steps", 1) <= 100 for craft in rounded)


@pytest.mark.parametrize("constants", [1, 5])
def test_equal_gradients_and_equal_objectives(constants: int) -> None:
    for spent in gradients(MNIST, constants):
        attacks: list[Any] = [attack(name, MNIST, constants, spent) for name in CURVES]
        assert {one.passes[1] for one in attacks} == {spent}
        assert len({(one.c, one.lr, one.kappa, one.search_steps) for one in attacks}) == 1
        assert [type(one) for one in attacks] == [CW, SCW, SCW]
        assert attacks[1] == replace(attacks[2], smoothness=0.0)


def judged(labels: list[int], distance: float) -> pa.Table:
    n = len(labels)
    return pa.table(
        {
            "id": range(n),
            "y": [0] * n,
            "target": [1] * n,
            "label": labels,
            "rejected": [False] * n,
            "p_target": [0.5] * n,
            "p_label": [0.5] * n,
            "linf": [0.1] * n,
            "l2": [distance] * n,
            "seconds": [0.0] * n,
        },
        schema=JUDGED,
    )


CLEAN = judged([0, 0, 0, 0, 1], 0.0)  # the last image is wrong before any attack
FIRST, SECOND = judged([1, 1, 1, 0, 1], 1.0), judged([1, 2, 1, 1, 1], 2.0)
LESS = [np.array([1.0, 5.0, 2.0, 0.0, 0.0]), np.array([2.0, 4.0, 2.0, 9.0, 9.0])]


def test_whose_value_is_lower_counts_images_that_both_fool() -> None:
    """Of images 0, 1, 2 the first attack is lower on 0, higher on 1, and on 2 equal."""
    both = Judged([[FIRST, SECOND]], [CLEAN], [LESS])
    for share in MAD_SHARES:
        assert mad_share(share, both, targeted=False).per_seed == pytest.approx([1 / 3])
    told = mad_share("MAD_lower", both, targeted=False)
    assert told.n == 3
    craft = Craft(CW(), SOURCE, targeted=False)
    cell = TableCell(craft, Judge(("A",)), "MAD_lower", {}, "", (craft,))
    assert measured(cell, both) == told
    assert mad_share("MAD_lower", Judged([[FIRST, SECOND]], [CLEAN], [LESS]), targeted=True).n == 2
    none = mad_share("MAD_lower", Judged([[CLEAN, SECOND]], [CLEAN], [LESS]), targeted=False)
    assert (none.per_seed, none.estimate, none.n) == ([], None, 0)
    with pytest.raises(ContractError, match="compare"):
        mad_share("MAD_lower", Judged([[FIRST]], [CLEAN], [LESS[:1]]), targeted=False)


@pytest.mark.slow
def test_the_scatter_of_figure_4_4(tmp_path: Path) -> None:
    """Its first share below the diagonal is the printed cell's, and no dot needs an attack of its own."""
    experiment = load("thesis-fig4.4")
    assert experiment.panels is not None
    for scale in experiment.scales.values():
        known = {craft for cell in experiment.cells(scale) if cell.craft for craft in (cell.craft, *cell.also)}
        chapter, rounded = experiment.panels(scale)
        for panel, names, grid in ((chapter, ("C&W", "sC&W"), None), (rounded, ("DDN", "smooth DDN"), 256)):
            assert isinstance(panel, Scatter)
            assert (panel.x[0], panel.y[0]) == names
            assert set(panel.x[1] + panel.y[1]) <= known
            assert {craft.grid for craft in panel.x[1] + panel.y[1]} == {grid}
    folder = reproduce("thesis-fig4.4", "smoke", tmp_path, images=2)
    reproduction = json.loads((folder / "reproduction.json").read_text())
    assert [figure["kind"] for figure in reproduction["figures"]] == ["scatter"] * 2
    dots = [list(zip(f["series"][0]["x"], f["series"][0]["y"], strict=True)) for f in reproduction["figures"]]
    (row,) = reproduction["rows"]
    shares = [row, *(more for more in reproduction["beyond"] if more["label"].startswith("sC&W against C&W: MAD"))]
    assert [share["metric"] for share in shares] == list(MAD_SHARES)
    assert len(dots[0]) == row["n"] > 0
    assert sum(y < x for x, y in dots[0]) == round(row["ours"] * row["n"])
    assert sum(share["ours"] for share in shares) == pytest.approx(1)
    page = (folder / "report.html").read_text()
    assert page.count('<circle class="dot"') == sum(map(len, dots)) + 2  # and one in each legend


def test_worst_cases_are_taken_from_the_cells() -> None:
    """The pictures need no attack of their own."""
    for name in ("thesis-fig4.1", "thesis-fig4.2", "thesis-fig4.3"):
        experiment = load(name)
        scale = experiment.scales["small"]
        crafted = {craft for cell in experiment.cells(scale) if cell.craft for craft in (cell.craft, *cell.also)}
        assert experiment.panels is not None
        for panel in experiment.panels(scale):
            assert isinstance(panel, WorstCases)
            assert {craft for runs in panel.crafts.values() for craft in runs} <= crafted
