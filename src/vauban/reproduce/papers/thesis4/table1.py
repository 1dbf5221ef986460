"""Table 4.1: success and distortion of six attacks on C4, InceptionV3 and ResNetV2-50, an experiment for each network.

Beyond it medians, 8-bit images, and attacks of today.
"""

from __future__ import annotations

from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.thesis4.networks import C4, RESNET, V3, digits, photographs
from vauban.reproduce.papers.thesis4.setting import AMBIGUOUS, FREE, NOTES, SOURCE, six_attacks
from vauban.reproduce.registry import register

MNIST, INCEPTION, RESNETV2 = (f"thesis-table4.1-{name}.csv" for name in ("mnist", "inception", "resnet"))


@register("thesis-4.1-mnist")
def table1_mnist() -> Experiment:
    """Six attacks on C4."""
    return Experiment(
        "thesis-4.1-mnist",
        "Table 4.1, MNIST: success and distortion on C4",
        SOURCE,
        six_attacks(MNIST, C4),
        digits(small=22, paper=1100),
        MNIST,
        printed_n=10000,
        ambiguous=AMBIGUOUS,
        notes=(*NOTES, *FREE),
    )


@register("thesis-4.1-inception")
def table1_inception() -> Experiment:
    """Six attacks on InceptionV3."""
    return Experiment(
        "thesis-4.1-inception",
        "Table 4.1, ImageNet: success and distortion on InceptionV3",
        SOURCE,
        six_attacks(INCEPTION, V3),
        photographs(small=60, paper=110000, cifar=12),
        INCEPTION,
        ambiguous=AMBIGUOUS,
        notes=(*NOTES, *FREE),
    )


@register("thesis-4.1-resnet")
def table1_resnet() -> Experiment:
    """Six attacks on ResNetV2-50."""
    return Experiment(
        "thesis-4.1-resnet",
        "Table 4.1, ImageNet: success and distortion on ResNetV2-50",
        SOURCE,
        six_attacks(RESNETV2, RESNET),
        photographs(small=12, paper=110000, roles=(RESNET,)),
        RESNETV2,
        ambiguous=AMBIGUOUS,
        notes=(*NOTES, *FREE),
    )
