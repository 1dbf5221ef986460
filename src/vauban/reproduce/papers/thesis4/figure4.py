"""Figure 4.4: MAD of sC&W against that of C&W on InceptionV3, and of the smooth attacks of today on 8 bits."""

from __future__ import annotations

from typing import Literal

from vauban.reproduce.declarations import MAD_SHARES, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Panel, Scatter
from vauban.reproduce.papers.thesis4.attacks import RIVALS, crafts, parameters_of
from vauban.reproduce.papers.thesis4.networks import V3, photographs
from vauban.reproduce.papers.thesis4.setting import AMBIGUOUS, FREE, NOTES, SOURCE, attained, on, through
from vauban.reproduce.printed import rows_of
from vauban.reproduce.registry import register

CSV = "thesis-fig4.4.csv"
ROUNDED = ("PGD2", "C&W", "qPGD2", "sC&W", *RIVALS)
PAIRS = (("sC&W", "C&W"), ("smooth DDN", "DDN"), ("smooth BP", "BP"), ("sC&W", "DDN"))
"""A smooth attack and the one it is compared with, on 8 bits."""


def cells(scale: Scale) -> list[TableCell]:
    """The shares below, on and above the diagonal, with the attacks as they leave their images and on 8 bits; each attack's
    mean MAD."""
    parameters, source, judge = parameters_of(scale), through(V3), on(V3)
    pair = (*crafts("sC&W", parameters, source), *crafts("C&W", parameters, source))
    printed = {row["metric"]: row for row in rows_of(CSV)}
    cells = [attained(pair, judge, share, "sC&W against C&W", printed.get(share)) for share in MAD_SHARES]
    rounded = {name: crafts(name, parameters, source, bits=8) for name in ROUNDED}
    for smooth, plain in PAIRS:
        runs = (*rounded[smooth], *rounded[plain])
        cells += [attained(runs, judge, share, f"{smooth} against {plain}, 8 bits") for share in MAD_SHARES]
    return cells + [
        attained(runs, judge, metric, f"{name}, 8 bits")
        for name, runs in rounded.items()
        for metric in ("MAD_avg", "D_avg_L2", "roughness_avg")
    ]


def panels(scale: Scale) -> list[Panel]:
    return [
        scatter(scale, "sC&W", "C&W", 32, "sC&W against C&W"),
        scatter(scale, "smooth DDN", "DDN", 8, "Smooth DDN against DDN, 8 bits"),
    ]


def scatter(scale: Scale, smooth: str, plain: str, bits: Literal[8, 32], title: str) -> Scatter:
    """MAD of each image under a smooth attack against that under the plain one."""
    x, y = ((name, crafts(name, parameters_of(scale), through(V3), bits)) for name in (plain, smooth))
    return Scatter(title, x, y, on(V3), f"MAD of {plain}", f"MAD of {smooth}")


@register("thesis-fig4.4")
def figure4() -> Experiment:
    """MAD of sC&W against that of C&W."""
    return Experiment(
        "thesis-fig4.4",
        "Figure 4.4: MAD of sC&W against C&W",
        SOURCE,
        cells,
        photographs(small=50, paper=110000, cifar=12),
        CSV,
        ambiguous=AMBIGUOUS,
        notes=(
            *NOTES,
            "MAD_lower, MAD_tie, MAD_higher: among the images that both attacks fool, the shares on which the MAD of the "
            "first is lower, the same (both exactly 0, mostly), and higher. The population is the paper's 'all images' "
            "less those where one of them fails. MAD here is written from its paper and not validated against its authors' "
            "program.",
            *FREE,
        ),
        panels=panels,
    )
