"""Scales of the paper's experiments: data, networks, images and seeds."""

from __future__ import annotations

from dataclasses import replace

from vauban.reproduce.declarations import Scale
from vauban.reproduce.papers.efficient.networks import (
    BEYOND,
    FEW_DEFENCES,
    PAPER,
    four_networks,
    preact_variants,
    variants,
)
from vauban.training.run import TrainingRun

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


PREACT = replace(
    PRINTED["cifar10"],
    setting="stand-in",
    note="PreActResNet-18 in place of the CNN and the ResNet: 100 epochs of SGD, images mirrored and shifted, adversarial "
    "training at 8/255, as papers on robust CIFAR-10 train",
)


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

    At scale small MNIST has the twelve defences, CIFAR-10 four of them; at scale preact PreActResNet-18 takes the places of
    both networks.

    Args:
        data: "mnist" or "cifar10".
        crafting: Minutes of the attacks with one training seed.
    """
    small, width = {"mnist": ((*PAPER, *BEYOND), "width=0.5"), "cifar10": (FEW_DEFENCES, "")}[data]
    options = ",".join(part for part in (OPTIONS[data], width) if part)
    smoke = replace(SMOKE, training_seeds=(0,))
    scales = {
        "smoke": timed(smoke, variants(SMOKE_RUN, data, PAPER, SMOKE_OPTIONS), 0),
        "small": timed(SMALL[data], variants(RUNS[data], data, small, options), crafting),
        "paper": timed(
            PRINTED[data], variants(PRINTED_RUNS[data], data, (*PAPER, *BEYOND), OPTIONS[data]), 40 * crafting
        ),
    }
    if data == "cifar10":
        scales["preact"] = timed(PREACT, preact_variants(), 800 * crafting)
    return scales


def names_of(scale: Scale) -> list[str]:
    """The variants of the CNN that a scale has, in the order of the paper."""
    return [name for name in (*PAPER, *BEYOND) if name in scale.recipes]
