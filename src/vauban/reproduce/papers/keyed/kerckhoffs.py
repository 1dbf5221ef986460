"""Beyond the paper: a keyed network against what its attacker knows, from nothing of the key to all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vauban.reproduce.claims import FEW, Claim, Larger
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Panel, Sweep
from vauban.reproduce.papers.keyed.attacks import (
    AS_ACCURATE,
    ASKED_TEXT,
    CLASSICAL_TEXT,
    ENSEMBLE_TEXT,
    FIRST,
    LEAKED_TEXT,
    PLAIN,
    TARGET,
    WEIGHTS_TEXT,
    first,
    knowledge,
    pgd,
    rounds_of,
    substitute,
)
from vauban.reproduce.papers.keyed.setting import error, experiment, made_on
from vauban.reproduce.registry import register
from vauban.threats.base import Threat
from vauban.threats.chosen_inputs import ChosenInputs

EPSILONS = (0.05, 0.1, 0.2)
EPS = 0.1
"""Radius at which what is asked before the first image is counted."""
BARE, ELSEWHERE = "without a key, its own gradients", "without a key, the classical network"


def label(known: str, eps: float) -> str:
    return f"{known}, eps {eps:g}"


Curves = Mapping[str, list[tuple[float, TableCell]]]


def radii(scale: Scale) -> tuple[float, ...]:
    return (EPS,) if scale.images < FEW else EPSILONS


def by_radius(scale: Scale) -> Curves:
    """The error of the keyed network over eps by what is known; of one without a key that is as accurate, beside."""
    curves = {
        known.text: [(eps, error(known.craft(pgd(eps, scale)), TARGET, label(known.text, eps))) for eps in radii(scale)]
        for known in knowledge(scale)
    }
    for name, source in ((ELSEWHERE, PLAIN), (BARE, AS_ACCURATE)):
        curves[name] = [
            (eps, error(made_on(pgd(eps, scale), [source]), AS_ACCURATE, label(name, eps))) for eps in radii(scale)
        ]
    return curves


def by_level(scale: Scale) -> Curves:
    """The same errors, a curve for each eps, over the numbers of the levels."""
    drawn, levels = by_radius(scale), [known.text for known in knowledge(scale)]
    return {
        f"eps {eps:g}": [(float(number), drawn[text][at][1]) for number, text in enumerate(levels, 1)]
        for at, eps in enumerate(radii(scale))
    }


def by_questions(scale: Scale) -> Curves:
    """The error at EPS over what is asked of the target once, before the first image is made."""
    run = scale.recipes[TARGET]
    pixels = 1024 if "size=32" in run.model else 784
    threats: dict[str, Sequence[tuple[int, Threat]]] = {
        "labels, for a substitute": [(first(scale) * 2**n, substitute(scale, n)) for n in rounds_of(scale)],
        "scores of chosen images, the weights known": [
            *((n, ChosenInputs(queries=n)) for n in (1 + pixels // 8, 1 + pixels // 4, 1 + pixels // 2)),
            (1 + pixels, ChosenInputs()),
        ],
    }
    return {
        name: [
            (float(n), error(made_on(pgd(EPS, scale), [TARGET], threat=threat), TARGET, f"{n} {name}, eps {EPS:g}"))
            for n, threat in asked
        ]
        for name, asked in threats.items()
    }


def cells(scale: Scale) -> list[TableCell]:
    """Clean errors, then those over eps and those over questions; a number that stands in both stands once."""
    clean = {
        TARGET: "keyed, clean images",
        PLAIN: "without a key, clean images",
        AS_ACCURATE: "without a key, as accurate, clean images",
    }
    curves = {**by_radius(scale), **by_questions(scale)}
    attacked = [cell for points in curves.values() for _, cell in points]
    return [*(error(None, network, text) for network, text in clean.items()), *attacked]


def panels(scale: Scale) -> list[Panel]:
    y = "classification error"
    return [
        Sweep("Error by what the attacker knows", "number of the level of knowledge", y, by_level(scale)),
        Sweep("Error over eps", "eps", y, by_radius(scale)),
        Sweep(
            f"Error at eps {EPS:g} by what was asked before",
            "labels or scores, once for all images",
            y,
            by_questions(scale),
        ),
    ]


CLAIMS = (
    Claim(
        "The defence is effective in the gray box: at eps 0.1 the images of somebody who has all but the key and the "
        "weights fool it on 20 points fewer than its own gradients fool a network without a key",
        "abstract; the paper's attacker trains no network behind a key of his own",
        (Larger(label(BARE, EPS), label(ENSEMBLE_TEXT, EPS), by=0.2),),
    ),
    Claim(
        "The secret buys more than another training does: the classical network's images fool it less than they fool a "
        "network without a key that is as accurate",
        "section 3, information advantage of the defender",
        tuple(Larger(label(ELSEWHERE, eps), label(CLASSICAL_TEXT, eps)) for eps in EPSILONS),
    ),
    Claim(
        "The network without a key is as accurate on clean images, within three points",
        "what the comparison rests on",
        (
            Larger("keyed, clean images", "without a key, as accurate, clean images", by=-0.03),
            Larger("without a key, as accurate, clean images", "keyed, clean images", by=-0.03),
        ),
    ),
    Claim(
        "Kerckhoffs' principle holds, all but the key may be public: known weights fool no more than the images of the "
        "classical network do",
        "section 3, requirements to secret elements",
        (Larger(label(CLASSICAL_TEXT, EPS), label(WEIGHTS_TEXT, EPS), by=-0.02),),
        "the paper hides the weights too, as internal variables",
    ),
    Claim(
        "Brute force is infeasible and nothing inside can be observed, so the key stays unknown to who asks questions",
        "section 4.3",
        (Larger(label(CLASSICAL_TEXT, EPS), label(ASKED_TEXT, EPS), by=-0.02),),
        "a question for each pixel takes the place of brute force where the weights are known",
    ),
    Claim(
        "What is left is owed to the secret: with the key the network is no more robust than one without that is as "
        "accurate",
        "Kerckhoffs' principle",
        (Larger(label(LEAKED_TEXT, EPS), label(BARE, EPS), by=-0.05),),
    ),
)


@register("keyed-kerckhoffs-mnist")
def kerckhoffs() -> Experiment:
    """A keyed network against what its attacker knows, MNIST."""
    return experiment(
        "kerckhoffs",
        "mnist",
        "Beyond the paper: a keyed network against what its attacker knows",
        30,
        cells,
        notes=(
            "PGD has 40 steps of a tenth of eps. The substitute is of the target's architecture, trained on labels that "
            f"the target gave {FIRST} training images and those that Jacobian-based augmentation makes of them; chosen "
            "images are grey but for one pixel each.",
        ),
        panels=panels,
        claims=CLAIMS,
    )
