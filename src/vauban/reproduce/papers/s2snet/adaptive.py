"""Beyond the paper: the S2SNet under an attacker who knows it, by a dozen attacks and the strongest of them per image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vauban.attacks.blackbox.boundary import BoundaryAttack
from vauban.attacks.blackbox.hopskipjump import HopSkipJump
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.minimal.cw_l2 import CW
from vauban.core.losses import margin
from vauban.core.norms import L2
from vauban.defences.inputs.gaussian_noise import GaussianNoise
from vauban.engine import Attack, Restarts
from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Craft, Judge, Scale, TableCell, WeightedNetwork
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import OperatingCurves, Panel
from vauban.reproduce.papers.s2snet.attacks import EncoderFeatures, FeatureDistance
from vauban.reproduce.papers.s2snet.networks import BARE, BASES, BYPASSED, TUNED, UNTUNED, UNTUNED_BYPASSED, base_of
from vauban.reproduce.papers.s2snet.setting import experiment
from vauban.reproduce.registry import register

NOISE = GaussianNoise(sigma=0.1)
NOISY = f"{TUNED} with Gaussian noise 0.1"
DEFENDED = {TUNED: BYPASSED, UNTUNED: UNTUNED_BYPASSED}
"""Systems with an auto-encoder, and the roles by which BPDA goes around it."""
ANY = "any of them"


@dataclass(frozen=True)
class Effort:
    """How much is spent on an attack.

    Attributes:
        steps, restarts: Of PGD.
        search, penalised: Constants of C&W, and steps at each.
        rounds: Of HopSkipJump, with 100 questions for a direction.
        walk: Steps of the boundary attack.
        draws, averaged: Gradients over noise in a step, and steps.
    """

    steps: int = 100
    restarts: int = 3
    search: int = 3
    penalised: int = 200
    rounds: int = 12
    walk: int = 1000
    draws: int = 10
    averaged: int = 100


EFFORTS = {"smoke": Effort(2, 2, 1, 2, 1, 5, 2, 2), "paper": Effort(1000, 10, 9, 1000, 33, 5000, 30, 100)}
"""At other scales than the smallest and the paper's own: the default."""


def effort(scale: Scale) -> Effort:
    base = base_of(scale)
    return EFFORTS["smoke"] if base.few else EFFORTS["paper"] if base.form == "segnet" else Effort()


def pgd(scale: Scale, steps: int) -> Attack:
    """PGD in L2 on the margin, from random starts."""
    return Restarts(PGD(L2(base_of(scale).radius), steps=steps, loss=margin), effort(scale).restarts)


def craft(attack: Attack, *through: WeightedNetwork, keep: Literal["last", "best"] = "best", draws: int = 1) -> Craft:
    """An attack that may ask the first of its sources for answers, every image on 8 bits."""
    return Craft(attack, through, targeted=False, grid=256, keep=keep, draws=draws)


def last(scale: Scale, steps: int, on: WeightedNetwork, draws: int = 1) -> Craft:
    """What PGD makes of a network to its last iterate: the answers of the system that is meant do not stop it."""
    return craft(PGD(L2(base_of(scale).radius), steps=steps, loss=margin), on, keep="last", draws=draws)


def transfer(scale: Scale, source: str) -> Craft:
    return last(scale, effort(scale).steps, WeightedNetwork(source))


def direct(scale: Scale, system: str) -> dict[str, Craft]:
    """The attacks that every system meets."""
    spent, on = effort(scale), WeightedNetwork(system)
    made = {
        "PGD": craft(pgd(scale, spent.steps), on),
        "C&W": craft(CW(spent.search, spent.penalised, lr=0.05, c=1.0), on),
        "HopSkipJump": craft(HopSkipJump(spent.rounds, L2, queries=10 if base_of(scale).few else 100, tries=20), on),
        "boundary": craft(BoundaryAttack(spent.walk, tries=20), on),
    }
    for name in tuple(base_of(scale).classifiers)[:1]:
        made["transfer from another network"] = transfer(scale, name)
    return made


def crafts(scale: Scale, system: str) -> dict[str, Craft]:
    """What each attack makes against a system."""
    spent = effort(scale)
    if system == NOISY:
        noisy = {"PGD, one draw": (TUNED, 1), "EOT": (TUNED, spent.draws), "EOT, BPDA": (BYPASSED, spent.draws)}
        made = {
            name: last(scale, spent.averaged, WeightedNetwork(role, (NOISE,)), draws)
            for name, (role, draws) in noisy.items()
        }
        return {**made, "PGD without the noise": last(scale, spent.steps, WeightedNetwork(TUNED))}
    made = direct(scale, system)
    if system == BARE:
        return {**made, "images made behind the S2SNet": transfer(scale, TUNED)}
    both = (WeightedNetwork(system, weight=0.5), WeightedNetwork(BARE, weight=0.5))
    features = FeatureDistance(L2(base_of(scale).radius), spent.steps)
    return {
        **made,
        "BPDA": craft(pgd(scale, spent.steps), WeightedNetwork(DEFENDED[system])),
        "mean gradient of f and the system": craft(pgd(scale, spent.steps), *both),
        "encoder features": craft(features, WeightedNetwork(system, (EncoderFeatures(),)), keep="last"),
        "transfer from f": transfer(scale, BARE),
    }


