"""Networks of the paper (Tables 1 and 2), in the clear and behind a permutation of the pixels, and its scales."""

from __future__ import annotations

from dataclasses import replace

from vauban.reproduce.declarations import Scale
from vauban.training.run import TrainingRun

TABLES = ("Table 1 network", "Table 2 network")
"""The networks that FGSM and that C&W attacks are made on."""
CLASSICAL, PERMUTED, OWN, MATCHED = "classical", "permuted", "own key", "classical, as accurate"
"""A network without a key; the target, with a key for each training seed; the attacker's own, with another key for each;
a network without a key that is trained on fewer images, so that it is as accurate as the target on clean ones."""
KEYS = {PERMUTED: "{key}", OWN: "public:1{seed}"}
"""The target's keys are `public:SEED` where a user gives none of his own; no attacker uses them but with a leaked key."""
WIDE = "c1=64,c2=128,h=256"
"""The second of the two numbers in the cells of Table 2."""
OPTIONS = {
    "mnist": ("", ""),
    "fashion-mnist": ("", f":{WIDE}"),
    "cifar10": (":channels=3,size=32", f":channels=3,size=32,{WIDE}"),
}
"""Parameters of the two networks by data set: "32/64" is read as MNIST / Fashion-MNIST."""


def role(table: str, kind: str) -> str:
    return f"{table}, {kind}"


def runs(models: dict[str, TrainingRun], fewer: str) -> dict[str, TrainingRun]:
    """Every training: each network in the clear, with the target's key and with the attacker's, and the matched one.

    Args:
        models: The training of each of TABLES.
        fewer: Training images of the network of Table 1 that is as accurate without a key as with one.
    """
    trained = {}
    for table, run in models.items():
        trained[role(table, CLASSICAL)] = run
        for kind, key in KEYS.items():
            trained[role(table, kind)] = replace(run, defence=f"pixel-permutation:key={key}")
    trained[role(TABLES[0], MATCHED)] = replace(models[TABLES[0]], data=fewer)
    return trained


def trainings(
    data: str, epochs: tuple[int, int], options: tuple[str, str] = ("", ""), thousands: float = 0.0, sgd: bool = False
) -> dict[str, TrainingRun]:
    """Trainings of the two networks: Adam, or for the second SGD at 0.01 as its authors train.

    Args:
        data: What they are trained on.
        epochs: Of each.
        options: Parameters of each.
        thousands: Of training images, for the minutes that they take.
        sgd: Whether the second is trained by SGD, which on few images does not learn a permuted one.
    """
    first, second = (f"{name}{given}" for name, given in zip(("keyed-fgsm", "keyed-cw"), options, strict=True))
    slower = 4 if WIDE in options[1] else 1
    return {
        TABLES[0]: TrainingRun(first, data, epochs[0], holdout=0, minutes=round(0.02 * thousands * epochs[0], 2)),
        TABLES[1]: TrainingRun(
            second,
            data,
            epochs[1],
            lr=0.01 if sgd else 1e-3,
            optimiser="sgd" if sgd else "adam",
            holdout=0,
            minutes=round(0.017 * slower * thousands * epochs[1], 2),
        ),
    }


SMOKE = Scale(
    "colours/test:n=600[172:303:130]",
    {},
    2,
    (0,),
    0.2,
    "stand-in",
    "two made-up images, networks trained on 24 images for one epoch: a trial of the code",
    runs(trainings("colours/train:n=24", (1, 1), (":channels=3,size=32",) * 2), "colours/train:n=12"),
    training_seeds=(0, 1),
)


EVERY = 10
"""At scale small the networks are trained on every tenth training image."""


def small(data: str, minutes: float, images: int) -> Scale:
    """The scale of two cores on a data set, with five keys.

    Args:
        data: The data set.
        minutes: Of the trainings and the attacks with all keys.
        images: How many are attacked.
    """
    first, second = OPTIONS[data]
    narrow = second.replace(WIDE, "").rstrip(":,")
    return Scale(
        f"{data}/test[:{images}]",
        {},
        images,
        (0,),
        minutes,
        "stand-in",
        "trained on every tenth training image by Adam, 4 epochs for FGSM and 6 for C&W (the narrow network of "
        "Table 2), with 5 keys and seeds; the first {images} test images; shorter attacks",
        runs(
            trainings(f"{data}/train[::{EVERY}]", (4, 6), (first, narrow), 60 / EVERY), f"{data}/train[::{3 * EVERY}]"
        ),
        training_seeds=(0, 1, 2, 3, 4),
    )


def paper(data: str) -> Scale:
    """The scale of the paper on one of its data sets, with five keys."""
    whole = "train[:45000]" if data == "cifar10" else "train[:55000]"
    return Scale(
        f"{data}/test[:1000]",
        {},
        1000,
        (0,),
        6000,
        "stand-in" if data == "cifar10" else "same",
        "55 000 training images; epochs and optimisers ours: they are not printed; 5 keys and seeds"
        if data != "cifar10"
        else "data that the paper has not: 45 000 training images, the networks of Fashion-MNIST; 5 keys and seeds",
        runs(trainings(f"{data}/{whole}", (6, 50), OPTIONS[data], 55, sgd=True), f"{data}/train[:20000]"),
        training_seeds=(0, 1, 2, 3, 4),
    )


def scales(data: str, minutes: float, images: int = 100) -> dict[str, Scale]:
    """The scales of an experiment on a data set.

    Args:
        data: The data set.
        minutes: Of scale small, its trainings and its attacks, with all keys.
        images: Of scale small.
    """
    return {"smoke": SMOKE, "small": small(data, minutes, images), "paper": paper(data)}
