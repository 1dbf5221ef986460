"""Figure 6.6: how far noise, DDN's change, patches of the image, and both together move every layer."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.figures import Panel
from vauban.reproduce.papers.thesis6.attacks import noise, runs
from vauban.reproduce.papers.thesis6.networks import FIRST_PLAIN, Base, Parts, inner_layers, role_of
from vauban.reproduce.papers.thesis6.setting import by_layer, register_experiment

PATCHED = (FIRST_PLAIN,)
"""Q: the codebook of the image."""
DIFFERENCES = ("noise", "DDN", "Q(x) - x", "Q(x+r) - x", "Q(x+r) - Q(x)")


def label(difference: str, layer: str) -> str:
    return f"{difference}: relative distortion at layer {layer}"


def distortion(difference: str, scale: Scale, layer: str, name: str) -> TableCell:
    """The mean over all images of ||f(a) - f(b)|| / ||f(b)|| for a difference a - b.

    Of Q(x+r) - Q(x) the denominator is ||f(Q(x))||, of all others ||f(x)||.
    """
    run = None if difference == "Q(x) - x" else noise(scale) if difference == "noise" else runs("DDN", scale)[0]
    judge = Judge((role_of(PATCHED) if "Q" in difference else "network",))
    options = [f"layer='{name}'"] if name else []
    options += ["original=without"] if difference in ("Q(x) - x", "Q(x+r) - x") else []
    metric = ":".join(["layer-distortion", ",".join(options)]) if options else "layer-distortion"
    return TableCell(run, judge, metric, {}, label(difference, layer))


def cells(scale: Scale) -> list[TableCell]:
    return [distortion(kind, scale, *at) for kind in DIFFERENCES for at in inner_layers(scale).items()]


def panels(scale: Scale) -> list[Panel]:
    return [by_layer(DIFFERENCES, distortion, scale)]


def settings(base: Base) -> list[Parts]:
    return [PATCHED]


CLAIMS = (
    Claim(
        "At the logits Q(x+r) - Q(x) is small beside the other four",
        "section 6.4.2",
        tuple(
            Larger(label(kind, "logits"), label("Q(x+r) - Q(x)", "logits"))
            for kind in DIFFERENCES
            if kind[-4:] != "Q(x)"
        ),
    ),
    Claim(
        "Q(x+r) - x moves every layer as far as Q(x) - x",
        "section 6.4.2",
        tuple(
            Larger(label(first, layer), label(second, layer), by=-0.05)
            for layer in ("1", "logits")
            for first, second in (("Q(x+r) - x", "Q(x) - x"), ("Q(x) - x", "Q(x+r) - x"))
        ),
        "as far: within 0.05",
    ),
)

register_experiment(
    "fig6.6",
    "Figure 6.6: distortion of every layer by noise, DDN and patches of the image",
    cells,
    settings,
    panels=panels,
    claims=CLAIMS,
)
