"""Figure 5.7: distance and success over the number of gradients; the paper has ImageNet alone."""

from __future__ import annotations

from collections.abc import Sequence

from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.figures import Panel, Sweep
from vauban.reproduce.papers.thesis5.attacks import FURTHER, DataSetting, crafts
from vauban.reproduce.papers.thesis5.setting import beyond, measured, register_per_data_set

JUDGE = Judge(("network",))
ATTACKS = ("I-FGSM", "PGD2", "C&W", "DDN", "BP", *FURTHER)
METRICS = {
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


def cells(data: DataSetting, scale: Scale) -> list[TableCell]:
    cells = []
    for n in budgets(scale):
        for name in ATTACKS:
            runs = crafts(name, str(n), data, scale)
            cells += beyond(runs, JUDGE, f"{name}, {n} gradients", data, ["P_suc", "D_median_L2"])
    return cells


def panels(data: DataSetting, scale: Scale) -> list[Panel]:
    def curve(name: str, metric: str) -> list[tuple[float, TableCell]]:
        return [
            (n, measured(crafts(name, str(n), data, scale), JUDGE, metric, f"{name}, {n}", data))
            for n in budgets(scale)
        ]

    return [
        Sweep(y_label, "gradients per image", y_label, {name: curve(name, metric) for name in ATTACKS})
        for metric, y_label in METRICS.items()
    ]


register_per_data_set("fig5.7", "Figure 5.7: speed and distortion", cells, panels)
