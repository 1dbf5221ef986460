"""The data sets of the chapter with their printed parameters, and the attacks on them by the names of its tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vauban.attacks.fixed_budget.apgd import APGD
from vauban.attacks.fixed_budget.bim import BIM
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.minimal.bp import BP
from vauban.attacks.minimal.cw_l2 import CW
from vauban.attacks.minimal.ddn import DDN
from vauban.attacks.minimal.deepfool import DeepFool
from vauban.attacks.minimal.fmn import FMN
from vauban.attacks.minimal.sapper import Sapper
from vauban.attacks.minimal.vanguard import Vanguard
from vauban.core.losses import cross_entropy, margin
from vauban.core.norms import L2, Linf
from vauban.engine import Attack, Bisection
from vauban.reproduce.declarations import Craft, Scale, WeightedNetwork
from vauban.reproduce.papers.printed_variants import PRINTED_BP, PRINTED_DDN

IFGSM_STEP = 0.08
SEARCH = 5  # values of a searched constant or radius, as in the printed 5 x 20 of C&W
IN_A_BALL = ("FGSM", "I-FGSM", "PGD2")
ROUNDED_LATER = (*IN_A_BALL, "C&W")

Runs = tuple[Craft, ...]
"""All runs of an attack: one, or one for each radius of those in a ball."""


@dataclass(frozen=True)
class DataSetting:
    """A data set of the chapter.

    Attributes:
        name: as in the names of experiments.
        printed: as in the chapter's tables.
        d_upp: the distance of P_upp.
        carlini: learning rate and constant of C&W by printed number of iterations.
        pgd2_step: the absolute alpha of PGD2, None for half the radius.
        linf: the least and the largest radius of FGSM and I-FGSM.
        l2: the least and the largest radius of PGD2.
    """

    name: str
    printed: str
    d_upp: float
    carlini: Mapping[str, tuple[float, float]]
    pgd2_step: float | None
    linf: tuple[float, float]
    l2: tuple[float, float]


MNIST = DataSetting("mnist", "MNIST", 2, {"5x20": (0.5, 1), "1x100": (0.1, 10)}, None, (0.02, 0.8), (0.25, 8))
CIFAR10 = DataSetting(
    "cifar10", "CIFAR10", 0.7, {"5x20": (0.1, 0.1), "1x100": (0.01, 1)}, None, (1 / 255, 0.3), (0.05, 4)
)
IMAGENET = DataSetting("imagenet", "ImageNet", 1, {"5x20": (0.01, 20), "1x100": (0.01, 1)}, 3, (1 / 255, 0.1), (0.1, 8))
DATA = (MNIST, CIFAR10, IMAGENET)


def tiny(scale: Scale) -> bool:
    """Whether the scale is a trial of the code, which a few steps serve."""
    return scale.data.startswith("colours")


def steps(n: int, scale: Scale) -> int:
    """n gradients as printed; at scale smoke 2 or 3."""
    return min(n, 2 + n // 100) if tiny(scale) else n


def radii(span: tuple[float, float], scale: Scale) -> list[float]:
    """The geometric set of eps: 20 on a whole test set, 8 on a part of one, 5 on a part of ImageNet, 2 at scale smoke."""
    count = 20 if "[" not in scale.data else 2 if tiny(scale) else 5 if scale.data.startswith("imagenet") else 8
    low, high = span
    return [low * (high / low) ** (i / (count - 1)) for i in range(count)]


def fgsm(data: DataSetting, n: int, scale: Scale) -> list[Attack]:
    return [FGSM(Linf(eps)) for eps in radii(data.linf, scale)]


def ifgsm(data: DataSetting, n: int, scale: Scale) -> list[Attack]:
    return [BIM(Linf(eps), steps(n, scale), IFGSM_STEP / eps) for eps in radii(data.linf, scale)]


def pgd2(data: DataSetting, n: int, scale: Scale) -> list[Attack]:
    """Steps of eps / 2, or of the data set's own length, without a random start."""
    share = [0.5 if data.pgd2_step is None else data.pgd2_step / eps for eps in radii(data.l2, scale)]
    sizes = zip(radii(data.l2, scale), share, strict=True)
    return [PGD(L2(eps), steps(n, scale), alpha, random_start=False) for eps, alpha in sizes]


