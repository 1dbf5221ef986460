"""Recipes by text: parts, brackets, attacks inside, and what is refused."""

from pathlib import Path

import pytest

from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.minimal.bp import BP
from vauban.attacks.minimal.ddn import DDN
from vauban.core.errors import ContractError, UnknownName
from vauban.core.losses import cross_entropy
from vauban.core.norms import L2, Linf
from vauban.core.spelling import spelled
from vauban.engine import Restarts
from vauban.training.augmentation.epoch_adversarial import EpochAdversarial
from vauban.training.augmentation.mirror_shift import MirrorShift
from vauban.training.criteria.label_smoothing import LabelSmoothing
from vauban.training.objectives.adversarial import AdversarialTraining
from vauban.training.objectives.standard import StandardTraining
from vauban.training.recipe import Recipe
from vauban.words.attack import attack_of
from vauban.words.recipe import recipe_of


@pytest.mark.parametrize(
    ("text", "recipe"),
    [
        ("standard", Recipe((StandardTraining(),))),
        ("at:attack=[pgd:eps=0.3,steps=7]", Recipe((AdversarialTraining(PGD(Linf(0.3), steps=7)),))),
        ("at:attack=[pgd:eps=8/255], alpha=1/2", Recipe((AdversarialTraining(PGD(Linf(8 / 255)), 0.5),))),
        ("standard:criterion=label-smoothing", Recipe((StandardTraining(criterion=LabelSmoothing()),))),
        ("at:attack=ddn", Recipe((AdversarialTraining(DDN()),))),
        ("mirror-shift + epoch-at:first=true,attack=[ddn:steps=5]", MirrorShift() + EpochAdversarial(DDN(5), True)),
        (
            "at:attack=[restarts:attack=[pgd:eps=0.1],times=3]+mirror-shift:reach=2",
            AdversarialTraining(Restarts(PGD(Linf(0.1)), times=3)) + MirrorShift(2),
        ),
    ],
)
def test_a_text_is_the_recipe(text, recipe):
    assert recipe_of(text) == recipe


@pytest.mark.parametrize(
    "recipe",
    [
        AdversarialTraining(PGD(L2(0.5), 7, 0.25, loss=cross_entropy, random_start=False), 0.25) + MirrorShift(),
        MirrorShift(1) + EpochAdversarial(BP(steps=20, retreat=False), first=True),
        Recipe((EpochAdversarial(FGSM(Linf(8 / 255))),)),
        Recipe((AdversarialTraining(DDN(), criterion=LabelSmoothing(0.7)),)),
        Recipe((AdversarialTraining(Restarts(PGD(Linf(0.1)), times=3)),)),
    ],
)
def test_the_text_of_a_recipe_is_read_back_as_it(recipe):
    assert recipe_of(str(recipe)) == recipe


@pytest.mark.parametrize(
    "attack", [PGD(Linf(1 / 3)), PGD(L2(0.1 + 0.2), 9, 1 / 30), FGSM(Linf(16 / 255), loss=cross_entropy), DDN(eps=0.7)]
)
def test_an_attack_is_spelled_without_loss(attack):
    assert attack_of(spelled(attack)).value == attack


def test_objects_are_taken_as_they_are():
    part = AdversarialTraining(DDN())
    assert recipe_of(part) == Recipe((part,))
    assert recipe_of(part + MirrorShift()) == part + MirrorShift()


def test_a_part_from_a_file(tmp_path: Path):
    (tmp_path / "mine.py").write_text("""
from dataclasses import dataclass
from vauban.engine import Attack
from vauban.training.criteria.label_smoothing import LabelSmoothing
from vauban.training.recipe import RecipePart

@dataclass(frozen=True)
class Mine(RecipePart):
    size: int = 3
    attack: Attack | None = None

made = Mine(7)
""")
    recipe = recipe_of(f"{tmp_path}/mine.py:Mine:size=5,attack=[ddn]+{tmp_path}/mine.py:made+standard")
    assert [getattr(part, "size", None) for part in recipe.parts] == [5, 7, None]
    assert [getattr(part, "attack", None) for part in recipe.parts] == [DDN(), None, None]


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("att:attack=[ddn]", UnknownName, "'at'"),
        ("at:attack=[dnd]", UnknownName, "'ddn'"),
        ("at:attac=[ddn]", UnknownName, "'attack'"),
        ("at", ContractError, "attack"),
        ("at:attack=[ddn", ContractError, r"a \] for each \["),
        ("at:attack=[ddn]]", ContractError, r"a \[ before each \]"),
        ("at:attack=[ddn]+standard", ContractError, "one objective"),
        ("mirror-shift:reach=0.5", ContractError, "reach"),
    ],
)
def test_what_is_wrong_is_said(text, error, says):
    with pytest.raises(error, match=says):
        recipe_of(text)
