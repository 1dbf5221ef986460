"""Figure 5.8: the images that are hardest for BP; the paper has ImageNet alone."""

from __future__ import annotations

from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.figures import Panel, WorstCases
from vauban.reproduce.papers.thesis5.attacks import DataSetting, Runs, compared, crafts
from vauban.reproduce.papers.thesis5.setting import beyond, register_per_data_set

JUDGE = Judge(("network",))


def runs(data: DataSetting, scale: Scale) -> dict[str, Runs]:
    """FGSM, and the attacks of Figure 5.4 at 100 gradients."""
    return {"FGSM": crafts("FGSM", "1", data, scale), **compared(100, data, scale)}


def cells(data: DataSetting, scale: Scale) -> list[TableCell]:
    return [
        cell
        for name, runs_of_one in runs(data, scale).items()
        for cell in beyond(runs_of_one, JUDGE, name, data, ["P_suc", "D_avg_L2"])
    ]


def panels(data: DataSetting, scale: Scale) -> list[Panel]:
    count = min(5, scale.images)
    return [WorstCases(f"The {count} images on which BP is farthest", runs(data, scale), JUDGE, "BP", count)]


register_per_data_set("fig5.8", "Figure 5.8: the worst images of BP", cells, panels)