def judge_of(system: str) -> Judge:
    return Judge((TUNED,), (NOISE,)) if system == NOISY else Judge((system,))


def systems(scale: Scale) -> tuple[str, ...]:
    """Who is attacked: the bare network, behind the S2SNet, behind A alone, and the S2SNet behind noise."""
    return (BARE, TUNED, NOISY) if base_of(scale).few else (BARE, TUNED, UNTUNED, NOISY)


def label(system: str, attack: str) -> str:
    return f"{system}: fooled by {attack}"


def cells(scale: Scale) -> list[TableCell]:
    """Clean accuracy of each system, and the share that each attack and all together fool within the radius."""
    told, at = [], base_of(scale).radius
    for system in systems(scale):
        judge = judge_of(system)
        told.append(TableCell(None, judge, "accuracy", {}, f"{system}: clean accuracy"))
        every = crafts(scale, system)
        told += [TableCell(one, judge, "P_upp", {}, label(system, name), (), at) for name, one in every.items()]
        first, *others = every.values()
        told.append(TableCell(first, judge, "P_upp", {}, label(system, ANY), tuple(others), at))
    return told


def panels(scale: Scale) -> list[Panel]:
    """P(D) of each system, a curve for each attack and one for the nearest success of all."""
    drawn: list[Panel] = []
    for system in systems(scale):
        every = {name: (one,) for name, one in crafts(scale, system).items()}
        worst = tuple(one for (one,) in every.values())
        title = f"Operating characteristic of {system}"
        drawn.append(OperatingCurves(title, {**every, ANY: worst}, judge_of(system), 2 * base_of(scale).radius))
    return drawn


def stronger(system: str, attack: str, why: str) -> Claim:
    """That an attack fools no more than PGD by the system's own gradients, by two points."""
    return Claim(
        f"{attack} fools no more than two points more of {system} than PGD through it",
        why,
        (Larger(label(system, "PGD"), label(system, attack), by=-0.02),),
    )


MASKED = "a sign that gradients are masked where it does not hold"
CLAIMS = (
    Claim(
        "An attacker who knows the S2SNet fools fewer images than without a defence",
        "section 4.1, under another attacker than the paper's",
        (Larger(label(BARE, ANY), label(TUNED, ANY)),),
    ),
    Claim(
        "and fewer than behind the auto-encoder of the first stage alone",
        "section 4.1, under another attacker than the paper's",
        (Larger(label(UNTUNED, ANY), label(TUNED, ANY)),),
    ),
    Claim(
        "Noise before it protects further, also from who averages over the noise",
        "section 4.1.1, under another attacker than the paper's",
        (Larger(label(TUNED, ANY), label(NOISY, ANY)),),
    ),
    Claim(
        "With the S2SNet removed, no network that is public fools f more than images made behind the S2SNet do",
        "section 4.2, which grants the attacker nothing but the S2SNet's gradients",
        (Larger(label(BARE, "images made behind the S2SNet"), label(BARE, "transfer from another network"), by=-0.02),),
    ),
    *(
        stronger(TUNED, name, MASKED)
        for name in (
            "BPDA",
            "mean gradient of f and the system",
            "encoder features",
            "HopSkipJump",
            "boundary",
            "transfer from f",
            "transfer from another network",
        )
    ),
)


@register("s2snet-adaptive")
def adaptive() -> Experiment:
    """The S2SNet under an attacker who knows it."""
    return experiment(
        "adaptive",
        "Beyond the paper: the S2SNet under an attacker who knows it",
        cells,
        panels=panels,
        claims=CLAIMS,
        minutes=40,
        images={"small": 50, "small-mnist": 50},
        roles=lambda scale: dict(list(BASES[scale].classifiers.items())[:1]),
        notes=(
            "An image counts as fooled within an L2 distance of 0.5 (2 on MNIST and ImageNet), pixels of [0,1], of those "
            "that the system labels right. PGD: 100 steps on the margin, 3 restarts (1000 and 10 at scale paper). C&W: 3 "
            "constants of 200 steps. BPDA: forward through the system, backward f at the reconstruction. Encoder features: "
            "as far from the original's as ascent gets. HopSkipJump and boundary: labels alone. EOT: 10 draws in each of "
            "100 steps, to the last iterate.",
        ),
    )
