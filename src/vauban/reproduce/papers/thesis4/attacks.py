"""The attacks of the chapter with its parameters, for every size of image, by the names of its tables."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from vauban.attacks.fixed_budget.bim import BIM
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.minimal.bp import BP
from vauban.attacks.minimal.cw_l2 import CW
from vauban.attacks.minimal.ddn import DDN
from vauban.attacks.smooth.bp import SmoothBP
from vauban.attacks.smooth.ddn import SmoothDDN
from vauban.attacks.smooth.qpgd2 import QPGD2
from vauban.attacks.smooth.scw import SCW
from vauban.attacks.universal.uap import Universal
from vauban.core.losses import margin
from vauban.core.norms import L2, Linf
from vauban.engine import Attack
from vauban.laplacian.smoothing import DIGITS, PHOTOGRAPHS
from vauban.reproduce.declarations import Craft, FitOnUse, Scale, WeightedNetwork
from vauban.reproduce.papers.printed_variants import PRINTED_BP, PRINTED_DDN

PAPER = ("FGSM", "I-FGSM", "PGD2", "C&W", "qPGD2", "sC&W")
IN_A_BALL = ("FGSM", "I-FGSM", "PGD2", "qPGD2")
PENALISED = ("C&W", "sC&W")
SMOOTH = ("qPGD2", "sC&W")
RIVALS = ("DDN", "smooth DDN", "BP", "smooth BP")
SIDE = 299  # of the images that the paper's distances on ImageNet are printed for
STEP_LINF, STEP_L2 = 0.08, 3 / 5  # of I-FGSM, on an epsilon of 0.3 or 0.1255; of PGD2, relative to its epsilon of 5

FITTING_DATA = {
    "colours": "colours/test[:4]:seed=11",
    "cifar10": "cifar10/train[:500]",
    "imagenet": "imagenet/val1000[20:1000:20]:crop=227",
    "nips2017": "imagenet/train[::128]:size=299,crop=299",
}
"""Images to fit a universal perturbation on, none of which is attacked: 4, 500, 49, and about the 10000 of its paper."""


Runs = tuple[Craft, ...]
"""All runs of an attack: one, or one for each radius of those inside a ball."""


@dataclass(frozen=True)
class AttackParameters:
    """The parameters of the attacks on the images of one data set, and how much is spent on them.

    Attributes:
        side: pixels.
        channels: 1 or 3.
        radii: number of radii of an attack inside a ball.
        steps: gradients of each of its runs.
        search: constants of C&W.
        inner: gradients for each constant.
        long: gradients of the attacks beyond the paper.
        shape: of the kernel of the graph.
    """

    side: int
    channels: int
    radii: int
    steps: int
    search: int
    inner: int
    long: int = 100
    shape: Literal["gaussian", "laplacian"] = "gaussian"

    @property
    def grey(self) -> bool:
        return self.channels == 1

    @property
    def unit(self) -> float:
        """The L2 distance that stands for 1 on the paper's images: on photographs in proportion to the side."""
        return 1.0 if self.grey else self.side / SIDE

    @property
    def smoothing(self) -> dict[str, Any]:
        """alpha and the graph."""
        alpha, kernel = (0.95, DIGITS) if self.grey else (0.997, PHOTOGRAPHS)
        return {"smoothness": alpha, "rate": kernel.rate, "shape": self.shape}

    @property
    def carlini(self) -> dict[str, Any]:
        """Margin, constant and rate of C&W, section 4.4.1."""
        c, kappa = (15.0, 1.0) if self.grey else (100.0, 0.0)
        return {"c": c, "kappa": kappa, "lr": 0.1}


PARAMETERS = {
    "digits": AttackParameters(8, 1, 2, 3, 2, 3, 4),
    "colours": AttackParameters(32, 3, 2, 3, 2, 3, 4),
    "mnist": AttackParameters(28, 1, 20, 20, 5, 1000),
    "cifar10": AttackParameters(32, 3, 12, 20, 5, 100),
    "imagenet": AttackParameters(227, 3, 8, 20, 5, 40),
    "nips2017": AttackParameters(SIDE, 3, 20, 20, 5, 1000),
}


def parameters_of(scale: Scale) -> AttackParameters:
    """The parameters for the scale's data."""
    return next(parameters for name, parameters in PARAMETERS.items() if scale.data.startswith(name))


def geometric(low: float, high: float, n: int) -> list[float]:
    """n radii from low to high, each in the same proportion to the last."""
    return [low * (high / low) ** (i / (n - 1)) for i in range(n)]


