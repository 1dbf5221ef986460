"""The networks of the chapter and their stand-ins, and the scales of the clean and of the robust ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.reproduce.declarations import Scale, Setting
from vauban.reproduce.papers import stand_ins
from vauban.reproduce.papers.stand_ins import C4
from vauban.training.objectives.adversarial import AdversarialTraining
from vauban.training.run import TrainingRun

SMOKE = Scale(
    "colours/test:n=600[172:303:130]",
    {"network": stand_ins.BRANCHED, "robust": stand_ins.RESIDUAL},
    2,
    (0,),
    0,
    "stand-in",
    "two made-up images and attacks of 2 or 3 steps: a trial of the code",
)


def against(eps: float, steps: int, share: float) -> AdversarialTraining:
    """Training on images and their versions by the reference attack, half of the loss each, in every batch.

    Section 3.2.2: 'training data and their adversarial version'; the share is not printed.

    Args:
        eps: Of the attack, L-infinity, pixel units.
        steps: Of the attack.
        share: Of the radius that a step has.
    """
    return AdversarialTraining(PGD(Linf(eps), steps, rel_stepsize=share, loss=cross_entropy), alpha=0.5)


def rising(data: str, epochs: int) -> dict[str, TrainingRun]:
    """C4 against PGD of a radius that rises to 0.3: from clean weights at 0.3 at once it stays at chance."""
    runs = {"network": C4}
    for role, start, eps in (("eps 0.1", "network", 0.1), ("eps 0.2", "eps 0.1", 0.2)):
        runs[role] = replace(C4, data=data, epochs=1, recipe=against(eps, 7, 0.25), start=start, minutes=2)
    runs["robust"] = replace(
        C4,
        data=data,
        epochs=epochs,
        lr=5e-4,
        schedule="cosine",
        recipe=against(0.3, 7, 0.25),
        start="eps 0.2",
        minutes=2 * epochs,
    )
    return runs


PRINTED_C4 = replace(C4, epochs=100, batch=50, recipe=against(0.3, 40, 1 / 30), minutes=1500)
NINE = TrainingRun("cifar10-thesis", "cifar10/train", 200, holdout=0, minutes=5000)
PRINTED_NINE = replace(NINE, recipe=against(8 / 255, 7, 0.25), minutes=40000)
NINE_NOTE = "{} in place of the 9-convolution network; every twentieth test image; 8 eps per attack in a ball"

MILLISECONDS = {"mnist-c4": 0.35, "small-": 0.4, NINE.model: 30.0, "squeezenet": 30.0, "timm": 350.0}
"""Of a gradient of one image on two cores, by network; the last and the 9 convolutions are not measured."""


def untimed(
    data: str,
    images: int,
    setting: Setting,
    note: str,
    models: Mapping[str, str] | None = None,
    recipes: Mapping[str, TrainingRun] | None = None,
) -> Scale:
    """A scale whose minutes follow from the experiment, see `setting.timed`."""
    return Scale(data, models or {}, images, (0,), 0, setting, note, recipes or {})


CLEAN_SCALES: Mapping[str, Mapping[str, Scale]] = {
    "mnist": {
        "small": untimed(
            "mnist/test[::10]",
            1000,
            "same",
            "C4 trained as printed, every tenth test image; 8 eps per attack in a ball",
            recipes={"network": C4},
        ),
        "paper": untimed(
            "mnist/test", 10000, "same", "C4 trained as printed, all test images", recipes={"network": C4}
        ),
    },
    "cifar10": {
        "small": untimed(
            "cifar10/test[::20]",
            500,
            "stand-in",
            NINE_NOTE.format("small-branched (0.2 million parameters, 8 epochs)"),
            {"network": stand_ins.BRANCHED},
        ),
        "paper": untimed(
            "cifar10/test", 10000, "same", "the 9-convolution network as printed", recipes={"network": NINE}
        ),
    },
    "imagenet": {
        "small": untimed(
            "imagenet/val1000:crop=227[::20]",
            50,
            "stand-in",
            "SqueezeNet 1.0 on 50 validation images at 227x227 in place of InceptionV3 on 1000 at 299x299; 5 eps",
            {"network": stand_ins.SQUEEZENET},
        ),
        "paper": untimed(
            "nips2017/dev",
            1000,
            "same",
            "timm's InceptionV3 on the NIPS 2017 development images",
            {"network": stand_ins.INCEPTION_V3},
        ),
    },
}
ROBUST_SCALES: Mapping[str, Mapping[str, Scale]] = {
    "mnist": {
        "small": replace(
            CLEAN_SCALES["mnist"]["small"],
            setting="stand-in",
            recipes=rising("mnist/train[::2]", 1),
            note="C4 trained against PGD of 7 steps, one epoch each at eps 0.1, 0.2 and 0.3 over every other training "
            "image, in place of 100 of 40 steps over all; every tenth test image; 8 eps per attack in a ball",
        ),
        "paper": replace(CLEAN_SCALES["mnist"]["paper"], recipes={"robust": PRINTED_C4}),
    },
    "cifar10": {
        "small": replace(
            CLEAN_SCALES["cifar10"]["small"],
            models={"network": stand_ins.BRANCHED, "robust": stand_ins.RESIDUAL},
            note=NINE_NOTE.format(
                "small-residual (0.2 million parameters, 8 epochs against one step of random start at eps 8/255)"
            ),
        ),
        "paper": replace(CLEAN_SCALES["cifar10"]["paper"], recipes={"robust": PRINTED_NINE}),
    },
    "imagenet": {
        "small": replace(
            CLEAN_SCALES["cifar10"]["small"],
            models={"robust": stand_ins.PLAIN},
            note="small-plain (0.2 million parameters, 8 epochs against one step of random start at eps 8/255) on 500 "
            "CIFAR-10 test images stands in for a robust ImageNet network; 8 eps per attack in a ball",
        ),
        "paper": replace(
            CLEAN_SCALES["imagenet"]["paper"],
            models={"robust": stand_ins.INCEPTION_V3_ADVERSARIAL},
            setting="stand-in",
            note="timm has InceptionV3 trained on its own adversarial images, not on an ensemble's; NIPS 2017 images",
        ),
    },
}
