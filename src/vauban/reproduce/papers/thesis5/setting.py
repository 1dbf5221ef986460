"""What the tables of the chapter share: the three data sets with their printed parameters, and the attacks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from vauban.core.losses import margin
from vauban.core.norms import L2, Linf
from vauban.engine import Attack, Bisection
from vauban.reproduce.declarations import Scale

SOURCE = "H. Zhang, Deep learning in adversarial context, thesis, Rennes 2021, chapter 5"
IFGSM_STEP = 0.08
SEARCH = 5  # values of a searched constant or radius, as in the printed 5 x 20 of C&W


@dataclass(frozen=True)
class DataSetting:
    """A data set of the chapter, `printed` as in its tables.

    d_upp: the distance of P_upp. carlini: learning rate and constant by printed number of iterations. pgd2_step: the
    absolute alpha of PGD2, None for half the radius. linf, l2: the least and the largest radius of the attacks in a ball.
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


def fgsm(here: DataSetting, n: int, scale: Scale) -> list[Attack]:
    return [FGSM(Linf(eps)) for eps in radii(here.linf, scale)]


def ifgsm(here: DataSetting, n: int, scale: Scale) -> list[Attack]:
    return [BIM(Linf(eps), steps(n, scale), IFGSM_STEP / eps) for eps in radii(here.linf, scale)]


def pgd2(here: DataSetting, n: int, scale: Scale) -> list[Attack]:
    """Steps of eps / 2, or of the data set's own length, without a random start."""
    share = [0.5 if here.pgd2_step is None else here.pgd2_step / eps for eps in radii(here.l2, scale)]
    sizes = zip(radii(here.l2, scale), share, strict=True)
    return [PGD(L2(eps), steps(n, scale), alpha, random_start=False) for eps, alpha in sizes]


def carlini(here: DataSetting, iterations: str, scale: Scale) -> list[Attack]:
    """C&W at "5x20" or "1x100"; another number n of gradients is 5 values of c with n / 5 steps each."""
    known = iterations if iterations in here.carlini else "5x20"
    rate, c = here.carlini[known]
    rounds, each = map(int, iterations.split("x")) if "x" in iterations else (SEARCH, int(iterations) // SEARCH)
    return [CW(min(rounds, 2) if tiny(scale) else rounds, steps(each, scale), rate, c)]


def bp(n: int, scale: Scale, **options: object) -> BP:
    """Boundary projection as printed, with alpha = 2, gamma_min = 0.7, beta_min = 0.1."""
    return BP(steps=steps(n, scale), **{"retreat": False, **options})  # type: ignore[arg-type]


def apgd(here: DataSetting, n: int, scale: Scale) -> Attack:
    """APGD as an attack of minimal norm: its radius searched per image, n gradients in all."""
    each = APGD(L2(here.d_upp), steps=steps(n // SEARCH, scale), random_start=False)
    return Bisection(each, "eps", here.d_upp, rounds=2 if tiny(scale) else SEARCH, growth=2)


Rival = Callable[[DataSetting, int, Scale], Attack]
RIVALS: Mapping[str, Rival] = {
    "BP, OUT with retreat": lambda here, n, scale: bp(n, scale, retreat=True),
    "BP, margin loss": lambda here, n, scale: bp(n, scale, loss=margin),
    "FMN": lambda here, n, scale: FMN(steps=steps(n, scale)),
    "APGD, radius searched": apgd,
    "DeepFool": lambda here, n, scale: DeepFool(steps=n // 10, classes=3 if tiny(scale) else 10),
}
"""Attacks beyond the paper's, by the total number n of gradients; DeepFool takes 10 in each of its n / 10 steps."""

OURS: Sequence[tuple[str, Rival]] = (("Sapper", lambda here, n, scale: Sapper(steps=steps(n, scale))),)
"""Our attacks, as those of RIVALS: every table and curve has them."""


def attacks(name: str, iterations: str, here: DataSetting, scale: Scale) -> list[Attack]:
    """The runs of a printed row: one for each eps of the attacks in a ball."""
    if name == "C&W":
        return carlini(here, iterations, scale)
    n = int(iterations)
    runs = {"FGSM": fgsm, "I-FGSM": ifgsm, "PGD2": pgd2}
    if name in runs:
        return runs[name](here, n, scale)
    if name in ("DDN", "BP"):
        return [DDN(steps=steps(n, scale)) if name == "DDN" else bp(n, scale)]
    return [{**RIVALS, **dict(OURS)}[name](here, n, scale)]
