"""Selection of an epoch: which is kept, from where it resumes, on what it is measured, and what is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.counting import Counted, doubles, images, linear
from torch import nn

import vauban as vb
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, UnknownName
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.engine.samples import accuracy
from vauban.evaluate.train import train
from vauban.models import weights
from vauban.training.adversarial_set import attacked_accuracy
from vauban.training.history import Epoch
from vauban.training.kept_epoch import chosen
from vauban.training.loop import optimise
from vauban.training.run import TrainingRun
from vauban.training.selection import Selection
from vauban.training.selections.best import BestEpoch
from vauban.training.selections.last import LastEpoch
from vauban.words import selection as selections


@dataclass(frozen=True)
class Scripted(Selection):
    """Scores that are written down, by the batch normalisation's count of steps; 4 an epoch."""

    scores: tuple[float, ...] = (0.1, 0.7, 0.7, 0.3)

    def score(self, network: nn.Module, held: Any, seed: int) -> float:
        return self.scores[int(network.net[2].num_batches_tracked) // 4 - 1]


class KilledError(Exception):
    """Stands for a process that dies."""


def tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, b[key]) for key, value in a.items())


def trained(path: Path | None = None, dies: int | None = None) -> tuple[list[Any], nn.Module, Any]:
    network, after = Counted(), []

    def note(epoch: Epoch) -> None:
        after.append(tensors(network))
        if epoch.number == dies:
            raise KilledError

    history = optimise(
        network,
        images(16),
        epochs=4,
        batch=4,
        validation=images(6),
        selection=Scripted(),
        checkpoint=path,
        callback=note,
    )
    return after, network, history


def test_the_first_of_the_best_epochs_is_kept_with_its_buffers() -> None:
    after, network, history = trained()
    assert history.selected == 2
    assert same(tensors(network), after[1])
    assert not same(after[1], after[3])
    assert [epoch.score for epoch in history.history] == [0.1, 0.7, 0.7, 0.3]
    assert history.kept is history.history[1]
    assert history.validation == history.history[1].validation


@pytest.mark.parametrize("dies", [1, 2, 3])
def test_a_training_that_is_killed_keeps_the_same_epoch(dies: int, tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    with pytest.raises(KilledError):
        trained(path, dies)
    _, network, history = trained(path)
    assert history.selected == 2
    assert same(tensors(network), tensors(trained()[1]))


def test_without_a_selection_the_last_epoch_is_kept() -> None:
    for selection in (None, LastEpoch()):
        network = Counted()
        assert optimise(network, images(8), epochs=2, batch=4, selection=selection).selected is None
    with pytest.raises(ContractError, match="held out of training"):
        optimise(Counted(), images(8), epochs=1, selection=BestEpoch())
    assert chosen([Epoch(1, 0.0, None, None, 0.0), Epoch(2, 0.0, None, None, 0.0)]) == 2


def test_the_accuracy_under_an_attack_is_that_of_the_images_left_right() -> None:
    network, batch = linear().eval(), doubles(60)
    y = network(batch.x).argmax(1)
    y[:10] = (y[:10] + 1) % 3
    batch = Batch(batch.x, y, batch.ids, None)
    x = batch.x.clone().requires_grad_()
    (g,) = torch.autograd.grad(nn.functional.cross_entropy(network(x), batch.y), x)
    there = network((batch.x + 0.05 * g.sign()).clamp(0, 1)).argmax(1)
    stands = (network(batch.x).argmax(1) == batch.y) & (there == batch.y)
    attack = FGSM(Linf(0.05), loss=cross_entropy)
    assert attacked_accuracy(attack, network, batch, batch=7) == pytest.approx(float(stands.double().mean()))
    assert BestEpoch(attack).score(network, batch, 0) == attacked_accuracy(attack, network, batch)
    assert BestEpoch().score(network, batch, 0) == accuracy(network, batch)
    assert 0 < float(stands.double().mean()) < accuracy(network, batch)


def test_texts() -> None:
    assert selections.load("last") == LastEpoch()
    assert selections.load("best:attack=[pgd:eps=0.1,steps=10]") == BestEpoch(PGD(Linf(0.1), steps=10))
    assert str(BestEpoch(PGD(Linf(0.25), steps=10))) == "best:attack=[pgd:norm=linf,eps=0.25,steps=10]"
    with pytest.raises(UnknownName, match="selection"):
        selections.load("worst")
    with pytest.raises(ContractError, match="selection"):
        selections.load(torch.nn.ReLU())  # type: ignore[arg-type]


def test_both_networks_are_told_and_the_samples_are_a_part_of_the_training_data(tmp_path: Path) -> None:
    data = vb.data.load("digits/train[:80]")
    run = TrainingRun("digits-cnn", "digits/train", 3, batch=20, selection="best:attack=[fgsm:eps=0.05]", holdout=0.25)
    history = train(run, data, tmp_path / "w.safetensors")
    meta = weights.metadata(tmp_path / "w.safetensors")
    assert meta["run"]["selection"] == "best:attack=[fgsm:eps=0.05]"
    assert meta["data"]["trained"] == 60
    assert meta["selected"] == history.selected
    scores = [epoch["score"] for epoch in meta["epochs"]]
    assert len(scores) == 3
    assert scores[meta["selected"] - 1] == max(scores)
    held = data.batch(torch.arange(60, 80))
    network = vb.models.load(tmp_path / "w.safetensors")
    assert attacked_accuracy(FGSM(Linf(0.05)), network, held) == pytest.approx(max(scores))
    assert meta["validation_accuracy"] == meta["epochs"][meta["selected"] - 1]["validation"]


def test_a_selection_on_other_samples_or_none_is_refused_before_training(tmp_path: Path) -> None:
    data, out = vb.data.load("digits/train[:40]"), tmp_path / "w.safetensors"
    run = TrainingRun("digits-cnn", "digits/train", 1, selection="best")
    with pytest.raises(ContractError, match="a part of the training data"):
        train(run, data, out, validation=vb.data.load("digits/test[:10]"))
    with pytest.raises(ContractError, match="holdout above 0"):
        train(TrainingRun("digits-cnn", "digits/train", 1, selection="best", holdout=0), data, out)
    assert not list(tmp_path.iterdir())
