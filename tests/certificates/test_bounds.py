"""Interval and linear bounds: exact on one affine layer, sound by brute force, in order, refused where there are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban.certificates import CROWN, IBP
from vauban.certificates.bounds import Region, linear_margins, relaxed
from vauban.core.errors import ContractError, VaubanError
from vauban.core.norms import L2, Linf
from vauban.core.rng import Stream
from vauban.models.bounded_relu import BoundedReLU
from vauban.models.intervals import differences, interval_margins
from vauban.models.sequential import steps_of


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def seeded(network: nn.Module, seed: int = 0) -> nn.Module:
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(torch.randn(p.shape, generator=generator(seed + p.numel())) * 0.7 / max(1, p[0].numel()) ** 0.5)
    return network.eval()


def dense(seed: int = 0, slope: float = 0.0) -> nn.Module:
    def act() -> nn.Module:
        return nn.LeakyReLU(slope) if slope else nn.ReLU()

    return seeded(nn.Sequential(nn.Linear(6, 12), act(), nn.Linear(12, 10), act(), nn.Linear(10, 3)), seed)


def convolutional() -> nn.Module:
    layers = [nn.Conv2d(1, 3, 3, stride=2, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 2), nn.ReLU()]
    network = nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 3))
    seeded(network)
    network[1].running_mean.copy_(torch.tensor([0.1, -0.2, 0.0]))
    network[1].running_var.copy_(torch.tensor([0.5, 2.0, 1.0]))
    return vb.models.wrap(network, mean=0.4, std=0.5)


def images(shape: tuple[int, ...], n: int = 5) -> Tensor:
    return torch.rand(n, *shape, generator=generator(9))


def true_margins(network: nn.Module, x: Tensor, label: Tensor) -> Tensor:
    z = network(x).double()
    return z.gather(1, label[:, None]) - z


CASES = [(dense(), (6,)), (dense(3, 0.1), (6,)), (convolutional(), (1, 6, 6))]


@pytest.mark.parametrize(("network", "shape"), CASES)
@pytest.mark.parametrize("norm", [Linf, L2])
def test_bounds_hold_at_random_points_and_are_in_order(
    network: nn.Module, shape: tuple[int, ...], norm: vb.Norm
) -> None:
    x = images(shape)
    steps, label = steps_of(network, x[:1], "test", True), network(x).argmax(1)
    region = Region(x.double(), torch.linspace(0.02, 0.5, len(x), dtype=torch.float64), norm)
    with torch.no_grad():
        low, tight = interval_margins(steps, region.box, label), linear_margins(steps, region, label)
        assert bool((low <= tight + 1e-9).all())
        worst = torch.full_like(low, torch.inf)
        for k in range(300):
            d = torch.randn(x.shape, generator=generator(k)).double()
            d = d.sign() if norm == Linf and k % 2 else d
            point = x + norm.steepest(d) * region.radius.view(-1, *(1,) * (x.dim() - 1))
            worst = torch.minimum(worst, true_margins(network, point.clamp(0, 1).float(), label))
        assert bool((tight <= worst + 1e-5).all())
        assert bool((tight > low + 1e-3).any())  # and is of use


@pytest.mark.parametrize("norm", [Linf, L2])
def test_one_affine_layer_is_exact(norm: vb.Norm) -> None:
    network = seeded(nn.Sequential(nn.Flatten(), nn.Linear(8, 4)))
    x = 0.3 + 0.4 * images((2, 4))  # the region stays inside [0,1]
    label, rows = network(x).argmax(1), differences(network(x).argmax(1), 4)
    radius = torch.full((len(x),), 0.2, dtype=torch.float64)
    weights = rows @ network[1].weight.double()
    exact = true_margins(network, x, label) - 0.2 * weights.norm(p=1 if norm == Linf else 2, dim=2)
    region, steps = Region(x.double(), radius, norm), steps_of(network, x[:1], "test", True)
    assert torch.allclose(linear_margins(steps, region, label), exact, atol=1e-5)
    if norm == Linf:
        assert torch.allclose(interval_margins(steps, region.box, label), exact, atol=1e-5)


def test_the_radius_of_a_linear_classifier_is_its_distance() -> None:
    network = seeded(nn.Sequential(nn.Linear(8, 3)))
    x = 0.4 + 0.2 * images((8,))
    label = network(x).argmax(1)
    margins, rows = true_margins(network, x, label), differences(label, 3) @ network[0].weight.double()
    for certificate, p in ((IBP(largest=0.3), 1), (CROWN(largest=0.3), 1), (CROWN(norm=L2, largest=0.3), 2)):
        exact = (margins / rows.norm(p=p, dim=2)).nan_to_num(torch.inf).amin(1).clamp_max(0.3)
        bound = certificate.bound(network, x, Stream(0, torch.arange(len(x))))
        assert bool((bound.radius <= exact + 1e-6).all())
        assert torch.allclose(bound.radius, exact, atol=0.3 / 2**12 + 1e-6)
        assert torch.equal(bound.label, label)


@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_lines_enclose_the_activation(slope: float) -> None:
    low, high = torch.tensor([[-2.0, -0.5, 0.5, -3.0]]).double(), torch.tensor([[1.0, 2.0, 3.0, -1.0]]).double()
    for sign in (1.0, -1.0):
        rows, constant = relaxed(sign * torch.eye(4).double()[None], (low, high), slope)
        for share in torch.linspace(0, 1, 11):
            z = low + share * (high - low)
            line = (rows * z[:, None]).sum(2) + constant
            value = sign * nn.functional.leaky_relu(z, slope)
            # Each row bounds its own neuron; the constants of a row are those of its neuron alone.
            assert bool((line <= value + 1e-9).all())
            if share in (0, 1) and sign < 0:
                assert torch.allclose(line, value)


def test_radii_are_in_order_and_attacks_reach_no_further() -> None:
    x = images((1, 6, 6), 8)
    network = convolutional()
    data = vb.data.from_torch((x, network(x).argmax(1)), levels=None)
    ibp, crown = vb.certify(["ibp", "crown"], network, data, attacks=["fmn:norm=linf,steps=30"]).certificates
    assert bool((ibp.columns["radius"] <= crown.columns["radius"]).all())
    assert bool((ibp.columns["radius"] < crown.columns["radius"]).any())
    assert bool((crown.columns["radius"] <= crown.columns["other_at"] + 1e-6).all())
    assert bool(np.isfinite(crown.columns["wrong_at"]).any())
    l2 = vb.certify("crown:norm=l2,largest=2", network, data, attacks=["ddn:steps=20"]).certificates[0]
    assert bool((l2.columns["radius"] <= l2.columns["other_at"] + 1e-6).all())
    assert l2.meta["norm"] == "l2"


def test_rising_functions_have_intervals_and_no_lines() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.MaxPool2d(2), BoundedReLU(0.5), nn.Flatten())
    network = seeded(nn.Sequential(network, nn.Linear(8, 3)))
    x = images((1, 6, 6))
    steps, label = steps_of(network, x[:1], "test", True), network(x).argmax(1)
    low = interval_margins(steps, Region(x.double(), torch.full((5,), 0.05).double(), Linf).box, label)
    noise = 0.05 * (2 * torch.rand(200, *x.shape, generator=generator(2)) - 1)
    for e in noise:
        assert bool((low <= true_margins(network, (x + e).clamp(0, 1), label) + 1e-5).all())
    with pytest.raises(ContractError, match=r"expected affine layers and \(leaky\) ReLU for CROWN, got Tanh at 0.1"):
        CROWN().check(network, x[:1])


class Residual(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Linear(6, 3), nn.LayerNorm(3)), "LayerNorm at 1"),
        (nn.Sequential(nn.Linear(6, 6), Residual(nn.Linear(6, 6))), "Residual at 1"),
        (vb.defences.GaussianNoise(0.1).wrap(nn.Linear(6, 3)), "Transformed at the top"),
    ],
)
def test_layers_without_bounds_are_named(network: nn.Module, message: str) -> None:
    for certificate in (IBP(), CROWN()):
        with pytest.raises(ContractError, match=message):
            certificate.check(network, images((6,), 1))


def test_a_network_that_is_not_its_layers_is_refused() -> None:
    network = nn.Sequential(nn.Linear(6, 3))
    network.register_forward_hook(lambda module, args, out: out * 2 + 1)
    with pytest.raises(ContractError, match="not sequential"):
        IBP().check(network, images((6,), 1))


@pytest.mark.parametrize("word", ["ibp:largest=0", "crown:rounds=0", "crown:norm=l1", "ibp:norm=l2"])
def test_parameters_out_of_range_are_refused(word: str) -> None:
    with pytest.raises(VaubanError):
        vb.certificates.load(word)
