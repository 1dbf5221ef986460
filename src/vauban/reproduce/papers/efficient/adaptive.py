"""Beyond the paper: its defences under an attacker who knows them, by five attacks and the strongest of them per image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from vauban.attacks.blackbox.hopskipjump import HopSkipJump
from vauban.attacks.blackbox.square import Square
from vauban.attacks.fixed_budget.apgd import APGD
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.losses import cross_entropy, margin
from vauban.core.norms import Linf
from vauban.engine import Attack, Restarts
from vauban.reproduce.claims import FEW, Claim, Larger
from vauban.reproduce.declarations import Craft, Judge, Scale, TableCell, WeightedNetwork
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.efficient.networks import FEW_DEFENCES
from vauban.reproduce.papers.efficient.scales import names_of, variant_scales
from vauban.reproduce.papers.efficient.setting import SOURCE, clean_cells
from vauban.reproduce.registry import register
from vauban.reproduce.training_seeds import trained_again

EPSILONS = {"mnist": (0.1, 0.3), "cifar10": (4 / 255, 8 / 255)}
"""L-infinity radii: the paper's 0.1 and that of the adversarial training on MNIST, those of the field on CIFAR-10."""
RULES = "APGD, the cards' rules"
ATTACKS = ("APGD", RULES, "Square", "HopSkipJump", "transfer")


def attacks(eps: float, few: bool) -> dict[str, Attack]:
    """The attacks by name, shorter on a few images.

    Args:
        eps: L-infinity radius, pixel units.
        few: Whether the experiment is a trial of the code.
    """
    apgd = Restarts(APGD(Linf(eps), steps=3 if few else 50, loss=margin), 2 if few else 5)
    return {
        "APGD": apgd,
        RULES: apgd,
        "Square": Square(Linf(eps), steps=10 if few else 1000),
        "HopSkipJump": HopSkipJump(2 if few else 8, Linf, queries=10 if few else 50, tries=20),
        "transfer": PGD(Linf(eps), steps=3 if few else 40, rel_stepsize=0.1, loss=cross_entropy),
    }


def craft(attack: str, name: str, eps: float, scale: Scale) -> Craft:
    """What an attack of ATTACKS makes of a variant."""
    source = WeightedNetwork(
        trained_again(name) if attack == "transfer" else name, bpda="card" if attack == RULES else "none"
    )
    made = Craft(attacks(eps, scale.images < FEW)[attack], (source,), targeted=False, keep="best", saved="float")
    if attack == "transfer":
        return replace(made, keep="last")
    return replace(made, clip=eps) if attack == "HopSkipJump" else made


def tried(name: str) -> Iterable[str]:
    """The attacks that are run on a variant: those of the cards where its edits bring some."""
    return (attack for attack in ATTACKS if attack != RULES or "BRELU" in name)


def label(name: str, attack: str, eps: float) -> str:
    return f"{name}, eps {eps:.3g}: fooled by {attack}"


def cells_of(data: str, scale: Scale) -> list[TableCell]:
    """The accuracy of each variant on clean images, and how many images each attack and all together fool."""
    made = clean_cells(scale)
    for name in names_of(scale):
        for eps in EPSILONS[data]:
            crafts = {attack: craft(attack, name, eps, scale) for attack in tried(name)}
            judge = Judge((name,))
            made += [TableCell(one, judge, "P_suc", {}, label(name, attack, eps)) for attack, one in crafts.items()]
            first, *others = crafts.values()
            made.append(TableCell(first, judge, "P_suc", {}, label(name, "any of them", eps), tuple(others)))
    return made


def claims_of(data: str) -> tuple[Claim, ...]:
    """What the paper's conclusion says, under this attacker; the signs that gradients are masked."""
    small, names = EPSILONS[data][0], ("GDA+RELU", "GDA+BRELU")
    against = [
        Claim(
            f"At eps {eps:.3g} Gaussian augmentation is harder to fool than the CNN without a defence",
            "section 5, under another attacker than the paper's",
            tuple(Larger(label("CNN", "any of them", eps), label(name, "any of them", eps)) for name in names),
        )
        for eps in EPSILONS[data]
    ]
    signs = [
        Claim(
            f"{name}: {other} fools no more than two points more images than APGD",
            "a sign that gradients are masked where it does not hold",
            (Larger(label(name, "APGD", small), label(name, other, small), by=-0.02),),
        )
        for name in FEW_DEFENCES
        for other in ("Square", "HopSkipJump", "transfer")
    ]
    return (*against, *signs)


def adaptive(data: str, title: str, minutes: float) -> Experiment:
    """The experiment on one of the two data sets.

    Args:
        data: "mnist" or "cifar10".
        title: What the data are called.
        minutes: Of the attacks with one training seed.
    """
    scales = variant_scales(data, minutes)
    scales["smoke"] = replace(scales["smoke"], training_seeds=(0, 1))
    scales["small"] = replace(
        scales["small"],
        images=100,
        training_seeds=(0, 1, 2),
        note=f"{scales['small'].note}; 100 of them, three seeds",
        minutes=round(scales["small"].minutes / len(scales["small"].training_seeds) * 3, 1),
    )
    for name in scales.keys() & {"paper", "preact"}:
        scales[name] = replace(scales[name], images=1000, training_seeds=(0, 1))
    return Experiment(
        f"efficient-adaptive-{data}",
        f"Beyond the paper: its defences under an attacker who knows them, {title}",
        SOURCE,
        lambda scale: cells_of(data, scale),
        scales,
        None,
        notes=(
            "APGD: 5 restarts of 50 steps on the margin, by the network's own gradients; with the cards' rules the bounded "
            "ReLU has slope 0.1 outside its bounds. Square: 1000 queries. HopSkipJump: labels alone, about 1000 queries, "
            "its nearest image clipped to the ball. Transfer: PGD-40 made on the same architecture, trained with the same "
            "recipe and another seed. Of the images that are labelled right; attacked images are not rounded.",
        ),
        claims=claims_of(data),
    )


@register("efficient-adaptive-mnist")
def adaptive_mnist() -> Experiment:
    """The defences under an attacker who knows them, MNIST."""
    return adaptive("mnist", "MNIST", 6)


@register("efficient-adaptive-cifar10")
def adaptive_cifar10() -> Experiment:
    """The defences under an attacker who knows them, CIFAR-10."""
    return adaptive("cifar10", "CIFAR-10", 8)