def radii(name: str, parameters: AttackParameters) -> list[float]:
    """The sets of target distortions, not printed but for [1, 6] of PGD2 and qPGD2 on MNIST (Fig. 4.5).

    For the rest 20 values in geometric progression (fewer where time is short) that end at the printed epsilon, on
    photographs in L2 at 20, since 7.86 is a printed mean.
    """
    n = parameters.radii
    if name in ("FGSM", "I-FGSM"):
        return geometric(0.02, 0.3, n) if parameters.grey else geometric(1 / 255, 32 / 255, n)
    low, high = (1.0, 6.0) if parameters.grey else (0.5, 20.0)
    return [parameters.unit * radius for radius in geometric(low, high, n)]


def inside(name: str, radius: float, parameters: AttackParameters) -> Attack:
    """An attack inside a ball, along the margin, (2.19)."""
    if name == "FGSM":
        return FGSM(Linf(radius), loss=margin)
    if name == "I-FGSM":
        largest = 0.3 if parameters.grey else 32 / 255
        return BIM(Linf(radius), steps=parameters.steps, rel_stepsize=STEP_LINF / largest, loss=margin)
    if name == "PGD2":
        return PGD(L2(radius), steps=parameters.steps, rel_stepsize=STEP_L2, loss=margin, random_start=False)
    return QPGD2(**parameters.smoothing, ball=L2(radius), steps=parameters.steps, rel_stepsize=STEP_L2, loss=margin)


def minimal(name: str, parameters: AttackParameters, inner: int | None = None) -> Attack:
    """An attack that looks for the distance itself.

    Args:
        name: as in the tables.
        parameters: of the data.
        inner: gradients of C&W for each constant, None for those of the parameters.
    """
    search: dict[str, Any] = {
        "search_steps": parameters.search,
        "steps": parameters.inner if inner is None else inner,
        **parameters.carlini,
    }
    makers: dict[str, Callable[[], Attack]] = {
        "C&W": lambda: CW(**search),
        "sC&W": lambda: SCW(**parameters.smoothing, **search),
        "DDN": lambda: DDN(steps=parameters.long, **PRINTED_DDN),
        "smooth DDN": lambda: SmoothDDN(**parameters.smoothing, steps=parameters.long, **PRINTED_DDN),
        "BP": lambda: BP(steps=parameters.long, **PRINTED_BP),
        "smooth BP": lambda: SmoothBP(**parameters.smoothing, steps=parameters.long, **PRINTED_BP),
    }
    return makers[name]()


def crafts(
    name: str, parameters: AttackParameters, through: tuple[WeightedNetwork, ...], bits: Literal[8, 32] = 32
) -> Runs:
    """The runs of an attack.

    Args:
        name: as in the tables.
        parameters: of the data.
        through: the networks attacked.
        bits: 32 saves the images as they are, the chapter's attacks ending where they do; 8 rounds every query and the
            image that is saved, with at most 100 gradients for each constant of C&W.
    """
    rounding: dict[str, Any] = {"saved": "float"} if bits == 32 else {"grid": 256}
    if name in IN_A_BALL:
        attacks = [inside(name, radius, parameters) for radius in radii(name, parameters)]
        return tuple(Craft(attack, through, targeted=False, **rounding) for attack in attacks)
    attack = minimal(name, parameters, None if bits == 32 else min(parameters.inner, 100))
    return (Craft(attack, through, targeted=False, keep="best", **rounding),)


def universal(scale: Scale, through: tuple[WeightedNetwork, ...]) -> Runs:
    """The run of a universal perturbation at its paper's radius on ImageNet, fitted on images that the scale leaves out."""
    data = next(spec for name, spec in FITTING_DATA.items() if scale.data.startswith(name))
    fitter = Universal(Linf(10 / 255), epochs=2 if data.startswith("colours") else 10)
    return (Craft(FitOnUse(fitter, data), through, targeted=False, saved="float"),)


def transfer_radius(target: float, parameters: AttackParameters) -> tuple[float, float]:
    """L-infinity and L2 radii of a target distortion of about 5 or 10: 0.01 or 0.02 on every component, as L2 distance
    sqrt(components) times that, 5.18 and 10.36 on the paper's images."""
    size = target / 5 * 0.01
    return size, size * math.sqrt(parameters.channels) * parameters.side


def at_distortion(name: str, target: float, parameters: AttackParameters, through: tuple[WeightedNetwork, ...]) -> Runs:
    """One run at a target distortion: no choice for each image; C&W and sC&W have none."""
    if name in PENALISED:
        return crafts(name, parameters, through)
    size, distance = transfer_radius(target, parameters)
    attack = inside(name, size if name in ("FGSM", "I-FGSM") else distance, parameters)
    return (Craft(attack, through, targeted=False, saved="float"),)
