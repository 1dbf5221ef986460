"""The speed-distortion frontier: Sapper beside the attacks of Tables 5.2 and 5.4, and Sapper without each of its ideas.

No paper has these experiments. Their crafts are those of the two tables: in one folder nothing is attacked twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.figures import OperatingCurves, Panel
from vauban.reproduce.papers.thesis5.benchmarks import curves
from vauban.reproduce.papers.thesis5.cells import BUDGETS, IN_A_BALL, Runs, beyond, runs
from vauban.reproduce.papers.thesis5.declare import one
from vauban.reproduce.papers.thesis5.networks import CLEAN_SCALES, ROBUST_SCALES
from vauban.reproduce.papers.thesis5.setting import CIFAR10, IMAGENET, MNIST, DataSetting

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


def followed(here: DataSetting, scale: Scale, n: int, role: str) -> dict[str, Runs]:
    """The attacks for the nearest image with n gradients, by name."""
    found = {name: c for name, c in curves(here, scale, n, role, quantised=True).items() if name not in IN_A_BALL}
    if "C&W" in found:
        found["C&W, 5x20"] = found.pop("C&W")
        found["C&W, 1x100"] = runs("C&W", "1x100", here, scale, role)
    return found


def ablated(here: DataSetting, scale: Scale, n: int, role: str) -> dict[str, Runs]:
    """Sapper with n gradients without one idea at a time; those of 20 send no scouts."""
    (whole,) = runs("Sapper", str(n), here, scale, role)
    removed = {name: options for name, options in WITHOUT.items() if n == max(BUDGETS) or "scouts" not in options}
    return {
        f"Sapper, {name}": (replace(whole, attack=replace(whole.attack, **options)),)  # type: ignore[type-var]
        for name, options in removed.items()
    }


def _declare(name: str, shown: str, here: DataSetting, role: str, scales: Mapping[str, Scale]) -> None:
    judge = Judge((role,))

    def cells(here: DataSetting, scale: Scale) -> list[TableCell]:
        found: list[TableCell] = []
        for n in BUDGETS:
            for label, crafts in {**followed(here, scale, n, role), **ablated(here, scale, n, role)}.items():
                found += beyond(crafts, judge, f"{label}, {n} gradients", here, METRICS)
        return found

    def panels(here: DataSetting, scale: Scale) -> list[Panel]:
        upto = here.d_upp * (3 if role == "robust" else 2)
        return [OperatingCurves(f"P(D), {n} gradients", followed(here, scale, n, role), judge, upto) for n in BUDGETS]

    one(name, f"The speed-distortion frontier: {shown}", here, cells, panels, scales, None)


_declare("frontier-c4", "C4 on MNIST", MNIST, "network", CLEAN_SCALES["mnist"])
_declare("frontier-c4-robust", "robust C4 on MNIST", MNIST, "robust", ROBUST_SCALES["mnist"])
_declare("frontier-cifar10", "CIFAR-10", CIFAR10, "network", CLEAN_SCALES["cifar10"])
_declare("frontier-cifar10-robust", "a robust network on CIFAR-10", CIFAR10, "robust", ROBUST_SCALES["cifar10"])
_declare("frontier-imagenet", "ImageNet", IMAGENET, "network", CLEAN_SCALES["imagenet"])
