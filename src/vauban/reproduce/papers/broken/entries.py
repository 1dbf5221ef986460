"""Entries of the benchmark: defences that were broken in the literature, and sound networks."""

from __future__ import annotations

from vauban.core.norms import L2, Linf
from vauban.defences.architecture.activation_pruning import StochasticActivationPruning
from vauban.defences.inputs.bit_depth import BitDepth
from vauban.defences.inputs.crop_ensemble import CropEnsemble
from vauban.defences.inputs.jpeg import JPEG
from vauban.defences.inputs.median_filter import MedianFilter
from vauban.defences.inputs.non_local_means import NonLocalMeans
from vauban.defences.inputs.pixel_deflection import PixelDeflection
from vauban.defences.inputs.random_jpeg import RandomJPEG
from vauban.defences.inputs.random_resize import RandomResize
from vauban.defences.inputs.total_variation import TotalVariation
from vauban.reproduce.declarations import Scale
from vauban.reproduce.papers.broken import answers, fronts
from vauban.reproduce.papers.broken.networks import GALLERY, OTHER, OTHER_ROBUST, ROBUST
from vauban.reproduce.papers.broken.setting import (
    CUT,
    DISCRETE,
    MNIST,
    OBJECTIVE,
    OPTIMISED,
    RANDOM,
    SEEDED,
    SOUND,
    Claimed,
    Examined,
    Made,
    bare,
    through,
)

XU = Claimed("linf", MNIST, "Xu et al. 2018, arXiv:1704.01155", "He et al. 2017, arXiv:1706.04701", 0.3)
GUO = Claimed("l2", "ImageNet, 0.06 of the image", "Guo et al. 2018, arXiv:1711.00117", "arXiv:1802.00420", 0.55)
"""On MNIST, whose images have a mean L2 norm of 9.2, 0.06 of it."""
SELF_ENSEMBLE = Made("random self-ensemble", answers.SelfEnsemble, random=True)
SOFT_CODE = Made("soft bits", lambda net: answers.ErrorCorrecting(net, hard=False))
SOFT_VOTE = Made("mean of the members", lambda net: answers.LowPrecisionVote(net, hard=False))
BLURRED = Made("blurred", lambda net: fronts.Before(net, fronts.blurred))


def registered() -> list[Examined]:
    """Defences of `vauban.defences`."""
    bits, jpeg, median, means = (
        BitDepth(2),
        JPEG(quality=40, backward="identity"),
        MedianFilter(3),
        NonLocalMeans(search=5),
    )
    resize, deflection = RandomResize(0.8), PixelDeflection(deflections=60)
    pruning, varied = StochasticActivationPruning(), RandomJPEG()
    variation, crops = TotalVariation(iterations=20), CropEnsemble(crops=5, share=0.9)
    return [
        Examined("bit depth", DISCRETE, bits, XU, (bare(), through(bits))),
        Examined("median filter", DISCRETE, median, XU, (bare(), through(median))),
        Examined("non-local means", OPTIMISED, means, XU, (bare(), through(means))),
        Examined(
            "JPEG",
            CUT,
            jpeg,
            Claimed("linf", "ImageNet", "Dziugaite et al. 2016, arXiv:1608.00853", "Shin and Song 2017"),
            (bare(), through(jpeg)),
        ),
        Examined(
            "random JPEG",
            CUT,
            varied,
            Claimed("linf", "ImageNet", "Das et al. 2018, arXiv:1802.06816", "Cornelius et al. 2019, arXiv:1902.00541"),
            (bare(), through(varied)),
            draws=8,
            asked=False,
        ),
        Examined(
            "random resizing",
            RANDOM,
            resize,
            Claimed("linf", "ImageNet", "Xie et al. 2018, arXiv:1711.01991", "arXiv:1802.00420"),
            (bare(), through(resize)),
            draws=16,
            asked=False,
        ),
        Examined(
            "pixel deflection",
            RANDOM,
            deflection,
            Claimed("linf", "ImageNet", "Prakash et al. 2018, arXiv:1801.08926", "arXiv:1804.03286"),
            (bare(), through(deflection)),
            draws=8,
            asked=False,
        ),
        Examined(
            "activation pruning",
            RANDOM,
            pruning,
            Claimed("linf", "CIFAR-10", "Dhillon et al. 2018, arXiv:1803.01442", "arXiv:1802.00420"),
            (bare(), through(pruning)),
            draws=16,
            asked=False,
        ),
        Examined(
            "retrieval",
            DISCRETE,
            None,
            Claimed("linf", MNIST, "Papernot and McDaniel 2018, arXiv:1803.04765", "Sitawarin and Wagner 2019", 0.25),
            (bare(), bare(GALLERY)),
            role=GALLERY,
            fitted=True,
        ),
        Examined("total variation", OPTIMISED, variation, GUO, (bare(),), L2(1.5), asked=False),
        Examined("crop ensemble", RANDOM, crops, GUO, (bare(), through(crops)), L2(1.5), draws=8, asked=False),
    ]


