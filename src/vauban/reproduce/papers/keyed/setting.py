"""Sources, open questions and cells that the experiments of the paper share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from vauban.engine import Attack
from vauban.reproduce.declarations import Craft, Judge, Scale, TableCell, WeightedNetwork
from vauban.reproduce.experiment import Ambiguity, Experiment
from vauban.reproduce.papers.keyed.networks import scales
from vauban.threats.base import Threat

SOURCE = (
    "O. Taran, S. Rezaeifar, S. Voloshynovskiy, Bridging machine learning and cryptography in defence against adversarial "
    "attacks, 2018 (arXiv:1809.01715)"
)
TITLES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
AMBIGUOUS = (
    Ambiguity("epochs, optimisers, the eps of FGSM and the parameters of C&W are not printed"),
    Ambiguity(
        "which network the images are made on is not printed; read as the classical one, and the attacker's own, behind "
        "his own key, stands beside"
    ),
    Ambiguity(
        "whether the numbers are of one key or a mean over keys is not printed; here a value for each of the keys"
    ),
    Ambiguity(
        "whether C&W heads for a class or away from the label is not printed; here for a wrong class, as its authors' "
        "code does, and away from the label beside",
        {"attack": "CW", "samples": "attacked"},
    ),
)
NOTES = (
    "Errors are over all images, those that are wrong before the attack included. Keys are `public:N`, which everybody can "
    "make (`--key FILE` names others): an experiment hides nothing, and no attacker in it uses the target's, but in the "
    "control of a leaked key. A key is one training: five keys cost five.",
)


def experiment(
    name: str,
    data: str,
    title: str,
    minutes: float,
    cells: Callable[[Scale], Sequence[TableCell]],
    images: int = 100,
    **more: Any,
) -> Experiment:
    """An experiment of the paper on a data set, `keyed-NAME-DATA`.

    Args:
        name: Its number, or what is beyond the paper.
        data: A key of TITLES.
        title: Of its page, without the data.
        minutes: Of scale small.
        cells: Numbers at a scale.
        images: Of scale small.
        more: Other fields of `Experiment`; notes are added to those of the paper.
    """
    notes = (*NOTES, *more.pop("notes", ()))
    return Experiment(
        f"keyed-{name}-{data}",
        f"{title}, {TITLES[data]}",
        SOURCE,
        cells,
        scales(data, minutes, images),
        more.pop("printed", None),
        notes=notes,
        **more,
    )


def error(craft: Craft | None, judge: str, label: str, key: dict[str, str] | None = None) -> TableCell:
    """The classification error of a network on the images of a craft, or on clean ones."""
    return TableCell(craft, Judge((judge,)), "misclassification_rate", key or {}, label)


def made_on(
    attack: Attack,
    roles: Sequence[str],
    targeted: bool = False,
    keep: Literal["last", "best"] = "last",
    clip: float | None = None,
    budget: int | None = None,
    threat: Threat | None = None,
) -> Craft:
    """The images that an attack makes on the mean loss of networks, as floats; see `Craft`."""
    sources = tuple(WeightedNetwork(role, weight=1 / len(roles)) for role in roles)
    return Craft(attack, sources, targeted, clip=clip, keep=keep, saved="float", budget=budget, threat=threat)
