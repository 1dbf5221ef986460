"""Figures 4.5 and 4.6: P(D) of the attacks, those of today among them; Figure 4.4: whose change is less visible."""

from __future__ import annotations

from typing import Literal

from vauban.reproduce.declarations import Craft, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import OperatingCurves, Panel, Scatter
from vauban.reproduce.papers.thesis4.attacks import RIVALS, crafts, domain
from vauban.reproduce.papers.thesis4.setting import (
    AMBIGUOUS,
    FREE,
    NOTES,
    RESNET,
    SOURCE,
    V3,
    attained,
    digits,
    on,
    photographs,
    through,
)
from vauban.reproduce.printed import rows_of
from vauban.reproduce.registry import register

SHOWN = ("PGD2", "qPGD2", "C&W", "sC&W")
CSV = "thesis-fig4.4.csv"
SEEN = ("PGD2", "C&W", "qPGD2", "sC&W", "DDN", "smooth DDN", "BP", "smooth BP")


def curves(scale: Scale, role: str) -> dict[str, tuple[Craft, ...]]:
    """The chapter's attacks as they leave their images, DDN and BP as they are meant: on 8 bits."""
    found, source = domain(scale), through(role)
    made = {name: crafts(name, found, source) for name in SHOWN}
    return made | {f"{name}, 8 bits": crafts(name, found, source, bits=8) for name in RIVALS}


def roles_of(scale: Scale) -> list[str]:
    return [role for role in ("C4", V3, RESNET) if role in scale.models or role in scale.recipes]


def cells(scale: Scale) -> list[TableCell]:
    return [
        attained(runs, on(role), metric, f"{name} on {role}")
        for role in roles_of(scale)
        for name, runs in curves(scale, role).items()
        for metric in ("P_suc", "D_median_L2")
    ]


def panels(scale: Scale) -> list[Panel]:
    upto = 6.0 if domain(scale).grey else 15 * domain(scale).unit
    return [OperatingCurves(f"P(D) on {role}", curves(scale, role), on(role), upto) for role in roles_of(scale)]


@register("thesis-fig4.5")
def figure5() -> Experiment:
    """Operating characteristics on MNIST."""
    return Experiment(
        "thesis-fig4.5",
        "Figure 4.5: P(D) on MNIST",
        SOURCE,
        cells,
        digits(small=18, paper=900),
        None,
        ambiguous=AMBIGUOUS,
        notes=(*NOTES, *FREE),
        panels=panels,
    )


@register("thesis-fig4.6")
def figure6() -> Experiment:
    """Operating characteristics on ImageNet, two networks."""
    return Experiment(
        "thesis-fig4.6",
        "Figure 4.6: P(D) on ImageNet, InceptionV3 and ResNetV2-50",
        SOURCE,
        cells,
        photographs(small=45, paper=200000, roles=(V3, RESNET), cifar=20),
        None,
        ambiguous=AMBIGUOUS,
        notes=(
            *NOTES,
            "Distances are cut at 15 on the paper's images, in proportion to the side on smaller ones.",
            *FREE,
        ),
        panels=panels,
    )


def seen(scale: Scale) -> list[TableCell]:
    """The share below the diagonal, with the attacks as they leave their images and on 8 bits; each attack's mean MAD."""
    found, source, judge = domain(scale), through(V3), on(V3)
    made = {name: crafts(name, found, source) for name in SHOWN}
    rounded = {name: crafts(name, found, source, bits=8) for name in SEEN}
    pair = (*made["sC&W"], *made["C&W"])
    cells = [attained(pair, judge, "MAD_lower", "sC&W below C&W", row) for row in rows_of(CSV)]
    rivals = [("sC&W", "C&W"), ("smooth DDN", "DDN"), ("smooth BP", "BP"), ("sC&W", "DDN")]
    for smooth, plain in rivals:
        label = f"{smooth} below {plain}, 8 bits"
        cells.append(attained((*rounded[smooth], *rounded[plain]), judge, "MAD_lower", label))
    for name in SEEN:
        measures = ("MAD_avg", "D_avg_L2", "roughness_avg")
        cells += [attained(rounded[name], judge, metric, f"{name}, 8 bits") for metric in measures]
    return cells


def diagonals(scale: Scale) -> list[Panel]:
    """MAD of each image under a smooth attack against that under the plain one."""
    found, source = domain(scale), through(V3)

    def pair(smooth: str, plain: str, bits: Literal[8, 32], title: str) -> Scatter:
        x, y = ((name, crafts(name, found, source, bits)) for name in (plain, smooth))
        return Scatter(title, x, y, on(V3), f"MAD of {plain}", f"MAD of {smooth}")

    return [pair("sC&W", "C&W", 32, "sC&W against C&W"), pair("smooth DDN", "DDN", 8, "Smooth DDN against DDN, 8 bits")]


@register("thesis-fig4.4")
def figure4() -> Experiment:
    """MAD of sC&W against that of C&W."""
    return Experiment(
        "thesis-fig4.4",
        "Figure 4.4: MAD of sC&W against C&W",
        SOURCE,
        seen,
        photographs(small=50, paper=110000, cifar=12),
        CSV,
        ambiguous=AMBIGUOUS,
        notes=(
            *NOTES,
            "MAD_lower: among the images that both attacks fool, the share on which the first has the lower MAD. The "
            "population is the paper's 'all images' less those where one of them fails. MAD here is written from its "
            "paper and not validated against its authors' program.",
            *FREE,
        ),
        panels=diagonals,
    )
