"""Beyond the paper: a keyed network against what its attacker knows and asks, from nothing of the key to all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vauban.attacks.blackbox.hopskipjump import HopSkipJump
from vauban.attacks.blackbox.square import Square
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.engine import Attack
from vauban.reproduce.claims import FEW, Claim, Larger
from vauban.reproduce.declarations import Craft, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Panel, Sweep
from vauban.reproduce.papers.keyed.networks import CLASSICAL, OWN, PERMUTED, SMOKE, TABLES, paper, role, small
from vauban.reproduce.papers.keyed.setting import NOTES, SOURCE, error, made_on
from vauban.reproduce.registry import register
from vauban.reproduce.training_seeds import trained_again

EPSILONS = (0.05, 0.1, 0.2, 0.3)
NETWORK = TABLES[0]
TARGET, PLAIN, MINE = (role(NETWORK, kind) for kind in (PERMUTED, CLASSICAL, OWN))
KNOWN = {
    "nothing of the key, the classical network": (PLAIN,),
    "nothing of the key, one network behind a key of the attacker's": (MINE,),
    "nothing of the key, the classical network and two behind other keys": (PLAIN, MINE, trained_again(MINE)),
    "another key of the fleet": (trained_again(TARGET),),
    "the key (leaked)": (TARGET,),
}
"""What is known, and the networks whose gradients follow from it."""
SQUARE, LABELS = "scores, {} queries of Square", "labels, HopSkipJump"


def crafts(eps: float, scale: Scale, target: str = TARGET) -> Mapping[str, Craft]:
    """The images that each attacker makes of a keyed network, or of one in the clear.

    Args:
        eps: L-infinity radius, pixel units.
        scale: For shorter attacks on a few images.
        target: Whose answers are asked for.
    """
    few = scale.images < FEW
    pgd: Attack = PGD(Linf(eps), steps=3 if few else 40, rel_stepsize=0.1, loss=cross_entropy)
    by_gradient = {known: made_on(pgd, sources) for known, sources in KNOWN.items()}
    by_scores = {
        SQUARE.format(n): made_on(Square(Linf(eps), steps=10 if few else n), [target], keep="best") for n in (500, 2000)
    }
    walk = HopSkipJump(2 if few else 10, Linf, queries=10 if few else 50, tries=20)
    return {**by_gradient, **by_scores, LABELS: replace(made_on(walk, [target], keep="best"), clip=eps)}


def label(known: str, eps: float) -> str:
    return f"{known}, eps {eps:g}"


def cells(scale: Scale) -> list[TableCell]:
    """The error of the keyed network under each attacker and radius, and of one in the clear under its own gradients."""
    made = [error(None, TARGET, "keyed, clean images"), error(None, PLAIN, "without a key, clean images")]
    for eps in EPSILONS:
        made += [error(craft, TARGET, label(known, eps)) for known, craft in crafts(eps, scale).items()]
        bare = PGD(Linf(eps), steps=3 if scale.images < FEW else 40, rel_stepsize=0.1, loss=cross_entropy)
        made.append(error(made_on(bare, [PLAIN]), PLAIN, label("without a key, its own gradients", eps)))
    return made


def panels(scale: Scale) -> list[Panel]:
    by_label = {cell.label: cell for cell in cells(scale)}
    names = [*crafts(EPSILONS[0], scale), "without a key, its own gradients"]
    curves = {name: [(eps, by_label[label(name, eps)]) for eps in EPSILONS] for name in names}
    return [Sweep("Error by what the attacker knows", "eps", "classification error", curves)]


CLAIMS = (
    Claim(
        "The defence is effective in the black-box case too: labels fool no more than the classical network's images",
        "abstract; not tested in the paper",
        (Larger(label("nothing of the key, the classical network", 0.1), label(LABELS, 0.1), by=-0.02),),
    ),
    Claim(
        "What is left is owed to the secret: with the key the network is no more robust than one without",
        "Kerckhoffs' principle",
        (Larger(label("the key (leaked)", 0.1), label("without a key, its own gradients", 0.1), by=-0.05),),
    ),
)


@register("keyed-kerckhoffs-mnist")
def kerckhoffs() -> Experiment:
    """A keyed network against what its attacker knows and asks, MNIST."""
    return Experiment(
        "keyed-kerckhoffs-mnist",
        "Beyond the paper: a keyed network against what its attacker knows and asks, MNIST",
        SOURCE,
        cells,
        {"smoke": SMOKE, "small": small("mnist"), "paper": paper("mnist")},
        None,
        notes=(
            *NOTES,
            "PGD has 40 steps of a tenth of eps; HopSkipJump about 1500 queries, its image clipped to the ball.",
        ),
        panels=panels,
        claims=CLAIMS,
    )
