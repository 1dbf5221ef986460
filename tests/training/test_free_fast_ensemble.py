"""Free, fast and ensemble adversarial training against their algorithms written out."""

from __future__ import annotations

import pytest
import torch
from tests.training.counting import Counted, doubles, images, linear
from torch import nn
from torch.nn import functional as F

from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.core.rng import Stream
from vauban.training.objectives.ensemble import EnsembleTraining
from vauban.training.objectives.fast import FastTraining
from vauban.training.objectives.free import FreeTraining


def test_free_training_moves_the_perturbation_by_the_same_backward_pass() -> None:
    network, batch, eps = linear(), doubles(), 0.1
    objective = FreeTraining(eps, replays=3, step_size=0.07).objective(0)
    d = torch.zeros_like(batch.x)
    for step in range(4):
        value, _ = objective(network, batch, step)
        leaf = d.clone().requires_grad_()
        expected = F.cross_entropy(network((batch.x + leaf).clamp(0, 1)), batch.y)
        torch.testing.assert_close(value, expected)
        value.backward()
        (g,) = torch.autograd.grad(expected, leaf)
        d = (d + 0.07 * g.sign()).clamp(-eps, eps)
        with torch.no_grad():
            for p in network.parameters():
                p -= 0.05 * p.grad
                p.grad = None
    torch.testing.assert_close(objective.state()["perturbation"], d)
    assert float(d.abs().max()) == pytest.approx(eps)


def test_a_batch_of_other_size_takes_over_the_rows_there_are() -> None:
    network, objective = linear(), FreeTraining(0.1).objective(0)
    for size in (4, 6, 2, 6):
        value, _ = objective(network, doubles(size), 0)
        value.backward()
    assert objective.state()["perturbation"].shape[0] == 6


def test_fast_training_is_one_step_from_the_drawn_point() -> None:
    network, batch, eps = linear().eval(), doubles(), 0.1
    x = FastTraining(eps).objective(7).made(network, batch, 2)
    u = Stream(7, batch.ids).uniform("fast", tuple(batch.x.shape[1:]), t=2, dtype=torch.float64)
    d = (batch.x + eps * (2 * u - 1)).clamp(0, 1) - batch.x
    at = (batch.x + d).requires_grad_()
    (g,) = torch.autograd.grad(F.cross_entropy(network(at), batch.y, reduction="sum"), at)
    torch.testing.assert_close(x, (batch.x + (d + 1.25 * eps * g.sign()).clamp(-eps, eps)).clamp(0, 1))


def test_the_images_of_an_ensemble_come_from_every_network_in_turn_of_the_draw() -> None:
    network, batch = linear(), doubles()
    others = tuple(nn.Sequential(nn.Flatten(), nn.Linear(32, 3)).double() for _ in range(2))
    attack = FGSM(Linf(0.1), loss=cross_entropy)
    objective = EnsembleTraining(attack, others).objective(5)

    def crafted(source: nn.Module) -> torch.Tensor:
        x = batch.x.clone().requires_grad_()
        (g,) = torch.autograd.grad(F.cross_entropy(source(x), batch.y), x)
        return (batch.x + 0.1 * g.sign()).clamp(0, 1)

    expected = [crafted(source) for source in (network, *others)]
    seen = set()
    for step in range(30):
        made = objective.made(network, batch, step)
        same = [torch.allclose(made, image, rtol=0, atol=1e-12) for image in expected]
        assert sum(same) == 1
        seen.add(same.index(True))
    assert seen == {0, 1, 2}


def test_sources_of_other_classes_or_none_are_refused_before_anything_is_trained() -> None:
    with pytest.raises(ContractError, match="sources="):
        EnsembleTraining(FGSM(Linf(0.1)), ())
    with pytest.raises(ContractError, match="source 2 of 3 classes as the network to train has, got one of 4"):
        EnsembleTraining(FGSM(Linf(0.1)), (Counted(), Counted(4))).check(Counted(), images())
    assert isinstance(images(), Batch)
