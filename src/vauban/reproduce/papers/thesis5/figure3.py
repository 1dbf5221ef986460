"""Figure 5.3: success and distance of BP with 20 gradients over its two parameters, on training images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vauban.reproduce.declarations import Craft, Judge, Scale, Setting, TableCell, WeightedNetwork
from vauban.reproduce.figures import Panel, Sweep
from vauban.reproduce.papers.thesis5.attacks import DataSetting, Runs, bp
from vauban.reproduce.papers.thesis5.networks import CLEAN_SCALES
from vauban.reproduce.papers.thesis5.setting import beyond, measured, register_per_data_set

ALPHAS = (1, 2, 3, 4)
GAMMAS = tuple(i / 10 for i in range(1, 10))
JUDGE = Judge(("network",))
METRICS = {"P_suc": "success probability", "D_avg_L2": "mean L2 distance of the successes"}
TRAINING_IMAGES: Mapping[str, Mapping[str, tuple[str, int, str]]] = {
    "mnist": {
        "small": ("mnist/train[::60]", 1000, "1000 training images"),
        "paper": ("mnist/train[::6]", 10000, "10000 training images"),
    },
    "cifar10": {
        "small": ("cifar10/train[::100]", 500, "500 training images"),
        "paper": ("cifar10/train[::5]", 10000, "10000 training images"),
    },
    "imagenet": {
        "small": ("imagenet/val1000:crop=227[10::20]", 50, "50 validation images other than those of the tables"),
        "paper": ("nips2017/dev", 1000, "the images of the tables, for want of training images"),
    },
}
"""Data, their number and what to call them, by data set and scale."""


def on_training_images(data_set: str) -> dict[str, Scale]:
    """The scales of the clean networks on training images, spread evenly, where the data set has them."""
    scales = {}
    for key, scale in CLEAN_SCALES[data_set].items():
        data, images, description = TRAINING_IMAGES[data_set][key]
        setting: Setting = "stand-in" if data_set == "imagenet" else scale.setting
        note = f"{scale.note}; this figure on {description}"
        scales[key] = replace(scale, data=data, images=images, setting=setting, note=note)
    return scales


def bp_at(alpha: float, gamma: float, scale: Scale) -> Runs:
    attack = bp(20, scale, alpha=float(alpha), gamma_min=gamma)
    return (Craft(attack, (WeightedNetwork("network"),), targeted=False, grid=256, keep="best"),)


def cells(data: DataSetting, scale: Scale) -> list[TableCell]:
    cells = []
    for alpha in ALPHAS:
        for gamma in GAMMAS:
            label = f"alpha {alpha}, gamma_min {gamma}"
            cells += beyond(bp_at(alpha, gamma, scale), JUDGE, label, data, ["P_suc", "D_median_L2"])
    return cells


def panels(data: DataSetting, scale: Scale) -> list[Panel]:
    def curve(alpha: float, metric: str) -> list[tuple[float, TableCell]]:
        return [
            (gamma, measured(bp_at(alpha, gamma, scale), JUDGE, metric, f"alpha {alpha}", data)) for gamma in GAMMAS
        ]

    return [
        Sweep(y_label, "gamma_min", y_label, {f"alpha = {alpha}": curve(alpha, metric) for alpha in ALPHAS})
        for metric, y_label in METRICS.items()
    ]


register_per_data_set(
    "fig5.3",
    "Figure 5.3: the parameters of BP with 20 gradients",
    cells,
    panels,
    scales={data_set: on_training_images(data_set) for data_set in TRAINING_IMAGES},
)
