"""Beyond the paper: detectors, under an attack that ignores them and one that knows them; the conclusion's among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.orthogonal_pgd import OrthogonalPGD
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.minimal.cw_l2 import CW
from vauban.core.losses import cross_entropy, margin
from vauban.core.norms import L2, Linf
from vauban.defences.detectors.agreement import FitAgreement
from vauban.defences.detectors.convolution_statistics import FitConvolutionStatistics
from vauban.defences.detectors.detector_subnetwork import FitDetectorSubnetwork
from vauban.defences.detectors.feature_squeezing import FitFeatureSqueezing
from vauban.defences.detectors.kernel_density import FitKernelDensity
from vauban.defences.detectors.magnet import FitMagNet
from vauban.defences.detectors.mahalanobis import FitMahalanobis
from vauban.defences.detectors.noise_reduction import FitNoiseReduction
from vauban.defences.detectors.outlier_class import FitOutlierClass
from vauban.defences.detectors.pca_whitening import FitPCAWhitening
from vauban.defences.detectors.trained import TrainedDetectorFitter
from vauban.defences.fitter import DefenceFitter
from vauban.engine import Attack, Restarts
from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import (
    Craft,
    DefenceOnUse,
    DefendedRole,
    FitterOnUse,
    Judge,
    Scale,
    TableCell,
    WeightedNetwork,
)
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.s2snet.networks import BARE, StudiedClassifier, base_of
from vauban.reproduce.papers.s2snet.setting import experiment
from vauban.reproduce.registry import register

RATES = (0.05, 0.5)
"""Shares of clean images that may be rejected."""
CODERS: Mapping[type[DefenceFitter], Literal["untuned", "tuned"]] = {FitMagNet: "untuned", FitAgreement: "tuned"}
"""The auto-encoder of a base that a detector holds."""
DETECTORS: Mapping[str, type[DefenceFitter]] = {
    "feature squeezing": FitFeatureSqueezing,
    "MagNet": FitMagNet,
    "agreement": FitAgreement,
    "adaptive noise reduction": FitNoiseReduction,
    "PCA whitening": FitPCAWhitening,
    "kernel density": FitKernelDensity,
    "Mahalanobis": FitMahalanobis,
    "outlier class": FitOutlierClass,
    "detector subnetwork": FitDetectorSubnetwork,
    "convolution statistics": FitConvolutionStatistics,
}
"""All that there are but dropout uncertainty: none of these classifiers has dropout."""
SEEN = 8.0
"""Eps of the FGSM whose images three of them are trained on, in units of the scale."""
FEW = ("feature squeezing", "MagNet", "agreement")
"""At scale smoke, where few clean images calibrate."""
IGNORES, KNOWS = ("PGD on f", "C&W on f"), ("PGD that knows it", "C&W that knows it", "orthogonal PGD")
ANY = "any that knows it"
OF_ALL = {
    "misclassification_rate": "wrong and accepted, of all images",
    "fooled_or_rejected": "wrong or rejected, of all images",
}
"""Rates beside that within the radius; C&W has no radius in them."""


def rates(base: StudiedClassifier) -> tuple[float, ...]:
    """Those of a base: few images calibrate a high one alone."""
    return RATES[1:] if base.few else RATES


def detectors_of(base: StudiedClassifier) -> tuple[str, ...]:
    """The detectors of a base by name; the components of large images are too many to whiten."""
    if base.few:
        return FEW
    large = base.form == "segnet"
    return tuple(name for name in DETECTORS if not (large and name == "PCA whitening"))


def role(detector: str, rate: float) -> str:
    return f"f with {detector}, {rate:.0%} of clean images rejected"


def detecting(base: StudiedClassifier) -> dict[str, DefendedRole]:
    """The classifier with each detector, calibrated on clean images that are not attacked."""
    made = {}
    for name in detectors_of(base):
        fitter = DETECTORS[name]
        held: tuple[tuple[str, Any], ...] = ()
        seen: tuple[tuple[str, Any], ...] = ()
        if fitter in CODERS:
            held = (("autoencoder", getattr(base, CODERS[fitter])),)
        if issubclass(fitter, TrainedDetectorFitter):
            seen = (("attack", FGSM(Linf(SEEN * base.unit), loss=cross_entropy)),)
        for rate in rates(base):
            part = DefenceOnUse(FitterOnUse(fitter, (*held, *seen, ("fpr", rate))), base.held_out, held)
            made[role(name, rate)] = DefendedRole(BARE, (part,))
    return made


def attacks(scale: Scale) -> tuple[Attack, Attack, Attack]:
    """PGD inside the radius on the margin, C&W, and PGD on classifier and detector in turn."""
    base = base_of(scale)
    steps = 2 if base.few else 1000 if base.form == "segnet" else 100
    ball, times = L2(base.radius), 10 if base.form == "segnet" else 2
    return (
        Restarts(PGD(ball, steps=steps, loss=margin), times),
        CW(1 if base.few else 2, 2 if base.few else 100, lr=0.05, c=10.0),
        Restarts(OrthogonalPGD(ball, steps=steps), times),
    )


def crafts(scale: Scale, on: str) -> list[Craft]:
    """The attacks by the card of a role: with a detector a success is wrong and accepted.

    On f alone PGD goes to its last iterate, sure of its class, C&W to the nearest image; there is no third.
    """
    made = [Craft(attack, (WeightedNetwork(on),), targeted=False, grid=256, keep="best") for attack in attacks(scale)]
    if on != BARE:
        return made
    steps = attacks(scale)[0].members[0]
    return [replace(made[0], attack=steps, keep="last"), made[1]]


def label(detector: str, rate: float, attack: str, what: str = "wrong and accepted") -> str:
    return f"{role(detector, rate)}; {attack}: {what}"


def cells(scale: Scale) -> list[TableCell]:
    """What is wrong and accepted, and what is wrong or rejected, of clean images and of each attack."""
    base = base_of(scale)
    plain = Judge((BARE,))
    told = [TableCell(None, plain, "accuracy", {}, "f; clean: accuracy")]
    told += [
        TableCell(made, plain, "P_upp", {}, f"f; {name}: wrong", (), base.radius)
        for name, made in zip(IGNORES, crafts(scale, BARE), strict=True)
    ]
    for detector in detectors_of(base):
        for rate in rates(base):
            on = role(detector, rate)
            judge = Judge((on,))
            told.append(TableCell(None, judge, "accuracy", {}, label(detector, rate, "clean", "right and accepted")))
            told.append(
                TableCell(None, judge, "fooled_or_rejected", {}, label(detector, rate, "clean", "wrong or rejected"))
            )
            knowing = crafts(scale, on)
            for name, made in zip((*IGNORES, *KNOWS), (*crafts(scale, BARE), *knowing), strict=True):
                told.append(TableCell(made, judge, "P_upp", {}, label(detector, rate, name), (), base.radius))
                for metric, what in OF_ALL.items():
                    told.append(TableCell(made, judge, metric, {}, label(detector, rate, name, what)))
            first, *others = knowing
            told.append(TableCell(first, judge, "P_upp", {}, label(detector, rate, ANY), tuple(others), base.radius))
    return told


def claims_of(rate: float) -> tuple[Claim, ...]:
    """Of detectors at a rate of false positives."""
    return tuple(
        claim
        for detector in DETECTORS
        for claim in (
            Claim(
                f"At {rate:.0%} false positives {detector} lets fewer images of PGD through that ignores it",
                "the detector's paper; for agreement the conclusion",
                (Larger(f"f; {IGNORES[0]}: wrong", label(detector, rate, IGNORES[0])),),
            ),
            Claim(
                f"At {rate:.0%} false positives {detector} lets fewer images through than f, of who knows it",
                "under another attacker than the paper's",
                (Larger(f"f; {IGNORES[0]}: wrong", label(detector, rate, ANY)),),
            ),
        )
    )


@register("s2snet-detectors")
def detectors() -> Experiment:
    """Detectors under an attack that ignores them and one that knows them."""
    made = experiment(
        "detectors",
        "Beyond the paper: detectors under attacks that ignore them and that know them",
        cells,
        claims=tuple(claim for rate in RATES for claim in claims_of(rate)),
        minutes=45,
        images={"small": 50, "small-mnist": 50},
        notes=(
            "Wrong and accepted: of the images that the system labels right and accepts, within an L2 distance of 0.5 (2 "
            "on MNIST and ImageNet), pixels of [0,1]. Wrong or rejected: of all images. Thresholds are calibrated on clean "
            "test images that are not attacked; an attack that knows the detector has one loss for both, "
            "the excess over the larger of the label's logit and that of 'rejected'; orthogonal PGD follows both in turn. "
            "Of all images: those that are rejected, or wrong, before the attack included. Outlier class, subnetwork "
            "and convolution statistics have seen images of FGSM at 8 units of eps.",
        ),
    )
    scales = {
        name: replace(scale, defended={**scale.defended, **detecting(base_of(scale))})
        for name, scale in made.scales.items()
    }
    return replace(made, scales=scales)
