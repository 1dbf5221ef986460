"""The stability bound of section 3.1 holds, and is called no certificate."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import vauban as vb
from vauban.certificates.stability import bounded_width, lipschitz, stability
from vauban.models.bounded_relu import BoundedReLU
from vauban.models.sequential import steps_of


def network() -> nn.Sequential:
    torch.manual_seed(2)
    layers = [
        nn.Conv2d(1, 3, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(48, 5),
        BoundedReLU(0.5),
        nn.Linear(5, 3),
    ]
    return nn.Sequential(*layers).eval()


@torch.no_grad()
def test_no_change_moves_the_logits_farther() -> None:
    net, x = network(), torch.rand(20, 1, 4, 4)
    most = lipschitz(steps_of(net, x[:1], "test", True), x[:1].double())
    spectral = torch.linalg.matrix_norm(net[3].weight, 2) * torch.linalg.matrix_norm(net[5].weight, 2)
    jacobian = torch.autograd.functional.jacobian(lambda z: net[0](z.view(1, 1, 4, 4)).flatten(), torch.zeros(16))
    assert most >= float(spectral * torch.linalg.matrix_norm(jacobian, 2)) * (1 - 1e-6)
    d = 0.1 * torch.randn_like(x)
    moved = (net(x + d) - net(x)).norm(dim=1)
    assert bool((moved <= most * d.flatten(1).norm(dim=1)).all())


def test_of_one_entry_a_row_it_is_exact() -> None:
    net = nn.Sequential(nn.Linear(3, 3))
    with torch.no_grad():
        net[0].weight.copy_(torch.diag(torch.tensor([1.0, -4.0, 2.0])))
    assert lipschitz(steps_of(net, torch.rand(1, 3), "test", True), torch.rand(1, 3).double()) == pytest.approx(4.0)


def test_the_width_of_a_bounded_relu_and_the_caveat() -> None:
    x = torch.rand(1, 1, 4, 4)
    assert bounded_width(network(), x) == pytest.approx(0.5 * math.sqrt(5))
    text = stability(network(), x)
    assert "no certificate" in text
    assert "t ||1|| = 1.12" in text
    assert stability(nn.Sequential(nn.LayerNorm(4)), torch.rand(1, 4)) == ""
    assert stability(nn.Sequential(nn.Linear(4, 3), nn.ELU(2.0)), torch.rand(1, 4)) == ""  # of slope 2


def test_it_stands_beside_a_certificate() -> None:
    net, x = network(), torch.rand(3, 1, 4, 4)
    data = vb.data.from_torch((x, net(x).argmax(1)), levels=None)
    assert "no certificate" in str(vb.certify("ibp", net, data, attacks=[]))
