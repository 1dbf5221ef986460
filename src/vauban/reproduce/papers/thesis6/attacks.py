"""Attacks of the chapter on the undefended network, or through a defence by BPDA."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vauban.attacks.fixed_budget.bim import BIM
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.fixed_budget.random_noise import RandomNoise
from vauban.attacks.minimal.ddn import DDN
from vauban.core.losses import cross_entropy
from vauban.core.norms import L2, Linf
from vauban.engine import Attack
from vauban.reproduce.declarations import Craft, Path, Scale, WeightedNetwork
from vauban.reproduce.papers.printed_variants import PRINTED_DDN

EPSILONS = (0.0005, 0.001, 0.003, 0.005, 0.01, 0.03, 0.05, 0.08, 0.1)
"""Of FGSM, BIM and PGD, printed."""
RADII = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Of PGD in L2 through BPDA, not printed: D up to 12.89 shows large ones."""
SIGMA = 0.05
"""Of the noise, in pixels of [0,1]: the printed variance 0.05 on them would hurt far more than the printed accuracy."""
SIDES = {"colours": 3 * 32**2, "cifar10": 3 * 32**2, "mnist": 28**2, "imagenet/val1000:crop=227": 3 * 227**2}
"""Components of an image by the data's name, the longest name that fits; else those of 224 pixels."""

FEW = {"FGSM": (0.01, 0.1), "BIM": (0.1,), "PGD": (0.1,), "BPDA": (2.0,)}
"""At scale smoke."""

Runs = tuple[Craft, ...]


def trial(scale: Scale) -> bool:
    """Whether a scale is a trial of the code."""
    return scale.data.startswith("colours")


def steps(scale: Scale) -> int:
    return 2 if trial(scale) else 20


def ddn(scale: Scale) -> Attack:
    return DDN(steps=steps(scale), **PRINTED_DDN)


def pgd(scale: Scale, eps: float) -> Attack:
    return PGD(Linf(eps), steps=steps(scale), loss=cross_entropy)


def in_a_ball(scale: Scale) -> Mapping[str, Callable[[float], Attack]]:
    """The attacks of Table 6.2 inside a ball, by name, as functions of eps."""
    return {
        "FGSM": lambda eps: FGSM(Linf(eps), loss=cross_entropy),
        "BIM": lambda eps: BIM(Linf(eps), steps=steps(scale), loss=cross_entropy),
        "PGD": lambda eps: pgd(scale, eps),
    }


def craft(attack: Attack, role: str, path: tuple[Path, ...] = (), keep_best: bool = False, draws: int = 1) -> Craft:
    """An attack on a role behind a path, its image saved on 8 bits; through defences by the rules of their cards."""
    grid = 256 if keep_best else None
    through = (WeightedNetwork(role, path),)
    return Craft(attack, through, targeted=False, grid=grid, keep="best" if keep_best else "last", draws=draws)


def runs(name: str, scale: Scale, role: str = "network") -> Runs:
    """All runs of an attack of Table 6.2: one of DDN, one for each eps of the others."""
    if name == "DDN":
        return (craft(ddn(scale), role, keep_best=True),)
    made = in_a_ball(scale)[name]
    return tuple(craft(made(eps), role) for eps in (FEW[name] if trial(scale) else EPSILONS))


def bpda(scale: Scale, role: str, path: tuple[Path, ...] = (), draws: int = 1) -> Runs:
    """PGD in L2 and DDN through the defence, 20 iterations each, draws gradients averaged in each."""
    radii = FEW["BPDA"] if trial(scale) else RADII
    inside = [craft(PGD(L2(eps), steps=steps(scale), loss=cross_entropy), role, path, draws=draws) for eps in radii]
    return (craft(ddn(scale), role, path, keep_best=True, draws=draws), *inside)


def components(scale: Scale) -> int:
    return next((n for name, n in SIDES.items() if scale.data.startswith(name)), 3 * 224**2)


def noise(scale: Scale) -> Craft:
    """Gaussian noise of the length that it has in the mean."""
    return craft(RandomNoise(L2(SIGMA * components(scale) ** 0.5), steps=1), "network")
