"""The speed-distortion frontier: the crafts are those of the tables, and an ablation changes what it names alone."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from vauban.reproduce import load
from vauban.reproduce.figures import OperatingCurves
from vauban.reproduce.papers.thesis5.attacks import MNIST
from vauban.reproduce.papers.thesis5.frontier import METRICS, WITHOUT, ablated, nearest
from vauban.reproduce.papers.thesis5.networks import CLEAN_SCALES
from vauban.reproduce.papers.thesis5.setting import gradients

TABLES = {
    "frontier-c4": "thesis-5.2-mnist",
    "frontier-c4-robust": "thesis-5.4-mnist",
    "frontier-cifar10": "thesis-5.2-cifar10",
    "frontier-cifar10-robust": "thesis-5.4-cifar10",
    "frontier-imagenet": "thesis-5.2-imagenet",
}
RIVALS = (
    *("BP", "BP, OUT with retreat", "BP, margin loss", "DDN", "DDN, annealed", "FMN", "APGD, radius searched"),
    *("DeepFool", "Sapper", "Vanguard"),
)
SMALL = CLEAN_SCALES["mnist"]["small"]


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("key", ["smoke", "small", "paper"])
def test_every_craft_is_one_of_the_table_but_the_ablations(name, key):
    ours, table = load(name), load(TABLES[name])
    scale = ours.scales[key]
    known = {craft for cell in table.cells(table.scales[key]) for craft in (cell.craft, *cell.also)}
    for cell in ours.cells(scale):
        own = {cell.craft, *cell.also}
        if cell.label.startswith("Sapper, ") and not cell.label.startswith(("Sapper, 20", "Sapper, 100")):
            assert len(own) == 1
        else:
            assert own <= known
    assert (scale.data, scale.models, scale.recipes) == tuple(
        getattr(table.scales[key], field) for field in ("data", "models", "recipes")
    )
    assert ours.printed is None
    assert ours.title.startswith("The speed-distortion frontier: ")


def test_the_attacks_of_both_budgets():
    assert set(nearest(20, MNIST, SMALL, "network")) == set(RIVALS)
    at_100 = nearest(100, MNIST, SMALL, "network")
    assert set(at_100) == {*RIVALS, "C&W, 5x20", "C&W, 1x100"}
    assert all(gradients(craft.attack) == 100 for runs in at_100.values() for craft in runs)
    experiment = load("frontier-c4")
    panels = experiment.panels(SMALL)
    assert all(isinstance(panel, OperatingCurves) for panel in panels)
    assert [len(panel.curves) for panel in panels] == [10, 12]
    labels = [cell.label for cell in experiment.cells(SMALL)]
    assert len(labels) == len(set(labels)) == len(METRICS) * (10 + 6 + 12 + 7)


def test_an_ablation_changes_what_it_names_and_costs_as_much():
    for n, count in ((20, 6), (100, 7)):
        ((whole,),) = (nearest(n, MNIST, SMALL, "network")["Sapper"],)
        ablations = ablated(n, MNIST, SMALL, "network")
        assert len(ablations) == count
        for label, (craft,) in ablations.items():
            changed = {k for k, v in asdict(craft.attack).items() if asdict(whole.attack)[k] != v}
            assert changed == set(WITHOUT[label.removeprefix("Sapper, ")])
            assert gradients(craft.attack) == n
            assert (craft.grid, craft.keep, craft.saved, craft.through) == (256, "best", "png", whole.through)
