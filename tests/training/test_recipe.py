"""Recipes as values: composed, printed, compared; mirrored and shifted images."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.minimal.ddn import DDN
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.norms import Linf
from vauban.engine.samples import Subset
from vauban.training import registry
from vauban.training.augmentation.epoch_adversarial import EpochAdversarial
from vauban.training.augmentation.mirror_shift import MirrorShift
from vauban.training.criteria.label_smoothing import LabelSmoothing
from vauban.training.objectives.adversarial import AdversarialObjective, AdversarialTraining
from vauban.training.objectives.standard import CleanObjective, StandardTraining
from vauban.training.recipe import Recipe, RecipePart
from vauban.training.samples import training_samples

ATTACK = PGD(Linf(8 / 255), steps=7)


@dataclass(frozen=True)
class Doubled(RecipePart):
    """Twice the data, and a layer more."""

    times: int = 2

    def edit(self, module):
        return nn.Sequential(module, nn.Identity())

    def samples(self, data, seed):
        return training_samples(Subset(data, torch.arange(len(data)).repeat(self.times)))


def images(n=6):
    x = torch.rand(n, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    return Batch(x, torch.arange(n) % 3, torch.arange(n), None)


def test_parts_compose_and_compare_by_value():
    recipe = AdversarialTraining(ATTACK) + MirrorShift()
    assert recipe == Recipe((AdversarialTraining(PGD(Linf(8 / 255), steps=7)), MirrorShift(4)))
    assert recipe != MirrorShift() + AdversarialTraining(ATTACK)
    assert Recipe() + Doubled() + recipe == Recipe((Doubled(), *recipe.parts))
    assert hash(recipe) == hash(AdversarialTraining(ATTACK) + MirrorShift())


def test_a_second_objective_is_refused():
    for recipe in (
        lambda: AdversarialTraining(ATTACK) + AdversarialTraining(DDN()),
        lambda: StandardTraining() + Recipe() + StandardTraining(),
    ):
        with pytest.raises(ContractError, match="one objective"):
            recipe()
    EpochAdversarial(ATTACK) + AdversarialTraining(ATTACK)  # samples and an objective


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        (Recipe(), "standard"),
        (AdversarialTraining(ATTACK), "at:attack=[pgd:norm=linf,eps=8/255,steps=7]"),
        (AdversarialTraining(DDN(steps=5), 0.5), "at:attack=[ddn:steps=5],alpha=0.5"),
        (StandardTraining(criterion=LabelSmoothing(0.8)), "standard:criterion=[label-smoothing:share=0.8]"),
        (EpochAdversarial(DDN(), first=True) + MirrorShift(2), "epoch-at:attack=[ddn],first=true+mirror-shift:reach=2"),
    ],
)
def test_a_recipe_is_its_text(recipe, text):
    assert str(recipe) == text


def test_ranges_are_declared():
    for make in (
        lambda: AdversarialTraining(ATTACK, 1.0),
        lambda: AdversarialTraining(ATTACK, -0.1),
        lambda: MirrorShift(-1),
    ):
        with pytest.raises(ContractError, match="expected"):
            make()
    with pytest.raises(ContractError, match="attack of AdversarialTraining"):
        AdversarialTraining("pgd")


def test_cross_entropy_is_the_objective_unless_a_part_gives_one():
    assert (Doubled() + MirrorShift()).objective(3) == CleanObjective()
    assert Recipe((StandardTraining(criterion=F.nll_loss),)).objective(3) == CleanObjective(F.nll_loss)
    given = (MirrorShift() + AdversarialTraining(ATTACK, 0.5, criterion=LabelSmoothing(0.8))).objective(3)
    assert given == AdversarialObjective(ATTACK, 0.5, LabelSmoothing(0.8), seed=3)


def test_edits_and_samples_are_those_of_all_parts_in_turn():
    recipe, net = Doubled() + Doubled(3), nn.Linear(2, 2)
    assert recipe.edit(net)[0][0] is net
    assert len(recipe.samples(training_samples(images()), 0)) == 36
    assert Recipe().edit(net) is net


def test_the_parts_of_today_are_registered():
    assert {"standard", "at", "epoch-at", "mirror-shift"} <= set(registry.names())


def shifted(batch, step, reach=2, seed=1):
    return MirrorShift(reach).samples(training_samples(batch), seed).changed(batch, step)


def test_a_shifted_image_is_one_of_the_mirrored_shifts():
    batch = images()
    candidates = []
    padded = F.pad(torch.stack([batch.x, batch.x.flip(3)]), (2, 2, 2, 2))
    for down in range(5):
        for across in range(5):
            candidates += list(padded[:, :, :, down : down + 8, across : across + 8])
    possible = torch.stack(candidates, 1)
    seen = set()
    for step in range(40):
        made = shifted(batch, step)
        assert torch.equal(made.y, batch.y)
        same = (possible == made.x[:, None]).flatten(2).all(2)
        assert same.any(1).all()
        seen |= set(same.int().argmax(1).tolist())
    assert len(seen) > 40  # of 50


def test_a_sample_is_shifted_alike_in_any_batch():
    batch = images()
    part = Batch(batch.x[4:], batch.y[4:], batch.ids[4:], None)
    assert torch.equal(shifted(batch, 3).x[4:], shifted(part, 3).x)
    assert not torch.equal(shifted(batch, 3).x, shifted(batch, 4).x)


def test_epochs_make_their_images_of_what_is_not_shifted_and_steps_shift_them_all():
    batch, network = images(), nn.Sequential(nn.Flatten(), nn.Linear(128, 3))
    orders = [
        EpochAdversarial(ATTACK, first=True) + MirrorShift(2),
        MirrorShift(2) + EpochAdversarial(ATTACK, first=True),
    ]
    plain = EpochAdversarial(ATTACK, first=True).samples(training_samples(batch), 1).epoch(network, 0)
    for recipe in orders:
        samples = recipe.samples(training_samples(batch), 1)
        made = samples.epoch(network, 0).batch(torch.arange(12))
        assert torch.equal(made.x, plain.batch(torch.arange(12)).x)
        assert torch.equal(samples.changed(made, 7).x, shifted(made, 7).x)
