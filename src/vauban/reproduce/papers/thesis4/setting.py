"""What the experiments of the chapter share: networks and their stand-ins, scales, and cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.reproduce.declarations import Craft, Judge, Path, Scale, TableCell, WeightedNetwork
from vauban.reproduce.papers.cia.setting import ORIGINALS, SQUEEZENET, STAND_INS
from vauban.training.adversarial_training import EpochAdversarial
from vauban.training.run import TrainingRun

SOURCE = "H. Zhang, Deep learning in adversarial context, thesis, Rennes 2021, chapter 4 (arXiv:1903.11862)"
V3, RESNET, V3_ADV, C4_ADV = "InceptionV3", "ResNetV2-50", "InceptionV3 (step l.l.)", "C4 (FGSM)"
WITH_FGSM = EpochAdversarial(FGSM(Linf(0.3), loss=cross_entropy))
C4 = TrainingRun("mnist-c4", "mnist/train", 6, holdout=0, minutes=3)
C4_FGSM = replace(C4, recipe=WITH_FGSM, minutes=8)
TRIAL = TrainingRun("digits-cnn", "digits/train", 2, WITH_FGSM, lr=2e-3, holdout=0)
COLOURS = {V3: STAND_INS["IncV3_a"], RESNET: STAND_INS["IncRes_a"], V3_ADV: STAND_INS["IncV3_b"]}
INCEPTION = {
    V3: ORIGINALS["IncV3_a"],
    RESNET: "timm:name=resnetv2_50.a1h_in1k,pretrained=true",
    V3_ADV: ORIGINALS["IncV3_b"],
}
AMBIGUOUS = (
    "the sets of target distortions, the numbers of iterations, the kernel's widths and neighbourhood, and whether images "
    "were rounded are not printed"
)
NOTES = (
    "Images are judged as floats, since the chapter does not mention rounding; rows '8 bits' round every query and the "
    "saved image. Step sizes keep their printed proportion to epsilon. Attacks inside a ball run 20 iterations for each "
    "radius and keep the last; C&W and sC&W search 5 constants (CleverHans' default), with 1000 iterations each on MNIST "
    "and at scale paper, 100 on CIFAR-10 and 40 on SqueezeNet; rows '8 bits' have at most 100.",
    "Graph: 4 neighbours, joint over channels, exp(-rate |difference|^2) with rate 10 on MNIST and 300 on photographs.",
)
FREE = (
    "The smoothing is invertible, so sC&W and C&W at one constant have the same minimum: whether smoothness is free is a "
    "question of where each stops; see thesis-4-converged.",
)


def digits(small: float, paper: float, role: str = "C4") -> dict[str, Scale]:
    """Scales on MNIST with C4 in the role, plainly trained or (C4_ADV) on FGSM too; minutes on two cores, without the
    training: estimated from 0.35 ms for the gradient of an image."""
    plain = role == "C4"
    recipes = {role: C4 if plain else C4_FGSM}
    same = "the chapter's network and data, trained here: 6 epochs of Adam at 1e-3, batches of 128" + (
        "" if plain else "; images and their FGSM versions at 0.3, made anew after every epoch"
    )
    smoke = {"C4": "digits-cnn"} if plain else {}
    return {
        "smoke": Scale(
            "digits/test[:6]",
            smoke,
            6,
            (0,),
            0.2,
            "stand-in",
            "six digits of 8x8 pixels: a trial of the code",
            {} if plain else {role: TRIAL},
        ),
        "small": Scale("mnist/test", {}, 200, (0,), small, "same", same, recipes),
        "paper": Scale("mnist/test", {}, 10000, (0,), paper, "same", same, recipes),
    }


def photographs(
    small: float, paper: float, roles: Sequence[str] = (V3,), cifar: float | None = None
) -> dict[str, Scale]:
    """Scales on ImageNet: at scale small SqueezeNet for InceptionV3 where `cifar` gives the minutes of a scale with small
    networks on CIFAR-10, else these at scale small; minutes on two cores: estimated from 30 ms (SqueezeNet), 1 ms (small
    networks) and 250 ms (paper) for the gradient of an image."""
    few = {role: COLOURS[role] for role in roles}
    names = ", ".join(f"{role}: {few[role].split(':')[0]}" for role in roles)
    cut = Scale(
        "cifar10/test",
        few,
        200,
        (0,),
        small if cifar is None else cifar,
        "stand-in",
        f"small networks on CIFAR-10 in place of ImageNet's ({names}; the adversarial one trained on PGD)",
    )
    large = Scale(
        "imagenet/val1000:crop=227",
        {V3: SQUEEZENET["IncV3_a"]},
        20,
        (0,),
        small,
        "stand-in",
        "SqueezeNet 1.0 in place of InceptionV3; 20 ImageNet images of 227x227",
    )
    smoke = Scale(
        "colours/test[30:51:10]:seed=11", few, 3, (0,), 0.3, "stand-in", "three made-up images: a trial of the code"
    )
    paper_scale = Scale(
        "nips2017/dev",
        {role: INCEPTION[role] for role in roles},
        1000,
        (0,),
        paper,
        "same",
        "the architectures with timm's weights (ResNetV2-50's are not the thesis') on the NIPS 2017 development set",
    )
    scales = {"smoke": smoke, "small": cut if cifar is None else large, "paper": paper_scale}
    return scales if cifar is None else {**scales, "cifar": cut}


def through(role: str, *path: Path) -> tuple[WeightedNetwork, ...]:
    return (WeightedNetwork(role, path),)


def on(role: str, *path: Path) -> Judge:
    return Judge((role,), path)


def attained(
    runs: tuple[Craft, ...],
    judge: Judge,
    metric: str,
    label: str,
    key: dict[str, str] | None = None,
    at: float | None = None,
) -> TableCell:
    """The nearest success among all runs of an attack."""
    return TableCell(runs[0], judge, metric, key or {}, f"{label}: {metric}", runs[1:], at)
