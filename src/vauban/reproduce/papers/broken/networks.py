"""Networks of the benchmark, plain and trained to be robust, and its scales."""

from __future__ import annotations

from vauban.reproduce.declarations import Scale
from vauban.reproduce.papers.broken.setting import PLAIN
from vauban.training.run import TrainingRun

OTHER, ROBUST, OTHER_ROBUST = "other architecture", "trained on PGD", "other architecture, trained on PGD"
PGD = "at:attack=[pgd:eps={eps},steps=5]"

SMOKE = Scale(
    "digits/test[:40]",
    {PLAIN: "digits-cnn"},
    2,
    (0,),
    1,
    "stand-in",
    "two digits of 8x8 pixels, one entry of each mechanism, attacks of few steps: a trial of the code",
    {ROBUST: TrainingRun("digits-cnn", "digits/train[:200]", 1, PGD.format(eps=0.1), holdout=0)},
)


def mnist(images: int, every: int, epochs: int, minutes: float) -> Scale:
    """A scale on MNIST.

    Args:
        images: How many are attacked.
        every: Which of the training images are used: every so many.
        epochs: Of the plain trainings; those on PGD have twice as many.
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
            PLAIN: TrainingRun("keyed-fgsm", data, epochs, holdout=0, minutes=0.5 * epochs / every * 10),
            OTHER: TrainingRun("keyed-cw", data, epochs, holdout=0, minutes=0.5 * epochs / every * 10),
            ROBUST: TrainingRun("keyed-fgsm", data, 2 * epochs, PGD.format(eps=0.15), holdout=0, minutes=4),
            OTHER_ROBUST: TrainingRun("keyed-cw", data, 2 * epochs, PGD.format(eps=0.1), holdout=0, seed=1, minutes=4),
        },
    )


SCALES = {"smoke": SMOKE, "small": mnist(40, 10, 4, 20), "paper": mnist(500, 1, 6, 1200)}
