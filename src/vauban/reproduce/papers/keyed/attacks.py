"""Attackers of the experiments beyond the paper: what each of them knows, and whose gradients follow from it."""

from __future__ import annotations

from dataclasses import dataclass

from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.engine import Attack
from vauban.reproduce.claims import FEW
from vauban.reproduce.declarations import Craft, Scale
from vauban.reproduce.papers.keyed.networks import CLASSICAL, MATCHED, OWN, PERMUTED, TABLES, role
from vauban.reproduce.papers.keyed.setting import made_on
from vauban.reproduce.training_seeds import trained_again
from vauban.threats.base import Threat
from vauban.threats.chosen_inputs import ChosenInputs
from vauban.threats.keyed import Keyed
from vauban.threats.substitute import Substitute

TARGET, PLAIN, MINE, AS_ACCURATE = (role(TABLES[0], kind) for kind in (PERMUTED, CLASSICAL, OWN, MATCHED))
FIRST = 150
"""Images that the substitute begins with at scale small and above."""


@dataclass(frozen=True)
class Knowledge:
    """What an attacker knows, and whose gradients follow from it.

    Attributes:
        text: In words.
        through: The networks whose mean loss is followed.
        threat: Who learns something about the one network of `through` before the attack; None: its gradients are known.
    """

    text: str
    through: tuple[str, ...]
    threat: Threat | None = None

    def craft(self, attack: Attack) -> Craft:
        return made_on(attack, self.through, threat=self.threat)


CLASSICAL_TEXT = "1 the data: the classical network"
ENSEMBLE_TEXT = "4 the recipe too: the classical network and two behind keys of the attacker's"
WEIGHTS_TEXT = "5 the weights, not the key: the permutation by soft assignment"
ASKED_TEXT = "6 the weights, and the scores of chosen images"
LEAKED_TEXT = "7 the key (leaked)"


def knowledge(scale: Scale) -> list[Knowledge]:
    """Levels of what is known, each more than the one before but for labels, which come second."""
    return [
        Knowledge(CLASSICAL_TEXT, (PLAIN,)),
        Knowledge("2 labels: a substitute trained on them", (TARGET,), substitute(scale, rounds_of(scale)[-1])),
        Knowledge("3 the recipe: one network behind a key of the attacker's", (MINE,)),
        Knowledge(ENSEMBLE_TEXT, (PLAIN, MINE, trained_again(MINE))),
        Knowledge(WEIGHTS_TEXT, (TARGET,), Keyed(weights="known", steps=2 if scale.images < FEW else 200)),
        Knowledge(ASKED_TEXT, (TARGET,), ChosenInputs()),
        Knowledge(LEAKED_TEXT, (TARGET,)),
    ]


def rounds_of(scale: Scale) -> tuple[int, ...]:
    """Rounds of augmentation of the substitute."""
    return (0, 1) if scale.images < FEW else (0, 2) if scale.images < 1000 else (0, 2, 4, 6)


def first(scale: Scale) -> int:
    """Images that the substitute begins with."""
    return 6 if scale.images < FEW else FIRST


def substitute(scale: Scale, rounds: int) -> Threat:
    """The substitute of the target's architecture."""
    run = scale.recipes[TARGET]
    return Substitute(run.model, f"{run.data.partition('[')[0]}[:{first(scale)}]", rounds=rounds)


def pgd(eps: float, scale: Scale) -> Attack:
    """PGD with steps of a tenth of eps, 40 of them; 3 on a few images."""
    return PGD(Linf(eps), steps=3 if scale.images < FEW else 40, rel_stepsize=0.1, loss=cross_entropy)
