"""TRADES' two gradients by hand; AWP against its formula, and its buffers."""

from __future__ import annotations

import pytest
import torch
from tests.training.counting import Counted, doubles, images, linear
from torch import nn
from torch.nn import functional as F

from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.minimal.deepfool import DeepFool
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.losses import divergence, margin
from vauban.core.norms import Linf
from vauban.engine import Restarts
from vauban.training.augmentation.mirror_shift import MirrorShift
from vauban.training.objectives.adversarial import AdversarialTraining
from vauban.training.objectives.awp import WeightPerturbation
from vauban.training.objectives.standard import StandardTraining
from vauban.training.objectives.trades import CleanAndCrafted, Trades


def test_the_gradient_of_trades_goes_through_both_distributions() -> None:
    """Of KL(p || q), p = softmax(W x), q = softmax(W x'): in z' it is q - p, in z it is p (log(p / q) - KL)."""
    network, batch, beta = linear(), doubles(), 2.5
    moved = (batch.x + 0.05 * torch.sin(batch.x * 40)).clamp(0, 1)
    objective = Trades(PGD(Linf(0.1), steps=1), beta).objective(0)
    value, _ = objective.value(network, batch, CleanAndCrafted(None, moved))
    value.backward()
    flat, other, n = batch.x.flatten(1), moved.flatten(1), len(batch.x)
    w, b = network[1].weight.detach(), network[1].bias.detach()
    p, q = (flat @ w.T + b).softmax(1), (other @ w.T + b).softmax(1)
    apart = (p * (p / q).log()).sum(1, keepdim=True)
    expected = (p - F.one_hot(batch.y, 3)).T @ flat + beta * (
        (q - p).T @ other + (p * ((p / q).log() - apart)).T @ flat
    )
    torch.testing.assert_close(network[1].weight.grad, expected / n)
    torch.testing.assert_close(value.detach(), F.cross_entropy(flat @ w.T + b, batch.y) + beta * apart.mean())


def test_images_of_trades_raise_the_divergence_and_not_the_loss_of_the_attack() -> None:
    network, batch = linear().eval(), doubles()
    attack = FGSM(Linf(0.05), loss=margin)
    objective = Trades(PGD(Linf(0.05), steps=4, loss=margin)).objective(3)
    made = objective.made(network, batch, 0)
    assert objective.attack.loss is divergence
    there = network(made.x).log_softmax(1)
    p = network(batch.x).softmax(1)
    raised = (p * (p.log() - there)).sum(1)
    noise = batch.x + 0.05 * torch.sign(torch.sin(batch.x * 99))
    by_noise = (p * (p.log() - network(noise.clamp(0, 1)).log_softmax(1))).sum(1)
    assert bool((raised > by_noise).all())
    assert ((made.x - batch.x).abs() <= 0.05 + 1e-9).all()
    assert attack.loss is margin


def test_an_attack_inside_another_one_gets_the_loss_and_one_without_a_loss_is_refused() -> None:
    held = Trades(Restarts(PGD(Linf(0.1), steps=2), times=2)).objective(0).attack
    assert held.attack.loss is divergence
    with pytest.raises(ContractError, match="an attack with a loss for trades, got deepfool"):
        Trades(DeepFool())


def test_divergence_without_clean_answers_says_who_gives_them() -> None:
    network, batch = linear(), doubles()
    with pytest.raises(ContractError, match="part trades or vat"):
        AdversarialTraining(PGD(Linf(0.1), steps=1, loss=divergence)).objective(0)(network, batch, 0)


def test_the_value_of_awp_is_that_at_the_weights_moved_by_the_printed_rule() -> None:
    network, batch, gamma = linear(), doubles(), 0.3
    value, _ = WeightPerturbation(StandardTraining(), gamma).objective(0)(network, batch, 0)
    value.backward()
    w, b = (network[1].weight.detach().clone().requires_grad_(), network[1].bias.detach())
    flat = batch.x.flatten(1)
    (g,) = torch.autograd.grad(F.cross_entropy(flat @ w.T + b, batch.y), w)
    there = (w + gamma * w.norm() * g / g.norm()).detach().requires_grad_()
    expected = F.cross_entropy(flat @ there.T + b, batch.y)
    expected.backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(network[1].weight.grad, there.grad)
    assert torch.equal(network[1].weight, w)


@pytest.mark.parametrize("inner", [StandardTraining(), AdversarialTraining(PGD(Linf(0.1), steps=2))])
def test_awp_moves_buffers_as_the_objective_alone_does(inner: nn.Module) -> None:
    alone, wrapped = Counted(), Counted()
    inner.objective(0)(alone, images(), 0)
    WeightPerturbation(inner, 0.5).objective(0)(wrapped, images(), 0)
    there = dict(wrapped.named_buffers())
    assert all(torch.equal(value, there[name]) for name, value in alone.named_buffers())
    assert wrapped.net[2].running_mean.any()


def test_awp_takes_an_objective() -> None:
    with pytest.raises(ContractError, match="objective of awp to be one"):
        WeightPerturbation(MirrorShift())
    with pytest.raises(ContractError, match="one objective"):
        WeightPerturbation(StandardTraining()) + StandardTraining()
    assert isinstance(images(), Batch)
