"""Figure 6.5: accuracy on clean and on attacked images over the number of codewords, and over the scale of E8."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, CurveAbove, Larger
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.figures import Panel
from vauban.reproduce.papers.thesis6.networks import Base, Parts, PatchedLayer, base_of, role_of
from vauban.reproduce.papers.thesis6.setting import bare, clean_and_ddn, register_experiment, sweep

SHARES = (0.001, 0.005, 0.02, 0.1, 0.3)
LATTICE = tuple(round(0.1 * k, 1) for k in range(1, 10))
DEPTHS = {"0": (1,), "1": (4, 8), "4": (4, 8), "7": (4, 8), "10": (4, 8)}


def quantised(base: Base) -> dict[str, list[tuple[float, Parts]]]:
    """The settings of a curve for each layer and depth, by the share that K is of the places."""
    shares = SHARES[1:2] if base.sample < 1000 else SHARES
    return {
        f"layer {layer}, d {depth}": [(share, (PatchedLayer(layer, share, depth),)) for share in shares]
        for layer in base.layers
        for depth in DEPTHS[layer]
    }


def lattices(base: Base) -> dict[str, list[tuple[float, Parts]]]:
    """The settings of a curve for each layer, by the scale of E8."""
    scales = LATTICE[1:2] if base.sample < 1000 else LATTICE
    return {f"layer {layer}, E8": [(s, (PatchedLayer(layer, lattice=s),)) for s in scales] for layer in base.layers}


def settings(base: Base) -> list[Parts]:
    return [parts for curves in (quantised(base), lattices(base)) for points in curves.values() for _, parts in points]


def cells(scale: Scale) -> list[TableCell]:
    return [*bare(scale), *(cell for parts in settings(base_of(scale)) for cell in clean_and_ddn(scale, parts))]


def panels(scale: Scale) -> list[Panel]:
    base = base_of(scale)
    return [
        sweep("Product quantisation", "K as a share of the places", quantised(base), scale),
        sweep("E8", "scale", lattices(base), scale),
    ]


def ddn(*part: PatchedLayer) -> str:
    return f"{role_of(part)}; DDN"


def both(part: PatchedLayer) -> tuple[str, str]:
    """A point of the curve of accuracy under attack over clean accuracy."""
    return f"{role_of((part,))}; clean", ddn(part)


CLAIMS = (
    Claim(
        "Accuracy under attack is not monotone in the number of codewords, in the image",
        "section 6.4.2",
        (
            Larger(ddn(PatchedLayer("0", 0.005)), ddn(PatchedLayer("0", 0.001))),
            Larger(ddn(PatchedLayer("0", 0.005)), ddn(PatchedLayer("0", 0.3))),
        ),
    ),
    Claim(
        "An earlier layer is better on attacked images",
        "section 6.4.2",
        tuple(
            Larger(ddn(PatchedLayer(first, share, depth)), ddn(PatchedLayer(later, share, 4)))
            for first, depth, later in (("0", 1, "1"), ("1", 4, "4"))
            for share in (0.005, 0.1)
        ),
    ),
    Claim(
        "At equal clean accuracy E8 is below product quantisation on attacked images",
        "section 6.4.2",
        tuple(
            CurveAbove(
                f"layer {layer}, product quantisation",
                f"layer {layer}, E8",
                tuple(both(PatchedLayer(layer, share, depth)) for share in SHARES),
                tuple(both(PatchedLayer(layer, lattice=s)) for s in LATTICE),
            )
            for layer, depth in (("0", 1), ("1", 8))
        ),
    ),
)

register_experiment(
    "fig6.5", "Figure 6.5: codebooks of each layer and E8", cells, settings, panels=panels, claims=CLAIMS
)
