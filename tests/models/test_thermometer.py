"""Thermometer encoding: the code, what BPDA differentiates, and the network behind it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vauban import models, threats
from vauban.core.cards import carded
from vauban.core.errors import ContractError
from vauban.core.losses import cross_entropy
from vauban.engine import Oracle
from vauban.models.edits.thermometer import Thermometer, ThermometerEncoding, soft_thermometer
from vauban.training.recipe import Recipe


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_code(dtype: torch.dtype) -> None:
    x = torch.tensor([0.0, 0.1, 0.25, 0.26, 0.8, 1.0], dtype=dtype).view(6, 1, 1, 1)
    codes = Thermometer(4)(x)
    assert codes.dtype == dtype
    assert codes.flatten(1).tolist() == [[0] * 4, [1, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1] * 4, [1] * 4]
    colours = torch.rand(2, 3, 5, 4)
    out = Thermometer(7)(colours)
    assert out.shape == (2, 21, 5, 4)
    for channel in range(3):
        for k in range(7):
            assert torch.equal(out[:, channel * 7 + k], (colours[:, channel] > k / 7).float())


def test_the_rule_is_in_the_place_of_the_step() -> None:
    x = torch.tensor([0.1, 0.6], dtype=torch.float64).view(1, 2, 1, 1).requires_grad_()
    soft = soft_thermometer(x, levels=2)
    torch.testing.assert_close(soft.flatten(), torch.tensor([0.1, 0.0, 0.6, 0.1], dtype=torch.float64))
    (g,) = torch.autograd.grad(soft.sum(), x)
    assert g.flatten().tolist() == [1, 2]


def test_the_network_has_the_encoding_before_its_first_convolution_and_the_adaptive_threat_its_rule() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    wrapped = models.wrap(net, mean=0.5, std=0.25)
    edited = Recipe((ThermometerEncoding(8),)).edit(wrapped).eval()
    x = torch.rand(2, 3, 8, 8)
    conv = edited[1][0]
    assert (conv.in_channels, conv.out_channels, conv.stride, conv.bias) == (24, 4, (2, 2), None)
    torch.testing.assert_close(edited(x), nn.Sequential(conv, *net[1:])(Thermometer(8)(x)))
    assert edited[1][3] is net[3]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    ((_, card),) = carded(edited)
    assert card.not_differentiable == ("",)
    oracle = Oracle.open(threats.adaptive().bind(edited, levels=None), x, torch.tensor([0, 1]))
    _, (g,) = oracle.gradient(x, cross_entropy)
    assert bool((g != 0).any())


def test_no_convolution_is_refused_in_one_line() -> None:
    for net in (nn.Linear(3, 2), nn.Sequential(nn.Conv2d(2, 2, 1, groups=2))):
        with pytest.raises(ContractError, match="expected a convolution in one group"):
            ThermometerEncoding().edit(net)
    with pytest.raises(ContractError, match="levels"):
        ThermometerEncoding(1)
    with pytest.raises(ContractError, match="expected images"):
        Thermometer(3)(torch.rand(2, 5))
