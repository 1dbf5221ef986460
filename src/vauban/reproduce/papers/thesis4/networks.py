"""The networks of the chapter, their stand-ins, and the scales on MNIST and on photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.reproduce.declarations import Scale
from vauban.reproduce.papers import stand_ins
from vauban.training.objectives.adversarial import AdversarialTraining
from vauban.training.run import TrainingRun

C4, C4_ADV = "C4", "C4 (FGSM)"
V3, RESNET, V3_ADV = "InceptionV3", "ResNetV2-50", "InceptionV3 (step l.l.)"
SMALL = {V3: stand_ins.BRANCHED, RESNET: stand_ins.DENSE, V3_ADV: stand_ins.PLAIN}
ORIGINALS = {
    V3: stand_ins.INCEPTION_V3,
    RESNET: "timm:name=resnetv2_50.a1h_in1k,pretrained=true",
    V3_ADV: stand_ins.INCEPTION_V3_ADVERSARIAL,
}
WITH_FGSM = AdversarialTraining(FGSM(Linf(0.3), loss=cross_entropy), alpha=0.5)
C4_FGSM = replace(stand_ins.C4, recipe=WITH_FGSM, minutes=9)
TRIAL = TrainingRun("digits-cnn", "digits/train", 2, WITH_FGSM, lr=2e-3, holdout=0)


def digits(small: float, paper: float, role: str = C4) -> dict[str, Scale]:
    """Scales on MNIST.

    Args:
        small: minutes at scale small on two cores, without the training: from 0.35 ms for the gradient of an image.
        paper: minutes at scale paper, in the same way.
        role: C4, plainly trained, or C4_ADV, trained on images and their FGSM versions.
    """
    plain = role == C4
    trained = {role: stand_ins.C4 if plain else C4_FGSM}
    note = "the chapter's network and data, trained here: 6 epochs of Adam at 1e-3, batches of 128" + (
        "" if plain else "; images and their FGSM versions at 0.3, half of the loss each, made in every batch"
    )
    return {
        "smoke": Scale(
            "digits/test[:6]",
            {C4: "digits-cnn"} if plain else {},
            6,
            (0,),
            0.2,
            "stand-in",
            "six digits of 8x8 pixels: a trial of the code",
            {} if plain else {role: TRIAL},
        ),
        "small": Scale("mnist/test", {}, 200, (0,), small, "same", note, trained),
        "paper": Scale("mnist/test", {}, 10000, (0,), paper, "same", note, trained),
    }


def photographs(
    small: float, paper: float, roles: Sequence[str] = (V3,), cifar: float | None = None
) -> dict[str, Scale]:
    """Scales on ImageNet. Minutes are on two cores, from 30 ms (SqueezeNet), 1 ms (small networks) and 250 ms (paper) for
    the gradient of an image.

    Args:
        small: minutes at scale small.
        paper: minutes at scale paper.
        roles: the networks of the experiment.
        cifar: minutes of a further scale with small networks on CIFAR-10, beside SqueezeNet for InceptionV3 at scale
            small; None where the small networks are scale small.
    """
    small_networks = {role: SMALL[role] for role in roles}
    names = ", ".join(f"{role}: {spec.split(':')[0]}" for role, spec in small_networks.items())
    on_cifar = Scale(
        "cifar10/test",
        small_networks,
        200,
        (0,),
        small if cifar is None else cifar,
        "stand-in",
        f"small networks on CIFAR-10 in place of ImageNet's ({names}; the adversarial one trained on PGD)",
    )
    on_photographs = Scale(
        "imagenet/val1000:crop=227",
        {V3: stand_ins.SQUEEZENET},
        20,
        (0,),
        small,
        "stand-in",
        "SqueezeNet 1.0 in place of InceptionV3; 20 ImageNet images of 227x227",
    )
    scales = {
        "smoke": Scale(
            "colours/test[30:51:10]:seed=11",
            small_networks,
            3,
            (0,),
            0.3,
            "stand-in",
            "three made-up images: a trial of the code",
        ),
        "small": on_cifar if cifar is None else on_photographs,
        "paper": Scale(
            "nips2017/dev",
            {role: ORIGINALS[role] for role in roles},
            1000,
            (0,),
            paper,
            "same",
            "the architectures with timm's weights (ResNetV2-50's are not the thesis') on the NIPS 2017 development set",
        ),
    }
    return scales if cifar is None else {**scales, "cifar": on_cifar}