def written() -> list[Examined]:
    """Defences that are not among those of `vauban.defences`, one small module or function each."""
    tramer = "Tramer et al. 2020, arXiv:2002.08347"
    return [
        Examined(
            "JPEG by Pillow",
            CUT,
            Made("jpeg by pillow", lambda net: fronts.Before(net, fronts.pillow_jpeg)),
            Claimed("linf", "CIFAR-10", "Das et al. 2017, arXiv:1705.02900", "Shin and Song 2017"),
            (bare(), through(JPEG(quality=40, backward="identity"))),
        ),
        Examined(
            "grey levels by numpy",
            CUT,
            Made("levels by numpy", lambda net: fronts.Before(net, fronts.numpy_levels)),
            XU,
            (bare(),),
        ),
        Examined(
            "thermometer code",
            DISCRETE,
            Made("thermometer", lambda net: fronts.Before(net, fronts.ThermometerCode())),
            Claimed("linf", MNIST, "Buckman et al. 2018 (ICLR)", "arXiv:1802.00420", 0.3),
            (bare(),),
        ),
        Examined(
            "k winners take all",
            DISCRETE,
            Made("k-wta", answers.winners_take_all),
            Claimed("linf", "CIFAR-10", "Xiao et al. 2020, arXiv:1905.10510", tramer),
            (bare(), through(Made("k-wta", answers.winners_take_all))),
        ),
        Examined(
            "Fourier coefficients",
            DISCRETE,
            Made("fourier", lambda net: fronts.Before(net, fronts.fourier)),
            Claimed("l0", MNIST, "Bafna et al. 2018, arXiv:1812.05013", tramer),
            (bare(), through(Made("fourier", lambda net: fronts.Before(net, fronts.fourier)))),
        ),
        Examined(
            "reversed margin",
            OBJECTIVE,
            Made("reversed margin", lambda net: answers.After(net, answers.reversed_margin)),
            Claimed("scores", "CIFAR-10", "Chen et al. 2022, arXiv:2205.12134", ""),
            (bare(),),
        ),
        Examined(
            "distillation",
            OBJECTIVE,
            Made("saturated", lambda net: answers.After(net, answers.saturated)),
            Claimed("l0", MNIST, "Papernot et al. 2016, arXiv:1511.04508", "Carlini and Wagner 2017, arXiv:1608.04644"),
            (bare(),),
        ),
        Examined(
            "error-correcting codes",
            OBJECTIVE,
            Made("output code", answers.ErrorCorrecting),
            Claimed("linf", MNIST, "Verma and Swami 2019 (NeurIPS)", tramer, 0.3),
            (bare(), through(SOFT_CODE)),
        ),
        Examined(
            "mixed precision vote",
            OBJECTIVE,
            Made("low precision vote", answers.LowPrecisionVote),
            Claimed("linf", MNIST, "Sen et al. 2020, arXiv:2004.10162", tramer, 0.3),
            (bare(), through(SOFT_VOTE)),
        ),
        Examined(
            "vote of squeezers",
            OBJECTIVE,
            Made("squeezed vote", answers.SqueezedVote),
            Claimed("linf", MNIST, XU.by, XU.broken_by, 0.3),
            (bare(), (*bare(), *through(BLURRED))),
        ),
        Examined(
            "random self-ensemble",
            RANDOM,
            SELF_ENSEMBLE,
            Claimed("l2", "CIFAR-10", "Liu et al. 2018, arXiv:1712.00673", ""),
            (bare(), through(SELF_ENSEMBLE)),
            L2(1.5),
            draws=8,
            asked=False,
        ),
        Examined(
            "barrage of transforms",
            RANDOM,
            Made("barrage", lambda net: fronts.Before(net, fronts.barrage), random=True),
            Claimed("linf", "ImageNet", "Raff et al. 2019 (CVPR)", "Sitawarin et al. 2022, arXiv:2207.03574"),
            (bare(), through(BLURRED)),
            asked=False,
        ),
        Examined(
            "matrix estimation",
            RANDOM,
            Made("me-net", lambda net: fronts.Before(net, fronts.matrix_estimation), random=True),
            Claimed("linf", MNIST, "Yang et al. 2019, arXiv:1905.11971", tramer, 0.3),
            (bare(), through(BLURRED)),
            asked=False,
        ),
        Examined(
            "noise seeded by the image",
            SEEDED,
            Made("seeded noise", lambda net: fronts.Before(net, fronts.seeded_noise)),
            None,
            (bare(), through(SELF_ENSEMBLE)),
            draws=8,
        ),
        Examined(
            "purification",
            OPTIMISED,
            Made("purified", fronts.Purified),
            Claimed("linf", MNIST, "Shi et al. 2021, arXiv:2101.09387", "Croce et al. 2022, arXiv:2202.13711", 0.3),
            (bare(),),
        ),
    ]


def controls() -> list[Examined]:
    """Sound networks, at budgets that leave images standing."""
    return [
        Examined("plain network", SOUND, ball=Linf(0.05)),
        Examined("plain network, larger budget", SOUND, ball=Linf(0.1)),
        Examined("other architecture", SOUND, ball=Linf(0.05), role=OTHER),
        Examined("trained on PGD", SOUND, ball=Linf(0.15), role=ROBUST),
        Examined("trained on PGD, L2", SOUND, ball=L2(1.5), role=ROBUST),
        Examined("other architecture, trained on PGD", SOUND, ball=Linf(0.1), role=OTHER_ROBUST),
    ]


TRIED = ("bit depth", "JPEG by Pillow", "reversed margin", "random self-ensemble", "plain network", "trained on PGD")
"""Entries of scale smoke."""


def entries(scale: Scale) -> list[Examined]:
    """The entries of a scale."""
    every = [*registered(), *written(), *controls()]
    return [entry for entry in every if entry.name in TRIED] if scale.data.startswith("digits") else every
