"""Attacks of the paper and the radii of its curves."""

from __future__ import annotations

from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.r_fgsm import RFGSM
from vauban.attacks.fixed_budget.vat import VAT
from vauban.attacks.minimal.cw_l2 import CW
from vauban.attacks.minimal.deepfool import DeepFool
from vauban.attacks.minimal.incremental_fgsm import IncrementalFGSM
from vauban.attacks.minimal.jsma import JSMA
from vauban.core.losses import cross_entropy
from vauban.core.norms import L2, Linf
from vauban.engine import Attack
from vauban.reproduce.claims import FEW
from vauban.reproduce.declarations import Scale

EPSILONS = (0.01, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
"""Of the curves over epsilon; those on CIFAR-10 end at 0.3."""


def fgsm(eps: float) -> Attack:
    return FGSM(Linf(eps), loss=cross_entropy)


def random_fgsm(eps: float) -> Attack:
    """A step of 0.05 in a random direction of signs, then FGSM with the rest; half of eps each where that is below 0.05."""
    return RFGSM(Linf(eps), alpha=min(0.05, eps / 2), loss=cross_entropy)


ATTACKS = {"FGSM": fgsm, "Random+FGSM": random_fgsm}


def minimal_fgsm(scale: Scale) -> Attack:
    """FGSM in increments of 0.01 up to 1, until the label changes; ten increments on a few images."""
    return IncrementalFGSM(steps=100 if scale.images >= FEW else 10, loss=cross_entropy)


def epsilons(scale: Scale, most: float) -> tuple[float, ...]:
    """The radii of the curves up to `most`; the first and the last alone on a few images."""
    upto = tuple(eps for eps in EPSILONS if eps <= most)
    return upto if scale.images >= FEW else (upto[0], upto[-1])


def transfers(scale: Scale) -> dict[str, Attack]:
    """The attacks of Tables 4 and 5 by name; shorter on a few images."""
    few = scale.images < FEW
    return {
        "FGSM": fgsm(0.1),
        "Random+FGSM": random_fgsm(0.1),
        "VAT": VAT(L2(2.1)),
        "DeepFool": DeepFool(3 if few else 100),
        "JSMA": JSMA(3 if few else 250, theta=0.1, gamma=1.0),
        "C&W": CW(search_steps=1, steps=3) if few else CW(kappa=2.3, steps=200),
    }


TRANSFERRED = ("FGSM", "Random+FGSM", "VAT", "DeepFool", "JSMA", "C&W")
"""The attacks of Tables 4 and 5."""
