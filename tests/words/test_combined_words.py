"""Combinators by name: restarts and the smallest eps per sample."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vauban.core.errors import ContractError, UnknownName
from vauban.engine import Bisection, BoundThreat, Oracle, Restarts
from vauban.words.attack import attack_of


def test_restarts_of_an_attack_in_brackets() -> None:
    made = attack_of("restarts:attack=[pgd:steps=7,eps=8/255],times=3").value
    assert isinstance(made, Restarts)
    assert made.times == 3
    assert made.attack.steps == 7  # type: ignore[union-attr]
    assert made.needs == "gradients"


def test_minimal_eps_of_fgsm_on_a_linear_model_is_the_dual_norm_distance() -> None:
    w = torch.tensor([[0.0, 0.0], [3.0, -1.0]])
    net = nn.Linear(2, 2, bias=True)
    with torch.no_grad():
        net.weight.copy_(w)
        net.bias.copy_(torch.tensor([1.0, 0.0]))
    x = torch.tensor([[0.4, 0.5], [0.3, 0.6]])  # logit gap 1 - (3 a - b), so eps* = (1 - 3a + b) / 4
    made = attack_of("minimal-eps:attack=[fgsm:eps=0.1],rounds=24").value
    assert isinstance(made, Bisection)
    result = made.run(Oracle.open(BoundThreat(net, levels=None), x, torch.zeros(2, dtype=torch.int64)))
    exact = (1 - 3 * x[:, 0] + x[:, 1]) / 4
    assert torch.allclose(result.distance, exact, atol=1e-5)
    assert bool((result.backwards == 24).all())


def test_errors_name_what_is_wrong() -> None:
    with pytest.raises(ContractError, match="inside a ball"):
        attack_of("minimal-eps:attack=ddn")
    with pytest.raises(UnknownName, match="pgd"):
        attack_of("restarts:attack=pdg")
