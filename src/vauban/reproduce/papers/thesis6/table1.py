"""Table 6.1: the grid of layers, depths and numbers of codewords, with the accuracy that each setting has."""

from __future__ import annotations

from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.papers.thesis6.networks import Base, Parts, PatchedLayer, base_of
from vauban.reproduce.papers.thesis6.setting import bare, clean_and_ddn, register_experiment

PRINTED = 785_568
GRID = {
    ("0", 1): (
        392,
        785,
        3927,
        6284,
        7855,
        11783,
        15711,
        19639,
        26185,
        31422,
        39278,
        58917,
        78557,
        117835,
        157114,
        235671,
    ),
    ("1", 4): (39278, 78557, 117836, 157114, 235671, 314228, 785568),
    ("1", 8): (39278, 78557, 117836, 157114, 261856, 392784, 785568),
    ("4", 2): (78557,),
    ("4", 4): (78557, 785568),
    ("4", 8): (78557,),
    ("7", 2): (78557,),
    ("7", 4): (78557,),
    ("7", 8): (78557, 785568),
    **{("10", d): (78557, 785568) for d in (2, 4, 8)},
}
"""The printed numbers of codewords by layer and depth; each is a share of 785 568."""
FEW = 2  # settings of the grid at scale smoke


def parts(base: Base) -> list[Parts]:
    grid: list[Parts] = [
        (PatchedLayer(layer, round(count / PRINTED, 4), depth),)
        for (layer, depth), counts in GRID.items()
        if layer in base.layers
        for count in counts
    ]
    return grid[1 : 1 + FEW] if base.sample < 1000 else grid


def cells(scale: Scale) -> list[TableCell]:
    settings = parts(base_of(scale))
    return [*bare(scale), *(cell for setting in settings for cell in clean_and_ddn(scale, setting))]


register_experiment("6.1", "Table 6.1: codebooks by layer, depth and number of codewords", cells, parts)
