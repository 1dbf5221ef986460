"""Networks of the benchmark, plain and trained to be robust, and its scales."""

from __future__ import annotations

from vauban.defences.features.neighbours import FitNeighbours
from vauban.reproduce.declarations import DefenceOnUse, DefendedRole, Scale
from vauban.reproduce.papers.broken.setting import PLAIN
from vauban.training.run import TrainingRun

GALLERY = "plain, behind the votes of its nearest training images"
OTHER, ROBUST, OTHER_ROBUST = "other architecture", "trained on PGD", "other architecture, trained on PGD"
PGD = "at:attack=[pgd:eps={eps},steps=4]"
SMALL = "keyed-cw:c1=8,c2=16,h=64,dropout=0"
"""Four 3x3 convolutions without normalisation, 25 000 parameters: thousands of queries in seconds."""
NORMALISED = "small-plain:channels=1"
"""Five 3x3 convolutions with batch normalisation."""


def gallery(data: str) -> dict[str, DefendedRole]:
    """The plain network behind the votes of its training images."""
    return {GALLERY: DefendedRole(PLAIN, (DefenceOnUse(FitNeighbours(most=100), data),))}


SMOKE = Scale(
    "digits/test[:40]",
    {PLAIN: "digits-cnn"},
    2,
    (0,),
    1,
    "stand-in",
    "two digits of 8x8 pixels, one entry of each mechanism, attacks of few steps: a trial of the code",
    {ROBUST: TrainingRun("digits-cnn", "digits/train[:200]", 1, PGD.format(eps=0.1), holdout=0)},
    defended=gallery("digits/train[:200]"),
)


def mnist(images: int, every: int, epochs: int, minutes: float) -> Scale:
    """A scale on MNIST.

    Args:
        images: How many are attacked.
        every: Which of the training images are used: every so many.
        epochs: Of the shortest training.
        minutes: Of everything.
    """
    data = f"mnist/train[::{every}]"
    return Scale(
        f"mnist/test[:{images}]",
        {},
        images,
        (0,),
        minutes,
        "stand-in",
        f"networks trained on one of {every} MNIST training images; the data of most papers are larger",
        {
            PLAIN: TrainingRun(SMALL, data, 2 * epochs, holdout=0, minutes=minutes / 60),
            OTHER: TrainingRun(NORMALISED, data, epochs, holdout=0, minutes=minutes / 60),
            ROBUST: TrainingRun(SMALL, data, 4 * epochs, PGD.format(eps=0.15), holdout=0, minutes=minutes / 10),
            OTHER_ROBUST: TrainingRun(
                NORMALISED, data, 2 * epochs, PGD.format(eps=0.1), holdout=0, seed=1, minutes=minutes / 10
            ),
        },
        defended=gallery(data),
    )


SCALES = {"smoke": SMOKE, "small": mnist(40, 10, 2, 20), "paper": mnist(500, 1, 4, 1200)}
