"""Figure 6.11: P(D) of BPDA with 20 iterations through each defence."""

from __future__ import annotations

from collections.abc import Mapping

from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.figures import OperatingCurves, Panel
from vauban.reproduce.papers.thesis6.attacks import Runs
from vauban.reproduce.papers.thesis6.networks import FINAL, Base, Parts
from vauban.reproduce.papers.thesis6.setting import COMPETITORS, attained, bpda_on, register_experiment


def settings(base: Base) -> list[Parts]:
    return [*FINAL.values()]


def through(scale: Scale) -> Mapping[str, tuple[Runs, Judge]]:
    """The runs through each defence, and who answers."""
    return {name: bpda_on(name, scale) for name in (*FINAL, *COMPETITORS)}


def cells(scale: Scale) -> list[TableCell]:
    return [attained(made, judge, "D_median_L2", f"BPDA, {name}") for name, (made, judge) in through(scale).items()]


def panels(scale: Scale) -> list[Panel]:
    return [
        OperatingCurves(f"P(D), {name}", {"BPDA": made}, judge, 20.0) for name, (made, judge) in through(scale).items()
    ]


register_experiment("fig6.11", "Figure 6.11: operating curves of BPDA", cells, settings, panels=panels)
