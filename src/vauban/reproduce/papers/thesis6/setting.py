"""Shared by the tables and figures of chapter 6: cells, competitors, experiments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from vauban.defences.inputs.bit_depth import BitDepth
from vauban.defences.inputs.median_filter import MedianFilter
from vauban.defences.inputs.pixel_deflection import PixelDeflection
from vauban.reproduce.claims import Claim
from vauban.reproduce.declarations import Judge, Path, Scale, TableCell
from vauban.reproduce.experiment import Ambiguity, Experiment
from vauban.reproduce.figures import Panel, Sweep
from vauban.reproduce.papers.thesis6.attacks import Runs, bpda, runs
from vauban.reproduce.papers.thesis6.networks import BASES, FINAL, Base, Parts, base_of, inner_layers, role_of, scales
from vauban.reproduce.registry import register

SOURCE = "H. Zhang, Deep learning in adversarial context, thesis, Rennes 2021, chapter 6"
AMBIGUOUS = (
    Ambiguity("the size of patches, their step and the sample of k-means are not printed; 3x3 pixels, step 1"),
    Ambiguity(
        "the final setting has a strategy in the image layer by Figure 6.9 and 6.4.4, and none by 6.4.2; both are cells",
        {"defence": "patch replacement"},
    ),
)
NOTES = (
    "Numbers of codewords are shares of the places sampled, as the printed ones are: 3927 is 0.5 % of 785 568.",
    "An epsilon inside a network is in units of its features, which differ between networks.",
    "Parameters of pixel deflection are not printed; those of its authors' program.",
)
DEFLECTION = "pixel deflection"
COMPETITORS = ("bit3", "bit5", "ms2", "ms3", DEFLECTION)
"""The defences of Tables 6.3 and 6.4 that need no training beside patch replacement, by their names there."""


def path_of(competitor: str, scale: Scale) -> tuple[Path, ...]:
    """The path of an image behind a competitor."""
    return {
        "bit3": (BitDepth(3),),
        "bit5": (BitDepth(5),),
        "ms2": (MedianFilter(2),),
        "ms3": (MedianFilter(3),),
        DEFLECTION: (PixelDeflection(layer=base_of(scale).mapped),),
    }[competitor]


def accuracy(made: Runs | None, judge: Judge, label: str, key: Mapping[str, str] | None = None) -> TableCell:
    """The accuracy of a judge on clean images, or on those of a single run."""
    return TableCell(None if made is None else made[0], judge, "accuracy", key or {}, label)


def attained(made: Runs, judge: Judge, metric: str, label: str, key: Mapping[str, str] | None = None) -> TableCell:
    """A metric over all runs of an attack, the nearest success of each image."""
    return TableCell(made[0], judge, metric, key or {}, f"{label}: {metric}", made[1:])


def clean_and_ddn(scale: Scale, parts: Parts) -> list[TableCell]:
    """The accuracy of the network behind parts, clean and on what DDN made on the network without them."""
    judge, text = Judge((role_of(parts),)), role_of(parts)
    return [accuracy(None, judge, f"{text}; clean"), accuracy(runs("DDN", scale), judge, f"{text}; DDN")]


def bare(scale: Scale) -> list[TableCell]:
    """The same without a defence."""
    judge = Judge(("network",))
    return [accuracy(None, judge, "undefended; clean"), accuracy(runs("DDN", scale), judge, "undefended; DDN")]


def sweep(title: str, x: str, settings: Mapping[str, Sequence[tuple[float, Parts]]], scale: Scale) -> Sweep:
    """Accuracy on clean images and on those of DDN over a parameter, two curves for each of the settings."""
    curves: dict[str, list[tuple[float, TableCell]]] = {}
    for name, points in settings.items():
        for at, kind in enumerate(("clean", "DDN")):
            curves[f"{name}, {kind}"] = [(value, clean_and_ddn(scale, parts)[at]) for value, parts in points]
    return Sweep(title, x, "accuracy", curves)


def by_layer(kinds: Sequence[str], cell: Callable[[str, Scale, str, str], TableCell], scale: Scale) -> Panel:
    """The relative distortion of every layer, a curve for each kind of change.

    Args:
        kinds: What is compared.
        cell: The cell of a kind, from the layer's number and its name.
        scale: For the layers.
    """
    places = list(inner_layers(scale).items())
    curves = {kind: [(float(i), cell(kind, scale, *at)) for i, at in enumerate(places, 1)] for kind in kinds}
    shown = ", ".join(f"{i} {layer}" for i, (layer, _) in enumerate(places, 1))
    return Sweep("Relative distortion", f"layer: {shown}", "distortion", curves)


def judge_of(defence: str, scale: Scale) -> Judge:
    """Who answers behind a defence of Tables 6.3 and 6.4, by its name there; the undefended network for another name."""
    if defence in FINAL:
        return Judge((role_of(FINAL[defence]),))
    return Judge(("network",), path_of(defence, scale) if defence in COMPETITORS else ())


def bpda_on(defence: str, scale: Scale) -> tuple[Runs, Judge]:
    """The runs of BPDA through a defence, and who answers."""
    judge = judge_of(defence, scale)
    return bpda(scale, judge.networks[0], judge.path), judge


def register_experiment(
    number: str,
    title: str,
    cells: Callable[[Scale], Sequence[TableCell]],
    parts: Callable[[Base], list[Parts]],
    *,
    panels: Callable[[Scale], Sequence[Panel]] | None = None,
    csv: str | None = None,
    claims: tuple[Claim, ...] = (),
    names: tuple[str, ...] = tuple(BASES),
    images: Mapping[str, int] | None = None,
    minutes: Mapping[str, float] | None = None,
) -> None:
    """Register `thesis-<number>`.

    Args:
        number: As in the chapter: "6.2", "fig6.5"; "6-adaptive" is beyond it.
        title: With which table or figure it is.
        cells: Of a scale.
        parts: The defended networks of a base.
        panels: Of a scale.
        csv: The packaged printed values.
        claims: What the text says.
        names: The scales.
        images: How many are attacked where it is fewer than the base has, by scale.
        minutes: What it takes where it is not what the base says, by scale.
    """

    def experiment() -> Experiment:
        return Experiment(
            f"thesis-{number}",
            title,
            SOURCE,
            cells,
            scales(parts, names, images, minutes),
            csv,
            1000,
            AMBIGUOUS,
            NOTES,
            panels=panels,
            claims=claims,
        )

    experiment.__doc__ = f"{title}."
    register(f"thesis-{number}")(experiment)
