"""Figure 6: noise of three kinds before the S2SNet, under BIM made on the bare network; Table 8, its numbers."""

from __future__ import annotations

from vauban.defences.base import InputDefence
from vauban.defences.inputs.gaussian_noise import GaussianNoise
from vauban.defences.inputs.sign_noise import SignNoise
from vauban.defences.inputs.uniform_noise import UniformNoise
from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Craft, Judge, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Panel, Sweep
from vauban.reproduce.papers.s2snet.attacks import EPS, crafts
from vauban.reproduce.papers.s2snet.networks import BARE, TUNED, base_of
from vauban.reproduce.papers.s2snet.setting import experiment
from vauban.reproduce.registry import register

STRENGTHS = (0.02, 0.05, 0.1, 0.2)
"""Of the noise, pixels of [0,1]: the printed ones are lost."""
GAUSSIAN, SIGN, UNIFORM, WIDER = "Gaussian", "sign", "uniform", "uniform of the same variance"
KINDS = (GAUSSIAN, SIGN, UNIFORM, WIDER)
METRICS = ("accuracy", "relative_accuracy")


def noise(kind: str, strength: float) -> InputDefence:
    """The noise of a kind: strength is the deviation, of `UNIFORM` the largest size, whose deviation is less by sqrt(3)."""
    if kind == GAUSSIAN:
        return GaussianNoise(sigma=strength)
    if kind == SIGN:
        return SignNoise(eps=strength)
    return UniformNoise(width=strength if kind == UNIFORM else round(strength * 3**0.5, 6))


def text(kind: str, strength: float | None) -> str:
    return "without noise" if strength is None else f"{kind} noise {strength:g}"


def label(kind: str, strength: float | None, eps: float | None, metric: str) -> str:
    made = "clean" if eps is None else f"BIM eps {eps:g} on {BARE}"
    return f"{made}, answered by {TUNED} {text(kind, strength)}: {metric}"


def strengths(scale: Scale) -> tuple[float, ...]:
    return STRENGTHS[2:3] if base_of(scale).few else STRENGTHS


def variants(scale: Scale) -> list[tuple[str, float | None]]:
    """Kinds and strengths of noise, without noise first."""
    return [("", None), *((kind, strength) for kind in KINDS for strength in strengths(scale))]


def cell(kind: str, strength: float | None, eps: float | None, made: Craft | None, metric: str) -> TableCell:
    path = () if strength is None else (noise(kind, strength),)
    return TableCell(made, Judge((TUNED,), path), metric, {}, label(kind, strength, eps, metric))


def cells(scale: Scale) -> list[TableCell]:
    told = []
    for kind, strength in variants(scale):
        told.append(cell(kind, strength, None, None, "accuracy"))
        for eps, made in crafts("BIM", scale, BARE).items():
            told += [cell(kind, strength, eps, made, metric) for metric in METRICS]
    return told


def raw_cells(scale: Scale) -> list[TableCell]:
    """The cells, and how far each image is from its original."""
    told = cells(scale)
    for eps, made in crafts("BIM", scale, BARE).items():
        for metric in ("dissimilarity", "linf"):
            told.append(TableCell(made, Judge((TUNED,)), metric, {}, f"BIM eps {eps:g} on {BARE}: {metric}"))
    return told


def panels(scale: Scale) -> list[Panel]:
    """A figure for each strength: accuracy over dissimilarity by kind."""
    drawn: list[Panel] = []
    made = crafts("BIM", scale, BARE)
    for strength in strengths(scale):
        lines = {}
        for kind, given in (("", None), *((kind, strength) for kind in KINDS)):
            points: list[tuple[float | TableCell, TableCell]] = [(0.0, cell(kind, given, None, None, "accuracy"))]
            for eps, one in made.items():
                away = TableCell(one, Judge((BARE,)), "dissimilarity", {}, f"BIM eps {eps:g}: dissimilarity")
                points.append((away, cell(kind, given, eps, one, "accuracy")))
            lines[text(kind, given)] = points
        drawn.append(Sweep(f"Noise of strength {strength:g}", "normalised L2 dissimilarity", "accuracy", lines))
    return drawn


MIDDLE, MOST = 0.1, EPS[-2]


def right(kind: str, strength: float | None, eps: float = MOST) -> str:
    return label(kind, strength, eps, "relative_accuracy")


CLAIMS = (
    Claim(
        "The stronger the noise, the more images stay right",
        "section 4.1.1",
        tuple(
            Larger(right(kind, more), right(kind, less))
            for kind in (GAUSSIAN, SIGN)
            for less, more in ((None, 0.05), (0.05, 0.2))
        ),
    ),
    Claim(
        "and the lower the accuracy without an attack",
        "section 4.1.1",
        tuple(
            Larger(label("", None, None, "accuracy"), label(kind, 0.2, None, "accuracy")) for kind in (GAUSSIAN, SIGN)
        ),
    ),
    Claim(
        "Gaussian and sign noise act alike: within five points",
        "section 4.1.1",
        tuple(
            Larger(right(first, s), right(second, s), by=-0.05)
            for s in STRENGTHS
            for first, second in ((GAUSSIAN, SIGN), (SIGN, GAUSSIAN))
        ),
    ),
    Claim(
        "Uniform noise protects least",
        "section 4.1.1",
        tuple(Larger(right(kind, MIDDLE), right(UNIFORM, MIDDLE)) for kind in (GAUSSIAN, SIGN)),
        "at one strength uniform noise has a third of their variance",
    ),
    Claim(
        "So it does at the same variance",
        "section 4.1.1, where the paper compares other variances",
        tuple(Larger(right(kind, MIDDLE), right(WIDER, MIDDLE)) for kind in (GAUSSIAN, SIGN)),
    ),
)


@register("s2snet-fig6")
def figure6() -> Experiment:
    """Noise before the S2SNet under BIM made on the bare network."""
    return experiment(
        "fig6",
        "Figure 6: noise before the S2SNet",
        cells,
        panels=panels,
        claims=CLAIMS,
        minutes=15,
        notes=("The attacker does not average over the noise, as printed; who does is in `s2snet-adaptive`.",),
    )


@register("s2snet-table8")
def table8() -> Experiment:
    """Raw numbers of BIM made on the bare network, with noise before the S2SNet."""
    return experiment("table8", "Table 8: BIM with noise before the S2SNet", raw_cells, claims=CLAIMS, minutes=15)
