"""Networks of the paper, in the clear and behind a permutation of the pixels, and the scales of its experiments."""

from __future__ import annotations

from dataclasses import replace

from vauban.reproduce.declarations import Scale
from vauban.training.run import TrainingRun

TABLES = ("Table 1 network", "Table 2 network")
"""The networks that FGSM and that C&W attacks are made on."""
CLASSICAL, PERMUTED, OWN = "classical", "permuted", "own key"
"""A network without a key; the target, with a key for each training seed; the attacker's own, with another key for each."""
KEYS = {PERMUTED: "public:{seed}", OWN: "public:1{seed}"}
"""Keys that everybody can make: an experiment hides nothing, and no attacker in it uses the target's."""


def role(table: str, kind: str) -> str:
    return f"{table}, {kind}"


def runs(models: dict[str, TrainingRun]) -> dict[str, TrainingRun]:
    """Every training: each network in the clear, with the target's key and with the attacker's.

    Args:
        models: The training of each of TABLES.
    """
    trained = {}
    for table, run in models.items():
        trained[role(table, CLASSICAL)] = run
        for kind, key in KEYS.items():
            trained[role(table, kind)] = replace(run, defence=f"pixel-permutation:key={key}")
    return trained


def _of(data: str, epochs: tuple[int, int], options: str = "", lr: float = 1e-3) -> dict[str, TrainingRun]:
    """Trainings of the two networks; options are those of both."""
    first = TrainingRun(f"keyed-fgsm{options}", data, epochs[0], lr=lr, holdout=0, minutes=0.6 * epochs[0])
    second = TrainingRun(
        f"keyed-cw{options}", data, epochs[1], lr=0.01, optimiser="sgd", holdout=0, minutes=1.5 * epochs[1]
    )
    return {TABLES[0]: first, TABLES[1]: second}


SMOKE = Scale(
    "colours/test:n=600[172:303:130]",
    {},
    2,
    (0,),
    0.2,
    "stand-in",
    "two made-up images, networks trained on 24 images for one epoch: a trial of the code",
    runs(_of("colours/train:n=24", (1, 1), ":channels=3,size=32")),
    training_seeds=(0, 1),
)


def small(data: str) -> Scale:
    """The scale of two cores on one of the paper's data sets, with five keys."""
    return Scale(
        f"{data}/test[:100]",
        {},
        100,
        (0,),
        60,
        "stand-in",
        "trained on 10 000 images, 4 epochs for FGSM and 8 for C&W, with 5 keys and seeds; the first 100 test images",
        runs(_of(f"{data}/train[::6]", (4, 8))),
        training_seeds=(0, 1, 2, 3, 4),
    )


def paper(data: str) -> Scale:
    """The scale of the paper on one of its data sets, with five keys."""
    return Scale(
        f"{data}/test[:1000]",
        {},
        1000,
        (0,),
        6000,
        "same",
        "55 000 training images; epochs and optimisers ours: they are not printed; 5 keys and seeds",
        runs(_of(f"{data}/train[:55000]", (6, 50))),
        training_seeds=(0, 1, 2, 3, 4),
    )
