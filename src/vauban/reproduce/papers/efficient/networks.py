"""Networks of the paper, trained with each defence, and the scales of its experiments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.models.edits.brelu import BoundedActivations
from vauban.reproduce.declarations import Scale
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
    paper leaves open.

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
        "AT, PGD": AdversarialTraining(pgd),
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


SMOKE = Scale(
    "colours/test:n=600[172:303:130]",
    {},
    2,
    (0,),
    0.2,
    "stand-in",
    "two made-up images, networks of an eighth of the maps trained on 24 images: a trial of the code",
    training_seeds=(0, 1),
)
SMOKE_RUN = TrainingRun("", "colours/train:n=24", 1, lr=1e-4, batch=12, holdout=0, minutes=0.01)
SMOKE_OPTIONS = "channels=3,size=32,width=0.125"
RUNS = {
    "mnist": TrainingRun("", "mnist/train[::6]", 4, holdout=0, minutes=0.3),
    "cifar10": TrainingRun("", "cifar10/train[::5]", 4, holdout=0, minutes=1.0),
}
"""Trainings of scale small: 10 000 images and 4 epochs, Adam at 1e-3, batches of 128."""
PRINTED_RUNS = {
    "mnist": TrainingRun("", "mnist/train", 20, holdout=0, minutes=30),
    "cifar10": TrainingRun("", "cifar10/train", 50, holdout=0, minutes=300),
}
OPTIONS = {"mnist": "", "cifar10": "channels=3,size=32"}
SMALL = {
    "mnist": Scale(
        "mnist/test[::10]",
        {},
        1000,
        (0,),
        0,
        "stand-in",
        "networks with half the maps, trained on 10 000 images for 4 epochs, with 6 seeds; every tenth test image",
        training_seeds=(0, 1, 2, 3, 4, 5),
    ),
    "cifar10": Scale(
        "cifar10/test[::20]",
        {},
        500,
        (0,),
        0,
        "stand-in",
        "trained on 10 000 images for 4 epochs, with 3 seeds; every twentieth test image",
        training_seeds=(0, 1, 2),
    ),
}
PRINTED = {
    name: Scale(f"{name}/test", {}, 10000, (0,), 0, "same", "as printed, epochs and batches ours: they are not printed")
    for name in ("mnist", "cifar10")
}


def timed(scale: Scale, recipes: dict[str, TrainingRun], crafting: float) -> Scale:
    """The scale with its trainings, and the minutes that they and the attacks take.

    Args:
        scale: How much is run.
        recipes: The trainings by role.
        crafting: Minutes of the attacks with one training seed.
    """
    seeds = max(1, len(scale.training_seeds))
    copies = {
        role: 11.0 if "gda" in str(run.recipe) else 3.0 if "attack" in str(run.recipe) else 1.0
        for role, run in recipes.items()
    }
    training = sum(copies[role] * run.minutes for role, run in recipes.items())
    return replace(scale, recipes=recipes, minutes=max(0.1, round(seeds * (training + crafting), 1)))


FOUR = tuple(architectures())
"""The roles of the four networks."""


def four_network_scales(crafting: float) -> dict[str, Scale]:
    """The scales of Table 1 and Figure 3.

    Args:
        crafting: Minutes of the attacks with one training seed.
    """
    half = "width=0.5"
    return {
        "smoke": timed(SMOKE, four_networks(SMOKE_RUN, SMOKE_OPTIONS), 0),
        "small": timed(SMALL["mnist"], four_networks(RUNS["mnist"], half), crafting),
        "paper": timed(PRINTED["mnist"], four_networks(PRINTED_RUNS["mnist"], OPTIONS["mnist"]), 40 * crafting),
    }


def variant_scales(data: str, crafting: float) -> dict[str, Scale]:
    """The scales of Figures 4 and 5 and of Tables 4 and 5, whose networks are the variants of the CNN and the ResNet.

    At scale small MNIST has the twelve defences, CIFAR-10 four of them.

    Args:
        data: "mnist" or "cifar10".
        crafting: Minutes of the attacks with one training seed.
    """
    small, width = {"mnist": ((*PAPER, *BEYOND), "width=0.5"), "cifar10": (FEW_DEFENCES, "")}[data]
    options = ",".join(part for part in (OPTIONS[data], width) if part)
    smoke = replace(SMOKE, training_seeds=(0,))
    return {
        "smoke": timed(smoke, variants(SMOKE_RUN, data, PAPER, SMOKE_OPTIONS), 0),
        "small": timed(SMALL[data], variants(RUNS[data], data, small, options), crafting),
        "paper": timed(
            PRINTED[data], variants(PRINTED_RUNS[data], data, (*PAPER, *BEYOND), OPTIONS[data]), 40 * crafting
        ),
    }


def names_of(scale: Scale) -> list[str]:
    """The variants of the CNN that a scale has, in the order of the paper."""
    return [name for name in (*PAPER, *BEYOND) if name in scale.recipes]
