"""Beyond the paper: a keyed network against attackers who ask it, by how much they ask."""

from __future__ import annotations

from collections.abc import Mapping

from vauban.attacks.blackbox.boundary import BoundaryAttack
from vauban.attacks.blackbox.hopskipjump import HopSkipJump
from vauban.attacks.blackbox.nes import NES
from vauban.attacks.blackbox.one_pixel import OnePixel
from vauban.attacks.blackbox.rays import RayS
from vauban.attacks.blackbox.square import Square
from vauban.attacks.blackbox.zoo import ZOO
from vauban.core.norms import Linf
from vauban.engine import Attack
from vauban.reproduce.claims import FEW, Claim, Larger
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Panel, Sweep
from vauban.reproduce.papers.keyed.attacks import AS_ACCURATE, PLAIN, TARGET, pgd
from vauban.reproduce.papers.keyed.setting import error, experiment, made_on
from vauban.reproduce.registry import register

EPS = 0.1
"""L-infinity radius; the image of an attack that looks for the nearest one is clipped to it."""
MOST = {"smoke": (10, 20), "small": (100, 300, 1000), "paper": (100, 300, 1000, 3000, 10_000)}
"""Questions for each image."""
KEYED, BARE = "keyed", "without a key, as accurate"
BOTH = ("square", "hopskipjump")
"""Attacks that are run on the network without a key too."""
CLEAN, TRANSFER = "clean images", "images of the classical network"


def budgets(scale: Scale) -> tuple[int, ...]:
    return MOST["smoke" if scale.images < FEW else "paper" if scale.images >= 1000 else "small"]


def attacks(scale: Scale) -> Mapping[str, tuple[Attack, float | None]]:
    """The attacks by name, each with the bound that its image is clipped to; a budget ends them."""
    most, few = budgets(scale)[-1], scale.images < FEW
    return {
        "square": (Square(Linf(EPS), steps=most), None),
        "nes": (NES(Linf(EPS), steps=most, pairs=5 if few else 20, lot=20), None),
        "zoo": (ZOO(1, most, coordinates=4 if few else 16, lr=0.1, c=10.0), EPS),
        "one-pixel": (OnePixel(most, population=5 if few else 50, lot=50), None),
        "rays": (RayS(steps=most), EPS),
        "hopskipjump": (HopSkipJump(33, Linf, queries=5 if few else 50, tries=5 if few else 20), EPS),
        "boundary": (BoundaryAttack(most, tries=5 if few else 20), EPS),
    }


def label(judge: str, attack: str, questions: int) -> str:
    return f"{judge}: {attack}, {questions} questions"


def curves(scale: Scale) -> dict[str, list[tuple[float, TableCell]]]:
    """The error over the questions asked for each image."""
    drawn = {}
    for name, network in ((KEYED, TARGET), (BARE, AS_ACCURATE)):
        for attack, (made, clip) in attacks(scale).items():
            if name == KEYED or attack in BOTH:
                drawn[f"{name}: {attack}"] = [
                    (
                        float(n),
                        error(
                            made_on(made, [network], keep="best", clip=clip, budget=n), network, label(name, attack, n)
                        ),
                    )
                    for n in budgets(scale)
                ]
    return drawn


def cells(scale: Scale) -> list[TableCell]:
    """Clean errors and those of images of the classical network, which ask nothing; then those over questions."""
    made = []
    for name, network in ((KEYED, TARGET), (BARE, AS_ACCURATE)):
        made.append(error(None, network, f"{name}: {CLEAN}"))
        made.append(error(made_on(pgd(EPS, scale), [PLAIN]), network, f"{name}: {TRANSFER}"))
    return made + [cell for points in curves(scale).values() for _, cell in points]


def panels(scale: Scale) -> list[Panel]:
    return [
        Sweep(
            f"Error by questions asked, eps {EPS:g}", "questions for each image", "classification error", curves(scale)
        )
    ]


def claims(most: int) -> tuple[Claim, ...]:
    """What the paper says of who asks only, with a budget."""
    return (
        Claim(
            "The defence is effective in the black box too: labels fool no more than the classical network's images do",
            "abstract; not tested in the paper",
            (Larger(f"{KEYED}: {TRANSFER}", label(KEYED, "hopskipjump", most), by=-0.02),),
        ),
        Claim(
            "Nor do scores",
            "abstract, section 2.2: attacks without gradients",
            tuple(Larger(f"{KEYED}: {TRANSFER}", label(KEYED, name, most), by=-0.02) for name in ("square", "nes")),
        ),
        Claim(
            "A key makes the network harder to fool by questions than one without that is as accurate",
            "section 3, information advantage of the defender",
            tuple(Larger(label(BARE, name, most), label(KEYED, name, most)) for name in BOTH),
        ),
    )


@register("keyed-queries-mnist")
def queries() -> Experiment:
    """A keyed network against attackers who ask it, MNIST."""
    return experiment(
        "queries",
        "mnist",
        "Beyond the paper: a keyed network against attackers who ask it",
        35,
        cells,
        images=60,
        notes=(
            "Square, NES and ZOO ask for scores, RayS, HopSkipJump and the boundary attack for labels; one-pixel asks for "
            "scores, changes one pixel by whatever it likes and has no eps. The image of ZOO, RayS, HopSkipJump and "
            "boundary is the nearest that was found, clipped to eps.",
        ),
        panels=panels,
        claims=claims(MOST["small"][-1]),
    )
