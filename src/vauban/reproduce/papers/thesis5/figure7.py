"""Figures 5.7 and 5.8: distance and success over the number of gradients, and the images that are hardest for BP. The paper
has ImageNet alone; the other two data sets are beyond it."""

from __future__ import annotations

from collections.abc import Sequence

from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.figures import Panel, Sweep, WorstCases
from vauban.reproduce.papers.thesis5.benchmarks import curves
from vauban.reproduce.papers.thesis5.cells import Runs, beyond, measured, runs
from vauban.reproduce.papers.thesis5.declare import each
from vauban.reproduce.papers.thesis5.setting import OURS, RIVALS, DataSetting

JUDGE = Judge(("network",))
ATTACKS = ("I-FGSM", "PGD2", "C&W", "DDN", "BP")
SHOWN = {
    "D_avg_L2": "mean L2 distance of the successes",
    "P_suc": "success probability",
    "D_median_L2": "median L2 distance, failures infinite",
    "P_upp": "share fooled within D_upp",
}
"""The first two are the paper's; the median is not helped by failing."""


def budgets(scale: Scale) -> Sequence[int]:
    """Numbers of gradients; fewer where a gradient is dear, and at scale smoke."""
    few = {"imagenet": (20, 50, 100), "colours": (20, 100)}
    return next((n for name, n in few.items() if scale.data.startswith(name)), (20, 40, 60, 80, 100))


def sweeps(here: DataSetting, scale: Scale) -> list[Panel]:
    names = (*ATTACKS, *RIVALS, *dict(OURS))

    def points(name: str, metric: str) -> list[tuple[float, TableCell]]:
        at = {n: runs(name, str(n), here, scale) for n in budgets(scale)}
        return [(n, measured(found, JUDGE, metric, f"{name}, {n}", here)) for n, found in at.items()]

    return [
        Sweep(f"{y_label}", "gradients per image", y_label, {name: points(name, metric) for name in names})
        for metric, y_label in SHOWN.items()
    ]


def medians(here: DataSetting, scale: Scale) -> list[TableCell]:
    found: list[TableCell] = []
    for n in budgets(scale):
        for name in (*ATTACKS, *RIVALS, *dict(OURS)):
            found += beyond(
                runs(name, str(n), here, scale), JUDGE, f"{name}, {n} gradients", here, ["P_suc", "D_median_L2"]
            )
    return found


def hardest(here: DataSetting, scale: Scale) -> dict[str, Runs]:
    return {"FGSM": runs("FGSM", "1", here, scale), **curves(here, scale, 100, "network", True)}


def distances(here: DataSetting, scale: Scale) -> list[TableCell]:
    found: list[TableCell] = []
    for name, crafts in hardest(here, scale).items():
        found += beyond(crafts, JUDGE, name, here, ["P_suc", "D_avg_L2"])
    return found


def worst(here: DataSetting, scale: Scale) -> list[Panel]:
    count = min(5, scale.images)
    return [WorstCases(f"The {count} images on which BP is farthest", hardest(here, scale), JUDGE, "BP", count)]


each("fig5.7", "Figure 5.7: speed and distortion", medians, sweeps)
each("fig5.8", "Figure 5.8: the worst images of BP", distances, worst)
