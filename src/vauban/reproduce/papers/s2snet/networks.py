"""The classifiers and auto-encoders of the paper and their stand-ins, as roles, at every scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from vauban.defences.autoencoders.autoencoder import FitAutoEncoder
from vauban.defences.autoencoders.s2snet import FitS2SNet
from vauban.defences.autoencoders.segnet import Form
from vauban.reproduce.declarations import DefenceOnUse, DefendedRole, FitterOnUse, Scale
from vauban.reproduce.papers.stand_ins import BRANCHED, C4, DENSE, PLAIN, SEPARABLE

BARE, TUNED, UNTUNED = "f", "f o A_f", "f o A"
"""The classifier; behind the S2SNet; behind the auto-encoder of the first stage alone."""
BYPASSED, UNTUNED_BYPASSED = "f o A_f, identity backwards", "f o A, identity backwards"
"""The same with a card that has BPDA differentiate the classifier at the reconstruction."""
CHAIN = "f behind A_f behind A"
"""The classifier with both auto-encoders, of which a measure takes what it asks for."""
SYSTEMS = {
    BARE: "network",
    TUNED: "s2snet|network",
    UNTUNED: "auto-encoder|network",
    "A_f": "s2snet",
    "A": "auto-encoder",
}
"""The five systems, as the measure names them in the chain of both auto-encoders and the network."""
RESNET, INCEPTION = (f"torchvision:name={name},pretrained=true" for name in ("resnet50", "inception_v3"))


@dataclass(frozen=True)
class StudiedClassifier:
    """A classifier of a scale, and what its auto-encoders are trained on.

    Attributes:
        scale: Without defended roles.
        first: Images of the first stage, disjoint from those attacked.
        second: Of the second stage, from what the classifier was trained on.
        held_out: Clean images that detectors are calibrated on.
        form: Of the auto-encoders.
        epochs: Of each stage.
        batch: Images of a step.
        lr: Of Adam.
        unit: Of eps, in pixels of [0,1].
        radius: L2 distance within which an image counts under an adaptive attacker, pixels of [0,1].
        few: Whether it is a trial of the code.
        classifiers: Further roles of the study of Figure 8, beside `BARE`, by the names of their networks.
        name: Of the network in the role `BARE`.
    """

    scale: Scale
    first: str
    second: str
    held_out: str
    form: Form
    epochs: tuple[int, int]
    batch: int
    lr: float
    unit: float
    radius: float
    name: str
    few: bool = False
    classifiers: Mapping[str, str] = field(default_factory=dict)

    @property
    def untuned(self) -> DefenceOnUse:
        """A, of the first stage."""
        return DefenceOnUse(FitAutoEncoder(self.epochs[0], self.batch, self.lr, form=self.form), self.first)

    @property
    def tuned(self) -> DefenceOnUse:
        """A_f, which starts from A."""
        options = {
            "start": self.untuned,
            "form": self.form,
            "epochs": self.epochs[1],
            "batch": self.batch,
            "lr": self.lr,
        }
        return DefenceOnUse(FitterOnUse(FitS2SNet, tuple(options.items())), self.second)

    @property
    def defended(self) -> dict[str, DefendedRole]:
        """The classifier behind each auto-encoder, and behind both; what no cell asks for is not fitted."""
        untuned, tuned, identity = self.untuned, self.tuned, (("backward", "identity"),)
        parts = {
            TUNED: (tuned,),
            UNTUNED: (untuned,),
            BYPASSED: (replace(tuned, options=identity),),
            UNTUNED_BYPASSED: (replace(untuned, options=identity),),
            CHAIN: (untuned, tuned),
        }
        return {role: DefendedRole(BARE, part) for role, part in parts.items()}


def imagenet(name: str, spec: str, crop: int) -> StudiedClassifier:
    """The scale of the paper for one of its classifiers."""
    return StudiedClassifier(
        Scale(
            f"imagenet/val1000:crop={crop}",
            {BARE: spec},
            1000,
            (0,),
            20_000,
            "same",
            f"{name} on 1000 of the 50 000 validation images; SegNet trained on ImageNet's training images in both stages, "
            "where the paper's first stage has YFCC100m; losses, optimiser and epochs ours: they are not printed",
        ),
        f"imagenet/train:crop={crop}",
        f"imagenet/train:crop={crop}",
        f"imagenet/val:crop={crop}",
        "segnet",
        (1, 1),
        32,
        1e-4,
        1 / 255,
        2.0,
        name,
        classifiers={
            "AlexNet": "torchvision:name=alexnet,pretrained=true",
            "VGG-16": "torchvision:name=vgg16,pretrained=true",
            "ResNet-50": RESNET,
            "Inception v3": INCEPTION,
        },
    )


BASES: Mapping[str, StudiedClassifier] = {
    "smoke": StudiedClassifier(
        Scale(
            "colours/test:n=600[172:303:130]",
            {BARE: BRANCHED},
            2,
            (0,),
            0.2,
            "stand-in",
            "two made-up images, an auto-encoder trained on sixteen for one epoch: a trial of the code",
        ),
        "colours/train:n=16",
        "colours/train:n=32[16:]",
        "colours/train:n=72[32:]",
        "shallow",
        (1, 1),
        16,
        1e-3,
        1 / 255,
        0.5,
        "small-branched",
        few=True,
        classifiers={"small-separable": SEPARABLE},
    ),
    "small": StudiedClassifier(
        Scale(
            "cifar10/test[::100]",
            {BARE: BRANCHED},
            100,
            (0,),
            20,
            "stand-in",
            "small-branched (0.1 million parameters) on 100 CIFAR-10 test images in place of ResNet-50 on 50 000 of "
            "ImageNet; the shallow auto-encoder, 10 000 training images in each stage, 6 epochs",
        ),
        "cifar10/train[1::5]",
        "cifar10/train[::5]",
        "cifar10/test[1::10]",
        "shallow",
        (6, 6),
        64,
        1e-3,
        1 / 255,
        0.5,
        "small-branched",
        classifiers={"small-separable": SEPARABLE, "small-dense": DENSE, "small-plain": PLAIN},
    ),
    "small-mnist": StudiedClassifier(
        Scale(
            "mnist/test[::100]",
            {},
            100,
            (0,),
            20,
            "stand-in",
            "C4 on 100 MNIST test images in place of ResNet-50 on 50 000 of ImageNet; the shallow auto-encoder, 10 000 "
            "training images in each stage, 3 epochs; a unit of eps is 5/255",
            recipes={BARE: C4},
        ),
        "mnist/train[1::6]",
        "mnist/train[::6]",
        "mnist/test[1::10]",
        "shallow",
        (3, 3),
        64,
        1e-3,
        5 / 255,
        2.0,
        "C4",
    ),
    "paper": imagenet("ResNet-50", RESNET, 224),
    "paper-inception": imagenet("Inception v3", INCEPTION, 299),
}


def base_of(scale: Scale) -> StudiedClassifier:
    """The base that a scale was made of."""
    return next(base for base in BASES.values() if base.scale.data == scale.data)
