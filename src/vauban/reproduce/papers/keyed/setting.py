"""Sources, open questions and cells that the experiments of the paper share."""

from __future__ import annotations

from collections.abc import Sequence

from vauban.engine import Attack
from vauban.reproduce.declarations import Craft, Judge, TableCell, WeightedNetwork
from vauban.reproduce.experiment import Ambiguity

SOURCE = (
    "O. Taran, S. Rezaeifar, S. Voloshynovskiy, Bridging machine learning and cryptography in defence against adversarial "
    "attacks, 2018 (arXiv:1809.01715)"
)
AMBIGUOUS = (
    Ambiguity("epochs, optimisers, the eps of FGSM and the parameters of C&W are not printed"),
    Ambiguity(
        "which network the images are made on is not printed; read as the classical one, and the attacker's own, behind "
        "his own key, stands beside"
    ),
    Ambiguity(
        "whether the numbers are of one key or a mean over keys is not printed; here a value for each of the keys"
    ),
)
NOTES = (
    "Errors are over all images, those that are wrong before the attack included. Keys are `public:N`, which everybody can "
    "make: an experiment hides nothing, and no attacker in it uses the target's, but in the control of a leaked key.",
)


def error(craft: Craft | None, judge: str, label: str, key: dict[str, str] | None = None) -> TableCell:
    """The classification error of a network on the images of a craft, or on clean ones."""
    return TableCell(craft, Judge((judge,)), "misclassification_rate", key or {}, label)


def made_on(attack: Attack, roles: Sequence[str], targeted: bool = False, keep: str = "last") -> Craft:
    """The images that an attack makes on the mean loss of networks, as floats."""
    sources = tuple(WeightedNetwork(role, weight=1 / len(roles)) for role in roles)
    return Craft(attack, sources, targeted=targeted, keep="best" if keep == "best" else "last", saved="float")
