"""Shared by the tables and figures of chapter 4: open questions, cells, and the rows and curves that several have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vauban.defences.inputs.bilateral import Bilateral
from vauban.reproduce.declarations import Judge, Path, Scale, TableCell, WeightedNetwork
from vauban.reproduce.experiment import Ambiguity
from vauban.reproduce.figures import OperatingCurves, Panel
from vauban.reproduce.papers.thesis4.attacks import PAPER, RIVALS, SMOOTH, Runs, crafts, parameters_of
from vauban.reproduce.papers.thesis4.networks import C4, RESNET, V3
from vauban.reproduce.printed import rows_of

SOURCE = "H. Zhang, Deep learning in adversarial context, thesis, Rennes 2021, chapter 4 (arXiv:1903.11862)"
AMBIGUOUS = (
    Ambiguity("the sets of target distortions are not printed", {"attack": "FGSM|PGD2"}),
    Ambiguity("the numbers of iterations are not printed", {"attack": "I-FGSM|PGD2|C&W"}),
    Ambiguity("the kernel's widths and neighbourhood are not printed", {"attack": "^(qPGD2|sC&W)"}),
    Ambiguity("whether images were rounded is not printed", {"attack": "^(?!none$)"}),
)
NOTES = (
    "Images are judged as floats, since the chapter does not mention rounding; rows '8 bits' round every query and the "
    "saved image. Step sizes keep their printed proportion to epsilon. Attacks inside a ball run 20 iterations for each "
    "radius and keep the last; C&W and sC&W search 5 constants (CleverHans' default), with 1000 iterations each on MNIST "
    "and at scale paper, 100 on CIFAR-10 and 40 on SqueezeNet; rows '8 bits' have at most 100.",
    "Graph: 4 neighbours, joint over channels, exp(-rate |difference|^2) with rate 10 on MNIST and 300 on photographs.",
)
FREE = (
    "The smoothing is invertible, so sC&W and C&W at one constant have the same minimum: whether smoothness is free is a "
    "question of where each stops; see thesis-4-converged.",
)
FILTER = Bilateral(sigma_domain=0.5, sigma_range=0.2)
"""The bilateral filter of Table 4.3 and Figure 4.7."""
CURVES = ("PGD2", "qPGD2", "C&W", "sC&W")
"""The attacks of Figures 4.5 and 4.6."""


def through(role: str, *path: Path) -> tuple[WeightedNetwork, ...]:
    return (WeightedNetwork(role, path),)


def on(role: str, *path: Path) -> Judge:
    return Judge((role,), path)


def attained(
    runs: Runs, judge: Judge, metric: str, label: str, key: dict[str, str] | None = None, at: float | None = None
) -> TableCell:
    """A cell over the nearest success among all runs of an attack.

    Args:
        runs: of the attack.
        judge: who says what succeeded.
        metric: one of `declarations.ATTAINED`.
        label: the attack, to which the metric is added.
        key: the printed row that stands beside it, None for a cell beyond the chapter.
        at: the distance of P_upp.
    """
    return TableCell(runs[0], judge, metric, key or {}, f"{label}: {metric}", runs[1:], at)


def paper_runs(scale: Scale, role: str) -> dict[str, Runs]:
    """The runs of the six attacks of the tables."""
    return {name: crafts(name, parameters_of(scale), through(role)) for name in PAPER}


def six_attacks(csv: str, role: str) -> Callable[[Scale], list[TableCell]]:
    """The cells of Tables 4.1 and 4.2 for one network.

    One cell for each printed row; beyond them the median with failures infinite, the rounded attacks, DDN and BP, and on
    digits the kernel that the text has.
    """

    def cells(scale: Scale) -> list[TableCell]:
        judge, runs = on(role), paper_runs(scale, role)
        printed = [_beside(row, runs, judge) for row in rows_of(csv)]
        medians = [attained(runs[name], judge, "D_median_L2", name) for name in PAPER]
        rounded = [
            attained(crafts(name, parameters_of(scale), through(role), bits=8), judge, metric, f"{name}, 8 bits")
            for name in ("PGD2", "C&W", "qPGD2", "sC&W", *RIVALS)
            for metric in ("P_suc", "D_avg_L2", "D_median_L2")
        ]
        return printed + medians + rounded + (_laplacian(scale, role) if parameters_of(scale).grey else [])

    return cells


def _beside(row: dict[str, str], runs: dict[str, Runs], judge: Judge) -> TableCell:
    """The cell of a printed row: an attack, or the accuracy without one."""
    if row["metric"] == "accuracy":
        return TableCell(None, judge, "accuracy", row, "clean images: accuracy")
    return attained(runs[row["attack"]], judge, row["metric"], row["attack"], row)


def _laplacian(scale: Scale, role: str) -> list[TableCell]:
    """The text's kernel exp(-rate |difference|) in place of the Gaussian one of the authors' program."""
    parameters = replace(parameters_of(scale), shape="laplacian")
    return [
        attained(crafts(name, parameters, through(role), bits=8), on(role), metric, f"{name}, 8 bits, Laplacian kernel")
        for name in SMOOTH
        for metric in ("P_suc", "D_avg_L2")
    ]


def worst_case_cells(runs: dict[str, Runs], role: str) -> list[TableCell]:
    """Success, distance and roughness of each attack of Figures 4.1 to 4.3, whose pictures are of the same images."""
    return [
        attained(runs_of_one, on(role), metric, name)
        for name, runs_of_one in runs.items()
        for metric in ("P_suc", "D_avg_L2", "roughness_avg")
    ]


def operating_runs(scale: Scale, role: str) -> dict[str, Runs]:
    """Figures 4.5 and 4.6: the chapter's attacks as they leave their images, DDN and BP as they are meant: on 8 bits."""
    parameters, source = parameters_of(scale), through(role)
    unrounded = {name: crafts(name, parameters, source) for name in CURVES}
    return unrounded | {f"{name}, 8 bits": crafts(name, parameters, source, bits=8) for name in RIVALS}


def operating_cells(scale: Scale) -> list[TableCell]:
    """Success and median distance of each curve of Figures 4.5 and 4.6."""
    return [
        attained(runs, on(role), metric, f"{name} on {role}")
        for role in _roles(scale)
        for name, runs in operating_runs(scale, role).items()
        for metric in ("P_suc", "D_median_L2")
    ]


def operating_panels(scale: Scale) -> list[Panel]:
    """P(D) of Figures 4.5 and 4.6, a panel for each network."""
    parameters = parameters_of(scale)
    upto = 6.0 if parameters.grey else 15 * parameters.unit
    return [OperatingCurves(f"P(D) on {role}", operating_runs(scale, role), on(role), upto) for role in _roles(scale)]


def _roles(scale: Scale) -> list[str]:
    """The networks that the scale has."""
    return [role for role in (C4, V3, RESNET) if role in scale.models or role in scale.recipes]
