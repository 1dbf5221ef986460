"""Figure 6.9: accuracy on clean and on attacked images over epsilon, strategies in layer 1 behind the image's best."""

from __future__ import annotations

from vauban.defences.features.strategies import Strategy
from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.figures import Panel
from vauban.reproduce.papers.thesis6.networks import FIRST, SECOND, Base, Parts, PatchedLayer, base_of, role_of
from vauban.reproduce.papers.thesis6.setting import bare, clean_and_ddn, register_experiment, sweep

GRIDS: dict[Strategy, tuple[float, ...]] = {
    "l2": (0.02, 0.05, 0.1, 0.2),
    "linear": (0.1, 0.25, 0.5, 0.75),
    "linf": (0.01, 0.02, 0.05, 0.1),
}


def curves(base: Base) -> dict[str, list[tuple[float, Parts]]]:
    """The settings of a curve for each strategy, by epsilon."""
    return {
        strategy: [
            (eps, (FIRST, PatchedLayer("1", SECOND.share, SECOND.depth, strategy, eps)))
            for eps in (grid[:1] if base.sample < 1000 else grid)
        ]
        for strategy, grid in GRIDS.items()
    }


def settings(base: Base) -> list[Parts]:
    return [(FIRST,), *(parts for points in curves(base).values() for _, parts in points)]


def cells(scale: Scale) -> list[TableCell]:
    return [*bare(scale), *(cell for parts in settings(base_of(scale)) for cell in clean_and_ddn(scale, parts))]


def panels(scale: Scale) -> list[Panel]:
    return [sweep("Strategies in layer 1", "epsilon", curves(base_of(scale)), scale)]


CLAIMS = (
    Claim(
        "Two layers are more accurate under attack than the image alone",
        "section 6.4.4",
        (Larger(f"{role_of((FIRST, SECOND))}; DDN", f"{role_of((FIRST,))}; DDN"),),
    ),
)

register_experiment(
    "fig6.9", "Figure 6.9: strategies in layer 1 after the image", cells, settings, panels=panels, claims=CLAIMS
)