def carlini(data: DataSetting, iterations: str, scale: Scale) -> list[Attack]:
    """C&W at "5x20" or "1x100"; another number n of gradients is 5 values of c with n / 5 steps each."""
    rate, c = data.carlini[iterations if iterations in data.carlini else "5x20"]
    rounds, each = map(int, iterations.split("x")) if "x" in iterations else (SEARCH, int(iterations) // SEARCH)
    return [CW(min(rounds, 2) if tiny(scale) else rounds, steps(each, scale), rate, c)]


def bp(n: int, scale: Scale, **options: object) -> BP:
    """Boundary projection as printed, with alpha = 2, gamma_min = 0.7, beta_min = 0.1."""
    return BP(steps=steps(n, scale), **{"retreat": False, **PRINTED_BP, **options})


def apgd(data: DataSetting, n: int, scale: Scale) -> Attack:
    """APGD as an attack of minimal norm: its radius searched per image, n gradients in all."""
    each = APGD(L2(data.d_upp), steps(n // SEARCH, scale), cross_entropy, random_start=False)
    return Bisection(each, "eps", data.d_upp, rounds=2 if tiny(scale) else SEARCH, growth=2)


FURTHER: Mapping[str, Callable[[DataSetting, int, Scale], Attack]] = {
    "DDN, annealed": lambda data, n, scale: DDN(steps=steps(n, scale)),
    "BP, OUT with retreat": lambda data, n, scale: bp(n, scale, retreat=True),
    "BP, margin loss": lambda data, n, scale: bp(n, scale, loss=margin),
    "FMN": lambda data, n, scale: FMN(steps=steps(n, scale), state="free"),
    "APGD, radius searched": apgd,
    "DeepFool": lambda data, n, scale: DeepFool(steps=n // 10, classes=3 if tiny(scale) else 10),
    "Sapper": lambda data, n, scale: Sapper(steps=steps(n, scale)),
    "Vanguard": lambda data, n, scale: Vanguard(steps=steps(n, scale)),
}
"""Attacks beyond the paper's, in every table and curve, by the total number n of gradients; DeepFool takes 10 in each of
its n / 10 steps."""


def attacks(name: str, iterations: str, data: DataSetting, scale: Scale) -> list[Attack]:
    """The attacks of a printed row: one for each eps of those in a ball."""
    if name == "C&W":
        return carlini(data, iterations, scale)
    n = int(iterations)
    in_a_ball = {"FGSM": fgsm, "I-FGSM": ifgsm, "PGD2": pgd2}
    if name in in_a_ball:
        return in_a_ball[name](data, n, scale)
    if name in ("DDN", "BP"):
        return [DDN(steps=steps(n, scale), **PRINTED_DDN) if name == "DDN" else bp(n, scale)]
    return [FURTHER[name](data, n, scale)]


def crafts(
    name: str, iterations: str, data: DataSetting, scale: Scale, role: str = "network", quantised: bool = True
) -> Runs:
    """The runs of an attack against a network; attacks in a ball hand over their last iterate.

    Args:
        name: as in the tables, or one of FURTHER.
        iterations: as in the tables: a number of gradients, or constants x gradients of C&W.
        data: the data set.
        scale: how much is run.
        role: the network attacked.
        quantised: saved on 8 bits; DDN, BP and the attacks beyond the paper's then round every query, the others only the
            image they hand over.
    """
    grid = 256 if quantised and name not in ROUNDED_LATER else None
    return tuple(
        Craft(
            attack,
            (WeightedNetwork(role),),
            targeted=False,
            grid=grid,
            keep="last" if name in IN_A_BALL else "best",
            saved="png" if quantised else "float",
        )
        for attack in attacks(name, iterations, data, scale)
    )


def compared(n: int, data: DataSetting, scale: Scale, role: str = "network", quantised: bool = True) -> dict[str, Runs]:
    """The attacks of Figures 5.4 to 5.6 at n gradients, C&W at 100 alone as there, and those beyond them."""
    carlini_at = {"C&W": "5x20"} if n == 100 else {}
    others = dict.fromkeys(("DDN", "BP", *FURTHER), str(n))
    iterations = {"I-FGSM": str(n), "PGD2": str(n), **carlini_at, **others}
    return {name: crafts(name, printed, data, scale, role, quantised) for name, printed in iterations.items()}
