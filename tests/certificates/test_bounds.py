"""Interval and linear bounds: exact on one affine layer, sound by brute force, in order, refused where there are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban.certificates import CROWN, IBP
from vauban.certificates.bounds import LinearBounds, linear_margins
from vauban.certificates.linear_rows import LinearRows, Region
from vauban.certificates.search import last_proved
from vauban.core.errors import ContractError, VaubanError
from vauban.core.norms import L2, Linf
from vauban.core.rng import Stream
from vauban.models.bounded_relu import BoundedReLU
from vauban.models.intervals import differences, interval_margins
from vauban.models.lines import clipped_lines, leaky_lines
from vauban.models.sequential import steps_of
from vauban.models.steps import Affine


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


def pooled() -> nn.Module:
    """Windows that reach over the edge, overlapping max pools, bounded activations."""
    layers = [
        nn.Conv2d(1, 4, 3, padding=1),
        BoundedReLU(0.4),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(4, 4, 2),
        nn.BatchNorm2d(4),
    ]
    network = nn.Sequential(
        *layers, nn.ReLU6(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)
    )
    seeded(network)
    network[4].running_mean.copy_(torch.tensor([0.1, -0.2, 0.0, 0.3]))
    network[4].running_var.copy_(torch.tensor([0.05, 0.2, 0.1, 0.1]))
    return network


CASES = [(dense(), (6,)), (dense(3, 0.1), (6,)), (convolutional(), (1, 6, 6)), (pooled(), (1, 6, 6))]


@pytest.mark.parametrize(("network", "shape"), CASES)
@pytest.mark.parametrize("norm", [Linf, L2])
def test_bounds_hold_at_random_points_and_are_in_order(
    network: nn.Module, shape: tuple[int, ...], norm: vb.Norm
) -> None:
    x = images(shape)
    steps, label = steps_of(network, x[:1], "test", True), network(x).argmax(1)
    region = Region(x.double(), torch.linspace(0.02, 0.5, len(x), dtype=torch.float64), norm)
    with torch.no_grad():
        low, tight = interval_margins(steps, region.box, label, True), linear_margins(steps, region, label)
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


@pytest.mark.parametrize("t", [None, 0.5, 2.0])
@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_lines_enclose_the_activation(slope: float, t: float | None) -> None:
    ends = torch.linspace(-3, 3, 25, dtype=torch.float64)
    low, high = (grid.flatten() for grid in torch.meshgrid(ends, ends, indexing="ij"))
    low, high = torch.minimum(low, high), torch.maximum(low, high)
    if t is None:
        lines = leaky_lines(low, high, slope)
    else:
        lines = clipped_lines(low, high, *torch.tensor([slope, slope + t], dtype=torch.float64))
    for share in torch.linspace(0, 1, 21):
        z = low + share * (high - low)
        value = nn.functional.leaky_relu(z, slope) if t is None else z.clamp(slope, slope + t)
        assert bool((lines.below_slope * z + lines.below <= value + 1e-12).all())
        assert bool((lines.above_slope * z + lines.above >= value - 1e-12).all())
    assert bool(((lines.below_slope >= 0) & (lines.above_slope <= 1 + 1e-12)).all())
    corners = [0.0] if t is None else [slope, slope + t]
    straight = torch.stack([(high <= c) | (low >= c) for c in corners]).all(0)
    for one, other in ((lines.below_slope, lines.above_slope), (lines.below, lines.above)):
        assert torch.allclose(one[straight & (high > low)], other[straight & (high > low)])


def test_a_window_is_taken_back_as_the_whole_is() -> None:
    first = nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2))
    network = seeded(nn.Sequential(first, nn.Conv2d(3, 4, 2), nn.Flatten()))
    x = images((2, 7, 5))
    steps = steps_of(network, x[:1], "test", False)
    bounds = LinearBounds(steps, Region(x.double(), torch.full((5,), 0.1).double(), Linf))
    for row, column in ((0, 0), (1, 3), (2, 5)):
        rows = LinearRows.start(
            torch.eye(4).double()[:, :, None, None], torch.zeros(4, dtype=torch.int64), (row, column)
        )
        plain = rows.whole(bounds.shapes[2])
        for i in (1, 0):
            step = steps[i]
            assert isinstance(step, Affine)
            rows = rows.before(step, bounds.shapes[i], bounds.shapes[i + 1])
            folded, added = step.folded(plain.coefficients, bounds.shapes[i])
            plain = LinearRows(folded, plain.constant + added, plain.owner, plain.error)
        assert torch.allclose(rows.whole(bounds.shapes[0]).coefficients, plain.coefficients)
        assert torch.allclose(rows.constant, plain.constant)
        assert rows.coefficients.shape[2] < 7


def test_bounds_are_rounded_outwards() -> None:
    """At radius 0 a bound is the margin itself, less at least what float64 can err by, and not much less."""
    for network, shape in CASES:
        x = images(shape)
        steps, label = steps_of(network, x[:1], "test", True), network(x).argmax(1)
        z = x.double()
        for step in steps:
            z = step.apply(z)
        exact = z.gather(1, label[:, None]) - z
        other = torch.arange(3) != label[:, None]
        region = Region(x.double(), torch.zeros(len(x), dtype=torch.float64), Linf)
        for low in (interval_margins(steps, region.box, label, True), linear_margins(steps, region, label)):
            assert bool((low < exact)[other].all())
            assert torch.allclose(low, exact, atol=1e-10)


def test_the_last_multiple_that_is_proved_is_found_with_few_evaluations() -> None:
    roots = torch.tensor([0.0, 1e-5, 0.013, 0.0251, 0.3, 0.4999, 0.5, 2.0], dtype=torch.float64)
    asked = []
    for shape in (lambda d: d, lambda d: d**3, lambda d: d.sign(), lambda d: d.exp() - 1):

        def margin(index: torch.Tensor, radius: torch.Tensor, shape: object = shape) -> torch.Tensor:
            asked.append(len(index))
            return shape(roots[index] - radius)  # type: ignore[operator]

        radius = last_proved(margin, len(roots), 0.5, 12, torch.device("cpu"))
        step = 0.5 / 2**12
        expected = ((roots / step).ceil() - 1).clamp(0, 2**12) * step  # the margin is above 0 below the root alone
        assert torch.allclose(radius, expected, atol=1e-12)
    assert sum(asked) <= 4 * len(roots) * 13


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
    with pytest.raises(ContractError, match=r"max pools for CROWN, got Tanh at 0\.1"):
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
        (nn.Sequential(nn.Linear(6, 3), nn.ELU(-1.0)), "ELU at 1"),  # it falls below 0
        (nn.Sequential(nn.Linear(6, 3)).bfloat16(), "float32 or float64 for"),
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
