"""Figure 6.7: accuracy on clean and on attacked images over epsilon, three strategies, in the image and in layer 1."""

from __future__ import annotations

from vauban.defences.features.strategies import Strategy
from vauban.reproduce.claims import AnyOf, Claim, CurveAbove, Larger
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.figures import Panel
from vauban.reproduce.papers.thesis6.networks import Base, Parts, PatchedLayer, base_of, role_of
from vauban.reproduce.papers.thesis6.setting import bare, clean_and_ddn, register_experiment, sweep

GRIDS: dict[tuple[str, Strategy], tuple[float, ...]] = {
    ("0", "l2"): (0.0, 0.1, 0.25, 0.5, 1.0),
    ("0", "linear"): (0.0, 0.25, 0.5, 0.75, 1.0),
    ("0", "linf"): (0.0, 0.02, 0.05, 0.1, 0.17),
    ("1", "l2"): (0.0, 0.1, 0.25, 0.5, 1.0),
    ("1", "linear"): (0.0, 0.25, 0.5, 0.75, 1.0),
    ("1", "linf"): (0.0, 0.01, 0.05, 0.1, 0.17, 0.2),
}
BOOKS = {"0": (0.005, 1), "1": (0.3, 4)}


def curves(base: Base, layer: str) -> dict[str, list[tuple[float, Parts]]]:
    """The settings of a curve for each strategy, by epsilon."""
    share, depth = BOOKS[layer]
    return {
        f"layer {layer}, {strategy}": [
            (eps, (PatchedLayer(layer, share, depth, strategy, eps),))
            for eps in (grid[2:3] if base.sample < 1000 else grid)
        ]
        for (where, strategy), grid in GRIDS.items()
        if where == layer
    }


def settings(base: Base) -> list[Parts]:
    plain: list[Parts] = [(PatchedLayer(layer, *book),) for layer, book in BOOKS.items()]
    return [*plain, *(parts for layer in BOOKS for points in curves(base, layer).values() for _, parts in points)]


def cells(scale: Scale) -> list[TableCell]:
    return [*bare(scale), *(cell for parts in settings(base_of(scale)) for cell in clean_and_ddn(scale, parts))]


def panels(scale: Scale) -> list[Panel]:
    base = base_of(scale)
    names = {"0": "The image", "1": "Layer 1"}
    return [sweep(names[layer], "epsilon", curves(base, layer), scale) for layer in BOOKS]


def told(layer: str, kind: str, strategy: Strategy = "plain", epsilon: float = 0.0) -> str:
    return f"{role_of((PatchedLayer(layer, *BOOKS[layer], strategy, epsilon),))}; {kind}"


STRATEGIES: tuple[Strategy, ...] = ("l2", "linear", "linf")


def compared(layer: str, above: Strategy, than: Strategy) -> CurveAbove:
    """One strategy above another in a layer: accuracy under attack over clean accuracy."""

    def points(strategy: Strategy) -> tuple[tuple[str, str], ...]:
        grid = GRIDS[layer, strategy]
        return tuple((told(layer, "clean", strategy, eps), told(layer, "DDN", strategy, eps)) for eps in grid)

    return CurveAbove(f"layer {layer}, {above}", f"layer {layer}, {than}", points(above), points(than))


CLAIMS = (
    Claim(
        "A strategy helps layer 1: clean and attacked images are answered better than with the plain one",
        "section 6.4.3",
        tuple(Larger(told("1", kind, "linf", 0.17), told("1", kind)) for kind in ("clean", "DDN")),
        "an epsilon is in units of the features, which differ between networks",
    ),
    Claim(
        "In the image strategies hardly help: within one point of the plain one",
        "section 6.4.3",
        (Larger(told("0", "DDN"), told("0", "DDN", "linf", 0.1), by=-0.01),),
    ),
    Claim(
        "No strategy dominates: in one of the two layers each is below another at equal clean accuracy",
        "section 6.4.3",
        tuple(
            AnyOf(
                tuple(compared(layer, other, strategy) for layer in BOOKS for other in STRATEGIES if other != strategy)
            )
            for strategy in STRATEGIES
        ),
    ),
)

register_experiment("fig6.7", "Figure 6.7: strategies over epsilon", cells, settings, panels=panels, claims=CLAIMS)
