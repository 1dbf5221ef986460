"""The speed-distortion frontier: Sapper beside the attacks of Tables 5.2 and 5.4, and Sapper without each of its ideas.

No paper has these experiments. They stand here since their crafts are those of the two tables: in one folder nothing is
attacked twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.figures import OperatingCurves, Panel
from vauban.reproduce.papers.thesis5.attacks import (
    CIFAR10,
    IMAGENET,
    IN_A_BALL,
    MNIST,
    DataSetting,
    Runs,
    compared,
    crafts,
)
from vauban.reproduce.papers.thesis5.networks import CLEAN_SCALES, ROBUST_SCALES
from vauban.reproduce.papers.thesis5.setting import BUDGETS, beyond, farthest, register_experiment

METRICS = ("P_suc", "D_median_L2", "D_avg_L2")
WITHOUT: Mapping[str, Mapping[str, Any]] = {
    "decay 1: the foot of the perpendicular alone": {"decay": (1.0, 1.0), "refine": (1.0, 1.0)},
    "decay 0: no way back": {"decay": (0.0, 0.0), "refine": (0.0, 0.0)},
    "sharpness 100: the plain margin": {"sharpness": (100.0, 100.0)},
    "sharpness 4: the class never settles": {"sharpness": (4.0, 4.0)},
    "steps not measured after rounding": {"tries": 0},
    "over constant": {"up": 1.0, "down": 1.0},
    "no scouts": {"scouts": 0},
}
"""The ideas of Sapper, and what takes each away from both of its phases."""


def nearest(n: int, data: DataSetting, scale: Scale, role: str) -> dict[str, Runs]:
    """The attacks for the nearest image with n gradients, by name."""
    runs = {name: own for name, own in compared(n, data, scale, role).items() if name not in IN_A_BALL}
    if "C&W" in runs:
        runs["C&W, 5x20"] = runs.pop("C&W")
        runs["C&W, 1x100"] = crafts("C&W", "1x100", data, scale, role)
    return runs


def ablated(n: int, data: DataSetting, scale: Scale, role: str) -> dict[str, Runs]:
    """Sapper with n gradients without one idea at a time; those of 20 send no scouts."""
    (whole,) = crafts("Sapper", str(n), data, scale, role)
    removed = {name: options for name, options in WITHOUT.items() if n == max(BUDGETS) or "scouts" not in options}
    return {
        f"Sapper, {name}": (replace(whole, attack=replace(whole.attack, **options)),)  # type: ignore[type-var]
        for name, options in removed.items()
    }


def cells(data: DataSetting, scale: Scale, role: str) -> list[TableCell]:
    cells = []
    for n in BUDGETS:
        for name, runs in {**nearest(n, data, scale, role), **ablated(n, data, scale, role)}.items():
            cells += beyond(runs, Judge((role,)), f"{name}, {n} gradients", data, METRICS)
    return cells


def panels(data: DataSetting, scale: Scale, role: str) -> list[Panel]:
    return [
        OperatingCurves(f"P(D), {n} gradients", nearest(n, data, scale, role), Judge((role,)), farthest(data, role))
        for n in BUDGETS
    ]


for _name, _subject, _data, _role, _scales in (
    ("frontier-c4", "C4 on MNIST", MNIST, "network", CLEAN_SCALES),
    ("frontier-c4-robust", "robust C4 on MNIST", MNIST, "robust", ROBUST_SCALES),
    ("frontier-cifar10", "CIFAR-10", CIFAR10, "network", CLEAN_SCALES),
    ("frontier-cifar10-robust", "a robust network on CIFAR-10", CIFAR10, "robust", ROBUST_SCALES),
    ("frontier-imagenet", "ImageNet", IMAGENET, "network", CLEAN_SCALES),
):
    register_experiment(
        _name,
        f"The speed-distortion frontier: {_subject}",
        _data,
        partial(cells, role=_role),
        partial(panels, role=_role),
        _scales[_data.name],
        None,
    )
