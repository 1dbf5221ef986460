"""Tables 4.1 and 4.2: six attacks on each network; beyond them their medians, 8-bit images, and attacks of today."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vauban.reproduce.declarations import Craft, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.thesis4.attacks import PAPER, RIVALS, SMOOTH, crafts, domain
from vauban.reproduce.papers.thesis4.setting import (
    AMBIGUOUS,
    C4_ADV,
    FREE,
    NOTES,
    RESNET,
    SOURCE,
    V3,
    V3_ADV,
    attained,
    digits,
    on,
    photographs,
    through,
)
from vauban.reproduce.printed import rows_of
from vauban.reproduce.registry import register

STEPPED = ("PGD2", "C&W", "qPGD2", "sC&W")  # whose 8-bit rows stand beside


def cells_of(csv: str, role: str) -> Callable[[Scale], list[TableCell]]:
    """One cell for each printed row; beyond them the median with failures infinite, the rounded attacks, and DDN and BP."""

    def cells(scale: Scale) -> list[TableCell]:
        found, judge = domain(scale), on(role)
        made = {name: crafts(name, found, through(role)) for name in PAPER}
        cells = [beside(row, made, role) for row in rows_of(csv)]
        cells += [attained(made[name], judge, "D_median_L2", name) for name in PAPER]
        for name in (*STEPPED, *RIVALS):
            rounded = crafts(name, found, through(role), bits=8)
            cells += [attained(rounded, judge, m, f"{name}, 8 bits") for m in ("P_suc", "D_avg_L2", "D_median_L2")]
        if found.grey:
            cells += laplacian(scale, role)
        return cells

    return cells


def beside(row: dict[str, str], made: dict[str, tuple[Craft, ...]], role: str) -> TableCell:
    """The cell of a printed row: an attack, or the accuracy without one."""
    if row["metric"] == "accuracy":
        return TableCell(None, on(role), "accuracy", row, "clean images: accuracy")
    return attained(made[row["attack"]], on(role), row["metric"], row["attack"], row)


def laplacian(scale: Scale, role: str) -> list[TableCell]:
    """The text's kernel exp(-rate |difference|) in place of the Gaussian one of the authors' program."""
    found, cells = replace(domain(scale), shape="laplacian"), []
    for name in SMOOTH:
        runs = crafts(name, found, through(role), bits=8)
        cells += [attained(runs, on(role), m, f"{name}, 8 bits, Laplacian kernel") for m in ("P_suc", "D_avg_L2")]
    return cells


def table(id: str, title: str, csv: str, role: str, scales: dict[str, Scale], *notes: str) -> Experiment:
    return Experiment(
        id,
        title,
        SOURCE,
        cells_of(csv, role),
        scales,
        csv,
        printed_n=10000 if "MNIST" in title else 1000,
        ambiguous=AMBIGUOUS,
        notes=(*NOTES, *notes, *FREE),
    )


@register("thesis-4.1-mnist")
def table1_mnist() -> Experiment:
    """Six attacks on C4."""
    return table(
        "thesis-4.1-mnist",
        "Table 4.1, MNIST: success and distortion on C4",
        "thesis-table4.1-mnist.csv",
        "C4",
        digits(small=22, paper=1100),
    )


@register("thesis-4.1-inception")
def table1_inception() -> Experiment:
    """Six attacks on InceptionV3."""
    return table(
        "thesis-4.1-inception",
        "Table 4.1, ImageNet: success and distortion on InceptionV3",
        "thesis-table4.1-inception.csv",
        V3,
        photographs(small=60, paper=110000, cifar=12),
    )


@register("thesis-4.1-resnet")
def table1_resnet() -> Experiment:
    """Six attacks on ResNetV2-50."""
    return table(
        "thesis-4.1-resnet",
        "Table 4.1, ImageNet: success and distortion on ResNetV2-50",
        "thesis-table4.1-resnet.csv",
        RESNET,
        photographs(small=12, paper=110000, roles=(RESNET,)),
    )


@register("thesis-4.2-mnist")
def table2_mnist() -> Experiment:
    """Six attacks on C4 trained against FGSM."""
    return table(
        "thesis-4.2-mnist",
        "Table 4.2, MNIST: C4 adversarially trained on FGSM",
        "thesis-table4.2-mnist.csv",
        C4_ADV,
        digits(small=22, paper=1100, role=C4_ADV),
        "The training is read as originals with their FGSM versions at 0.3, made anew after every epoch (sections 3.2.2 "
        "and 5.5); the chapter gives neither. Its single step is what such a network learns to hide from: PGD2, DDN and BP "
        "say how far it is robust.",
    )


@register("thesis-4.2-inception")
def table2_inception() -> Experiment:
    """Six attacks on the adversarially trained InceptionV3."""
    return table(
        "thesis-4.2-inception",
        "Table 4.2, ImageNet: InceptionV3 trained on single-step images",
        "thesis-table4.2-inception.csv",
        V3_ADV,
        photographs(small=12, paper=110000, roles=(V3_ADV,)),
        "'step 1.1' is read as the single-step least-likely-class training of the public InceptionV3.",
    )
