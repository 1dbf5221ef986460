"""Figure 6.4: patches with and without overlap, and one codebook for all slices in place of one for each."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.papers.thesis6.networks import Base, Parts, PatchedLayer, base_of, role_of
from vauban.reproduce.papers.thesis6.setting import bare, clean_and_ddn, register_experiment

LAYERS = (("0", 0.005, 1), ("1", 0.3, 4))


def settings(base: Base) -> list[Parts]:
    return [
        (PatchedLayer(*layer, step=step, universal=universal),)
        for layer in LAYERS
        for step, universal in ((1, False), (3, False), (1, True))
    ]


def cells(scale: Scale) -> list[TableCell]:
    return [*bare(scale), *(cell for parts in settings(base_of(scale)) for cell in clean_and_ddn(scale, parts))]


def told(layer: tuple[str, float, int], kind: str, step: int = 1, universal: bool = False) -> str:
    return f"{role_of((PatchedLayer(*layer, step=step, universal=universal),))}; {kind}"


CLAIMS = (
    Claim(
        "Overlapping patches are slightly better on clean and on attacked images",
        "section 6.3.1",
        tuple(Larger(told(layer, kind), told(layer, kind, step=3)) for layer in LAYERS for kind in ("clean", "DDN")),
    ),
    Claim(
        "A codebook of each slice is better than one for all",
        "section 6.3.2",
        tuple(
            Larger(told(layer, kind), told(layer, kind, universal=True))
            for layer in LAYERS
            for kind in ("clean", "DDN")
        ),
        "on MNIST the image has one slice: both are the same there",
    ),
)

register_experiment(
    "fig6.4", "Figure 6.4: overlap against none, a codebook for each slice against one", cells, settings, claims=CLAIMS
)
