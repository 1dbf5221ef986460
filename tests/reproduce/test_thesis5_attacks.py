"""Chapter 5 of the thesis: printed parameters, equal gradients, what is rounded, and who is trained from whom."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.minimal.bp import BP
from vauban.attacks.minimal.cw_l2 import CW
from vauban.core.norms import Linf
from vauban.engine import BoundThreat, Oracle
from vauban.reproduce import load
from vauban.reproduce.declarations import Craft, Judge, TableCell, WeightedNetwork
from vauban.reproduce.papers.thesis5.attacks import DATA, FURTHER, IMAGENET, MNIST, attacks, crafts, radii
from vauban.reproduce.papers.thesis5.networks import CLEAN_SCALES, ROBUST_SCALES, SMOKE
from vauban.reproduce.papers.thesis5.setting import comparison, gradients, timed
from vauban.reproduce.registry import registry

NAMES = [name for name in registry.names() if name.startswith(("thesis-5", "thesis-fig5"))]
PAPER, SMALL = CLEAN_SCALES["mnist"]["paper"], CLEAN_SCALES["mnist"]["small"]


def test_every_table_and_figure_is_there():
    three = [
        f"thesis-{item}-{data.name}"
        for data in DATA
        for item in ("5.2", "5.3", "5.4", "fig5.3", "fig5.4", "fig5.5", "fig5.6", "fig5.7", "fig5.8")
    ]
    assert set(NAMES) == {*three, "thesis-5.1", "thesis-5.5-mnist", "thesis-5.5-cifar10", "thesis-fig5.1"}


@pytest.mark.parametrize(
    ("scale", "count"), [(PAPER, 20), (SMALL, 8), (CLEAN_SCALES["imagenet"]["small"], 5), (SMOKE, 2)]
)
def test_the_set_of_radii_is_geometric(scale, count):
    eps = radii((0.25, 8.0), scale)
    ratios = [b / a for a, b in itertools.pairwise(eps)]
    assert len(eps) == count
    assert eps[0] == 0.25
    assert eps[-1] == pytest.approx(8.0)
    assert ratios == pytest.approx([32 ** (1 / (count - 1))] * (count - 1))


def test_printed_parameters():
    assert attacks("C&W", "5x20", MNIST, PAPER) == [CW(5, 20, 0.5, 1)]
    assert attacks("C&W", "1x100", MNIST, PAPER) == [CW(1, 100, 0.1, 10)]
    assert attacks("C&W", "5x20", IMAGENET, PAPER) == [CW(5, 20, 0.01, 20)]
    (bp,) = attacks("BP", "100", MNIST, PAPER)
    assert (bp.steps, bp.alpha, bp.gamma_min, bp.beta_min, bp.retreat) == (100, 2, 0.7, 0.1, False)
    for attack in attacks("I-FGSM", "20", MNIST, PAPER):
        assert attack.rel_stepsize * attack.ball.radius == pytest.approx(0.08)
    for attack in attacks("PGD2", "20", IMAGENET, PAPER):
        assert attack.rel_stepsize * attack.ball.radius == pytest.approx(3)
        assert not attack.random_start
    assert {attack.rel_stepsize for attack in attacks("PGD2", "20", MNIST, PAPER)} == {0.5}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FURTHER, "PGD2", "C&W", "DDN", "BP"])
@pytest.mark.parametrize("n", [20, 100])
def test_every_attack_takes_the_gradients_of_its_row_and_no_more(name, n):
    """Counted at the door, on a linear classifier of 12 classes that no step within [0,1] fools."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(8, 12))
    with torch.no_grad():
        net[1].weight.copy_(torch.linspace(-1, 1, 96).view(12, 8))
        net[1].bias.zero_()[3] = 100
    x, y = torch.full((1, 1, 2, 4), 0.5), torch.tensor([3])
    attack = attacks(name, str(n), MNIST, PAPER)[0]
    spent = int(attack.run(Oracle.open(BoundThreat(net, levels=None), x, y)).backwards.max())
    assert spent <= gradients(attack) <= n
    assert gradients(attack) == n
    assert spent == n or name == "DeepFool"


def test_what_is_rounded_when_and_what_is_handed_over():
    ball, cw, ddn, bp = (
        crafts(name, "20" if name != "C&W" else "5x20", MNIST, SMALL)[0] for name in ("PGD2", "C&W", "DDN", "BP")
    )
    assert [craft.grid for craft in (ball, cw, ddn, bp)] == [None, None, 256, 256]
    assert [craft.keep for craft in (ball, cw, ddn, bp)] == ["last", "best", "best", "best"]
    for name in ("PGD2", "BP"):
        for craft in crafts(name, "20", MNIST, SMALL, quantised=False):
            assert (craft.grid, craft.saved, craft.targeted) == (None, "float", False)


def test_the_nearest_of_all_attacks_has_every_run():
    cells = comparison("thesis-table5.2-mnist.csv", MNIST, SMALL)
    every = {craft for cell in cells[:-4] for craft in (cell.craft, *cell.also)}
    assert all({cell.craft, *cell.also} == every and len(cell.also) == len(every) - 1 for cell in cells[-4:])
    assert [cell.at for cell in cells if cell.metric == "P_upp"] == [2] * (11 + 2 * len(FURTHER) + 1)


def test_minutes_count_a_run_once():
    craft = Craft(FGSM(Linf(0.1)), (WeightedNetwork("network"),), targeted=False)
    more = Craft(BP(steps=59), (WeightedNetwork("network"),), targeted=False)
    cells = [
        TableCell(craft, Judge(("network",)), "P_suc", {}, "a"),
        TableCell(craft, Judge(("network",)), "D_avg_L2", {}, "b", (more,)),
    ]
    recipes = CLEAN_SCALES["mnist"]["small"].recipes
    expected = 60 * SMALL.images * 0.35 / 60000 + recipes["network"].minutes
    assert timed(SMALL, cells, ()).minutes == pytest.approx(expected, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_starts_from_a_network_of_its_own_architecture(name):
    for scale in load(name).scales.values():
        for recipe in scale.recipes.values():
            if recipe.start is not None:
                started = scale.recipes.get(recipe.start)
                before = started.model if started else scale.models[recipe.start].split(":")[0]
                assert before == recipe.model


def test_the_radius_of_training_rises_to_the_printed_one():
    recipes = ROBUST_SCALES["mnist"]["small"].recipes
    role, trained_at = "robust", []
    while recipes[role].recipe != "standard":
        trained_at.append(recipes[role].recipe.attack.ball.radius)
        role = recipes[role].start
    assert trained_at == [0.3, 0.2, 0.1]
    assert role == "network"
    printed = ROBUST_SCALES["mnist"]["paper"].recipes["robust"].recipe.attack
    assert math.isclose(printed.rel_stepsize * printed.ball.radius, 0.01)
    assert printed.steps == 40
