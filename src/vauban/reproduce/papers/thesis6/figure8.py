"""Figure 6.8: accuracy on clean and on attacked images over the codewords of layer 1, behind patches of the image."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.figures import Panel
from vauban.reproduce.papers.thesis6.networks import FIRST, Base, Parts, PatchedLayer, base_of, role_of
from vauban.reproduce.papers.thesis6.setting import bare, clean_and_ddn, register_experiment, sweep

SHARES = (0.15, 0.2, 0.25, 0.3, 0.4)
"""117836, 157114, 196392, 235671 and 314228 of 785 568; the third is not in Table 6.1."""


def curves(base: Base) -> dict[str, list[tuple[float, Parts]]]:
    shares = SHARES[3:4] if base.sample < 1000 else SHARES
    return {"layer 1 after the image": [(share, (FIRST, PatchedLayer("1", share, 4))) for share in shares]}


def settings(base: Base) -> list[Parts]:
    return [(FIRST,), *(parts for points in curves(base).values() for _, parts in points)]


def cells(scale: Scale) -> list[TableCell]:
    return [*bare(scale), *(cell for parts in settings(base_of(scale)) for cell in clean_and_ddn(scale, parts))]


def panels(scale: Scale) -> list[Panel]:
    return [sweep("Layer 1, plain", "K as a share of the places", curves(base_of(scale)), scale)]


def ddn(share: float) -> str:
    return f"{role_of((FIRST, PatchedLayer('1', share, 4)))}; DDN"


CLAIMS = (
    Claim(
        "The accuracy under attack is not monotone in the codewords of the second layer",
        "section 6.4.4",
        (Larger(ddn(0.25), ddn(0.15)), Larger(ddn(0.25), ddn(0.4))),
        "here: a maximum inside the sweep",
    ),
)

register_experiment(
    "fig6.8", "Figure 6.8: codewords of layer 1 after the image", cells, settings, panels=panels, claims=CLAIMS
)
