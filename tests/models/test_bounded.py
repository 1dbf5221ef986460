"""Bounded data in its own units: the same logits, conversions, radii, and CIA that keeps to the bounds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import vauban as vb
from vauban.attacks import load
from vauban.core.errors import ContractError
from vauban.core.norms import Linf
from vauban.core.rng import Stream
from vauban.engine import BoundThreat, Oracle, iterate

LOW, HIGH = torch.tensor([-3.0, 0.0, 10.0, -1.0]), torch.tensor([5.0, 1.0, 30.0, 1.0])


def vectors(n: int = 5) -> torch.Tensor:
    u = Stream(3, torch.arange(n)).uniform("u", (4,), dtype=torch.float64)
    u[0], u[1] = 0, 1
    return LOW.double() + u * (HIGH - LOW).double()


def network() -> nn.Module:
    net = nn.Linear(4, 3, dtype=torch.float64).requires_grad_(False)
    net.weight.copy_(torch.arange(12.0).view(3, 4).sin())
    net.bias.zero_()
    return net


def test_the_network_sees_its_own_units() -> None:
    data, net = vectors(), network()
    model = vb.models.bounded(net, LOW, HIGH)
    x = model.unit(data)
    assert x.min() == 0
    assert x.max() == 1
    torch.testing.assert_close(model.data(x), data)
    torch.testing.assert_close(model(x), net(data))


@pytest.mark.slow
@pytest.mark.parametrize("delta", [0.5, [0.5, 0.1, 4.0, 0.0]])
def test_cia_in_units_of_the_data(delta: float | list[float]) -> None:
    """No feature leaves [low, high] or data +- delta; one that may move goes toward its corner of a linear network."""
    data, net = vectors(), network()
    model = vb.models.bounded(net, LOW, HIGH)
    y = net(data).argmax(1)
    x = model.unit(data)
    attack = load("cia", ball=Linf(model.radius(delta, x)), steps=200)
    result = iterate(
        attack, Oracle.open(BoundThreat(model, levels=None), x, y, vb.Targeted((y + 1) % 3)), stop="never", keep="last"
    )
    found, width = model.data(result.crafted), torch.as_tensor(delta).double()
    assert ((found >= LOW) & (found <= HIGH)).all()
    assert ((found - data).abs() <= width + 1e-6).all()
    assert torch.equal(result.crafted[:, (width == 0).expand(4)], x[:, (width == 0).expand(4)])
    assert ((found - data).abs().amax(0)[(width > 0).expand(4)] > 0.8 * width.expand(4)[(width > 0).expand(4)]).all()
    before, after = (nn.functional.cross_entropy(model(at), (y + 1) % 3) for at in (x, result.crafted))
    assert after < before


def test_one_range_for_all_features_and_channels_of_images() -> None:
    x = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    for low, high in ((-3.0, 5.0), ([-3.0, 0.0, 1.0], [5.0, 1.0, 2.0]), (torch.zeros(3, 4, 4), torch.ones(3, 4, 4))):
        model = vb.models.bounded(net, low, high)
        a, b = (torch.as_tensor(end) for end in (low, high))
        a, b = (end.view(-1, 1, 1) if end.dim() == 1 else end for end in (a, b))
        torch.testing.assert_close(model(x), net(a + x * (b - a)))


def test_bounds_that_do_not_fit() -> None:
    net = network()
    with pytest.raises(ContractError, match=r"^expected low < high in every feature.*$"):
        vb.models.bounded(net, [0.0, 1.0], [1.0, 1.0])
    with pytest.raises(ContractError, match=r"^expected low and high of one shape.*$"):
        vb.models.bounded(net, torch.zeros(2), torch.ones(3))
    with pytest.raises(ContractError, match=r"^expected finite numbers in high.*$"):
        vb.models.bounded(net, 0.0, float("inf"))
    with pytest.raises(ContractError, match=r"^expected data whose features \(4,\) fit the \(3,\) bounds.*$"):
        vb.models.bounded(net, torch.zeros(3), torch.ones(3))(torch.zeros(2, 4))
    with pytest.raises(ContractError, match=r"^expected an nn.Module.*$"):
        vb.models.bounded(lambda x: x, 0.0, 1.0)  # type: ignore[arg-type]
