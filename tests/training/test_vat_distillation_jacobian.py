"""Virtual adversarial training on a known quadratic; distillation's targets and the Jacobian's norm by hand."""

from __future__ import annotations

import pytest
import torch
from tests.training.counting import Counted, doubles, images, linear
from torch import nn
from torch.nn import functional as F

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.rng import seeded
from vauban.training.objectives.distillation import Distillation
from vauban.training.objectives.jacobian import JacobianPenalty
from vauban.training.objectives.vat import VirtualTraining, virtual_direction


def curvature(network: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    """The second derivative of KL(p(x) || p(x + r)) in r at 0: W^T (diag p - p p^T) W."""
    w = network[1].weight.detach()
    p = network(x).softmax(1)[0].detach()
    return w.T @ (torch.diag(p) - torch.outer(p, p)) @ w


@pytest.mark.parametrize("xi", [1e-2, 1e-3])
def test_the_virtual_direction_is_the_dominant_eigenvector(xi: float) -> None:
    network, batch = linear(), doubles(4)
    objective = VirtualTraining(eps=0.3, xi=xi, steps=60).objective(1)
    d = virtual_direction(objective, network, batch, 0).flatten(1)
    for row, image in zip(d, batch.x, strict=True):
        _, vectors = torch.linalg.eigh(curvature(network, image[None]))
        assert abs(float(row @ vectors[:, -1])) > 1 - 1e-3


def test_one_step_is_the_curvature_times_the_drawn_direction() -> None:
    network, batch = linear(), doubles(4)
    drawn = virtual_direction(VirtualTraining(steps=1, xi=1e-4).objective(1), network, batch, 0).flatten(1)
    again = virtual_direction(VirtualTraining(steps=2, xi=1e-4).objective(1), network, batch, 0).flatten(1)
    for one, two, image in zip(drawn, again, batch.x, strict=True):
        torch.testing.assert_close(two, F.normalize(curvature(network, image[None]) @ one, dim=0), atol=1e-3, rtol=0)


def test_a_difference_of_1e_6_is_noise_in_float32_and_1e_2_is_not() -> None:
    network, batch = linear(), doubles(20)
    exact = virtual_direction(VirtualTraining(steps=2, xi=1e-4).objective(1), network, batch, 0).flatten(1)
    network, single = network.float(), Batch(batch.x.float(), batch.y, batch.ids, None)
    cosines = {}
    for xi in (1e-2, 1e-6):
        d = virtual_direction(VirtualTraining(steps=2, xi=xi).objective(1), network, single, 0).flatten(1).double()
        cosines[xi] = float((d * exact).sum(1).abs().mean())
    assert cosines[1e-2] > 0.98
    assert cosines[1e-6] < 0.8


def test_the_penalty_of_vat_does_not_differentiate_the_clean_answer() -> None:
    network, batch = linear(), doubles()
    objective = VirtualTraining(eps=0.3, alpha=2.0).objective(1)
    moved = objective.made(network, batch, 0)
    value, _ = objective.value(network, batch, moved)
    value.backward()
    p, q = network(batch.x).softmax(1).detach(), network(moved).softmax(1).detach()
    flat, other = batch.x.flatten(1), moved.flatten(1)
    expected = ((p - F.one_hot(batch.y, 3)).T @ flat + 2.0 * (q - p).T @ other) / len(flat)
    torch.testing.assert_close(network[1].weight.grad, expected)
    length = (moved - batch.x).flatten(1).norm(dim=1)
    assert bool((length <= 0.3 + 1e-9).all())


@pytest.mark.parametrize("temperature", [1.0, 20.0])
def test_distillation_has_the_softened_answers_of_the_teacher_as_targets(temperature: float) -> None:
    network, batch = linear(), doubles()
    with seeded(9):
        teacher = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(32, 3)).double()
    value, logits = Distillation(teacher, temperature).objective(0)(network, batch, 0)
    teacher.eval()
    q = (teacher(batch.x) / temperature).softmax(1).detach()
    p = (network(batch.x) / temperature).softmax(1)
    torch.testing.assert_close(value, -(q * p.log()).sum(1).mean())
    torch.testing.assert_close(logits, network(batch.x))
    value.backward()
    by_hand = ((p.detach() - q).T @ batch.x.flatten(1)) / temperature / len(q)
    torch.testing.assert_close(network[1].weight.grad, by_hand)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_teacher_of_other_classes_and_temperatures_of_nothing_are_refused() -> None:
    with pytest.raises(ContractError, match="teacher of 3 classes as the network to train has, got one of 5"):
        Distillation(Counted(5)).check(Counted(), images())
    for temperature in (0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ContractError, match="temperature of Distillation"):
            Distillation(Counted(), temperature)


def test_the_jacobian_of_a_linear_network_is_its_weights() -> None:
    network, batch = linear(), doubles()
    value, _ = JacobianPenalty(weight=0.5, projections=0).objective(0)(network, batch, 0)
    plain = F.cross_entropy(network(batch.x), batch.y)
    torch.testing.assert_close(value - plain, 0.25 * network[1].weight.square().sum())
    value.backward()
    _, other = network, linear()
    (F.cross_entropy(other(batch.x), batch.y) + 0.25 * other[1].weight.square().sum()).backward()
    torch.testing.assert_close(network[1].weight.grad, other[1].weight.grad)


def test_random_projections_estimate_it_without_bias() -> None:
    network, batch = linear(), doubles(40)
    objective = JacobianPenalty(weight=2.0, projections=3).objective(0)
    plain = F.cross_entropy(network(batch.x), batch.y)
    drawn = torch.stack([(objective(network, batch, step)[0] - plain).detach() for step in range(25)])
    exact = network[1].weight.square().sum().detach()
    assert abs(float(drawn.mean() / exact) - 1) < 4 * float(drawn.std() / exact) / 5
    assert float(drawn.std() / exact) < 0.1
