"""Figure 6.11: P(D) of BPDA with 20 iterations through each defence."""

from __future__ import annotations

from collections.abc import Mapping

from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.figures import OperatingCurves, Panel
from vauban.reproduce.papers.thesis6.attacks import Runs, bpda
from vauban.reproduce.papers.thesis6.networks import FINAL, Base, Parts, role_of
from vauban.reproduce.papers.thesis6.setting import COMPETITORS, attained, path_of, register_experiment


def settings(base: Base) -> list[Parts]:
    return [*FINAL.values()]


def through(scale: Scale) -> Mapping[str, tuple[Runs, Judge]]:
    """The runs through each defence, and who answers."""
    others = {}
    for name in COMPETITORS:
        path = path_of(name, scale)
        others[name] = (bpda(scale, "network", path), Judge(("network",), path))
    own = {name: (bpda(scale, role_of(parts)), Judge((role_of(parts),))) for name, parts in FINAL.items()}
    return {**own, **others}


def cells(scale: Scale) -> list[TableCell]:
    return [attained(made, judge, "D_median_L2", f"BPDA, {name}") for name, (made, judge) in through(scale).items()]


def panels(scale: Scale) -> list[Panel]:
    return [
        OperatingCurves(f"P(D), {name}", {"BPDA": made}, judge, 20.0) for name, (made, judge) in through(scale).items()
    ]


register_experiment("fig6.11", "Figure 6.11: operating curves of BPDA", cells, settings, panels=panels)
