"""Networks of the paper, trained with each defence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.models.edits.brelu import BoundedActivations
from vauban.training.augmentation.mirror_shift import MirrorShift
from vauban.training.augmentation.noise import GaussianAugmentation
from vauban.training.augmentation.squeezing import Squeezing
from vauban.training.criteria.label_smoothing import LabelSmoothing
from vauban.training.objectives.adversarial import AdversarialTraining
from vauban.training.objectives.jacobian import JacobianPenalty
from vauban.training.objectives.standard import StandardTraining
from vauban.training.objectives.trades import Trades
from vauban.training.objectives.vat import VirtualTraining
from vauban.training.recipe import Recipe, RecipePart
from vauban.training.run import TrainingRun

BRELU = BoundedActivations(t=1.0)
PAPER = ("CNN", "FS", "LS", "AT", "VAT", "GDA+RELU", "GDA+BRELU")
"""The seven variants of the CNN that Figures 4 and 5 and Tables 2 to 5 compare."""
FEW_DEFENCES = ("CNN", "AT", "GDA+RELU", "GDA+BRELU")
"""Those that CIFAR-10 has at scale small."""
BEYOND = ("BRELU", "GDA+uniform", "AT, PGD", "TRADES", "Jacobian")
"""Defences that the paper does not measure beside them."""


def defences(data: str) -> Mapping[str, RecipePart | Recipe]:
    """The recipe of each variant of the CNN.

    FS is trained on squeezed images and has no squeezing in front; AT is the printed mixture, with alpha = 1/2, which the
    paper leaves open. AT with PGD is that mixture too: with PGD's images alone at 0.3 the CNN stays at chance.

    Args:
        data: "mnist" or "cifar10".
    """
    sigma, eps, bits = {"mnist": (0.3, 0.3, 1), "cifar10": (0.05, 0.05, 3)}[data]
    gda = GaussianAugmentation(sigma=sigma, n=10)
    pgd = PGD(Linf(eps), 7, rel_stepsize=0.25, loss=cross_entropy)
    return {
        "CNN": StandardTraining(),
        "FS": Squeezing(bits=bits),
        "LS": StandardTraining(criterion=LabelSmoothing(share=0.9)),
        "AT": AdversarialTraining(FGSM(Linf(eps), loss=cross_entropy), alpha=0.5),
        "VAT": VirtualTraining(eps=2.1),
        "GDA+RELU": gda,
        "GDA+BRELU": gda + BRELU,
        "BRELU": Recipe((BRELU,)),
        "GDA+uniform": replace(gda, noise="uniform"),
        "AT, PGD": AdversarialTraining(pgd, alpha=0.5),
        "TRADES": Trades(pgd),
        "Jacobian": JacobianPenalty(),
    }


def architectures() -> Mapping[str, tuple[str, RecipePart | Recipe]]:
    """The four networks of Figure 3 and Table 1: architecture and recipe."""
    return {
        f"{name}+{kind}": (model, StandardTraining() if kind == "RELU" else Recipe((BRELU,)))
        for name, model in (("CNN", "efficient-cnn"), ("ResNet", "efficient-resnet"))
        for kind in ("RELU", "BRELU")
    }


FOUR = tuple(architectures())
"""The roles of the four networks."""


def four_networks(run: TrainingRun, options: str) -> dict[str, TrainingRun]:
    """A training of each of the four networks.

    Args:
        run: Data and settings.
        options: Of the architecture, `channels=3,size=32`, empty for MNIST.
    """
    return {
        role: replace(run, model=f"{model}:{options}".rstrip(":"), recipe=recipe)
        for role, (model, recipe) in architectures().items()
    }


PREACT_RUN = TrainingRun(
    "preact-resnet-18",
    "cifar10/train",
    100,
    lr=0.1,
    optimiser="sgd",
    weight_decay=5e-4,
    schedule="cosine",
    holdout=0,
    minutes=9000,
)


def preact_variants() -> dict[str, TrainingRun]:
    """A training of each variant of PreActResNet-18 as papers on robust CIFAR-10 train it, images mirrored and shifted.

    The adversarial ones are trained at 8/255, and with the others noise is the paper's. Black-box attacks are made on the
    network without a defence.
    """
    at = AdversarialTraining(PGD(Linf(8 / 255), 10, rel_stepsize=0.25, loss=cross_entropy))
    trades = Trades(PGD(Linf(8 / 255), 10, rel_stepsize=0.25, loss=cross_entropy))
    recipes = {**defences("cifar10"), "AT, PGD": at, "TRADES": trades}
    runs = {name: replace(PREACT_RUN, recipe=recipe + MirrorShift()) for name, recipe in recipes.items()}
    return {**runs, "ResNet": replace(PREACT_RUN, recipe=MirrorShift())}


def variants(run: TrainingRun, data: str, names: Iterable[str], options: str) -> dict[str, TrainingRun]:
    """A training of each variant of the CNN, and of the ResNet that attacks of the black box are made on.

    Args:
        run: Data and settings.
        data: "mnist" or "cifar10", for the parameters of the defences.
        names: Of the variants.
        options: Of the architecture.
    """
    recipes = defences(data)
    model = f"efficient-cnn:{options}".rstrip(":")
    runs = {name: replace(run, model=model, recipe=recipes[name]) for name in names}
    return {**runs, "ResNet": replace(run, model=f"efficient-resnet:{options}".rstrip(":"))}
