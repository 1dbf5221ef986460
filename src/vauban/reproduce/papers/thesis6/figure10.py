"""Figure 6.10: P(D) of images made on the undefended network, without and with patch replacement."""

from __future__ import annotations

from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.figures import OperatingCurves, Panel
from vauban.reproduce.papers.thesis6.attacks import runs
from vauban.reproduce.papers.thesis6.networks import FINAL, Base, Parts
from vauban.reproduce.papers.thesis6.setting import attained, judge_of, register_experiment

ATTACKS = ("DDN", "FGSM", "BIM", "PGD")
READINGS = ("undefended", *FINAL)
"""The undefended network, and the final setting in both readings."""


def settings(base: Base) -> list[Parts]:
    return [*FINAL.values()]


def cells(scale: Scale) -> list[TableCell]:
    return [
        attained(runs(attack, scale), judge_of(name, scale), "D_median_L2", f"{attack}, {name}")
        for attack in ATTACKS
        for name in READINGS
    ]


def panels(scale: Scale) -> list[Panel]:
    curves = {attack: runs(attack, scale) for attack in ATTACKS}
    return [OperatingCurves(f"P(D), {name}", curves, judge_of(name, scale), 10.0) for name in READINGS]


register_experiment(
    "fig6.10", "Figure 6.10: operating curves of images made on the undefended network", cells, settings, panels=panels
)
