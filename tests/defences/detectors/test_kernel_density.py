"""Kernel density of features: by hand, the bandwidth by likelihood, bounded in memory, in files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.neighbors import KernelDensity as Reference
from torch import nn

import vauban as vb
from vauban import attacks, defences, threats
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.norms import Linf
from vauban.core.rng import seeded
from vauban.defences.detectors.kernel_density import FitKernelDensity, likeliest_bandwidth
from vauban.evaluate.fit import fit


def network() -> nn.Sequential:
    with seeded("tests", 5):
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.Tanh(), nn.Linear(6, 3)).double().eval()


def images(n: int, seed: int) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 1, 4, 4, generator=draw, dtype=torch.float64)
    return Batch(x, torch.randint(0, 3, (n,), generator=draw), torch.arange(n), None)


@pytest.mark.parametrize("bandwidth", [0.05, 0.7, 20.0])
def test_the_density_is_that_of_scikit_learn_within_the_answered_class(bandwidth: float) -> None:
    net, batch, new = network(), images(200, 0), images(40, 1).x
    fitted = FitKernelDensity(bandwidth=bandwidth, most=25).fit(net, [batch])
    score = fitted.defence.scorer(net)(net, new)[1][:, 0].detach()
    held, label = net[:3](batch.x[::2]).detach().float().double(), net(new).argmax(1)
    for c in label.unique().tolist():
        first = held[batch.y[::2] == c][:25].numpy()
        width = bandwidth / math.sqrt(2)  # scikit-learn divides by 2 width^2 and normalises
        reference = Reference(kernel="gaussian", bandwidth=width).fit(first)
        mine = net[:3](new[label == c]).detach().numpy()
        expected = reference.score_samples(mine) + 3 * math.log(math.pi * bandwidth**2)
        np.testing.assert_allclose(-score[label == c].numpy(), expected, rtol=1e-5, atol=1e-5)


def test_the_bandwidth_is_the_likeliest_of_the_grid() -> None:
    draw = torch.Generator().manual_seed(0)
    features, count = torch.randn(2, 30, 4, generator=draw, dtype=torch.float64), torch.tensor([30, 20])

    def likelihood(s: float) -> float:
        total = 0.0
        for group, n in zip(features, count.tolist(), strict=True):
            for i in range(n):
                others = torch.cat([group[:i], group[i + 1 : n]])
                kernel = (-(others - group[i]).square().sum(1) / s**2).exp().mean() / (math.pi * s**2) ** 2
                total += math.log(max(float(kernel), 1e-300))
        return total

    chosen = likeliest_bandwidth(features, count)
    assert likelihood(chosen) >= max(likelihood(chosen * 2 ** (j / 2)) for j in (-3, -2, -1, 1, 2, 3))


def test_a_stream_of_any_batches_gives_the_same_and_holds_few() -> None:
    net, batch = network(), images(200, 0)
    split = [Batch(*piece, None) for piece in zip(*(p.split(9) for p in (batch.x, batch.y, batch.ids)), strict=True)]
    one, other = (FitKernelDensity(most=8).fit(net, held).defence for held in ([batch], split))
    assert torch.equal(one.held.tensors["features"], other.held.tensors["features"])
    assert one.held.tensors["features"].shape == (3, 8, 6)
    assert one.calibration == other.calibration


def test_the_gradient_of_the_statistic_reaches_the_image() -> None:
    net = network()
    scorer = FitKernelDensity().fit(net, [images(200, 0)]).defence.scorer(net)
    assert torch.autograd.gradcheck(lambda x: scorer(net, x)[1], images(3, 2).x.requires_grad_())


def test_a_file_and_an_attacker_who_knows_it(digits_cnn: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "density.safetensors"
    fitted = fit("kernel-density:most=30", digits_cnn, vb.data.load("digits/train[:400]"), path)
    batch = vb.data.load("digits/test[:30]").all()
    network = defences.load(f"kernel-density:file={path}").wrap(digits_cnn)
    assert torch.equal(network(batch.x), fitted.defence.wrap(digits_cnn)(batch.x))
    assert float((network(batch.x).argmax(1) == 10).double().mean()) < 0.3
    aware = vb.attack(attacks.PGD(Linf(0.2), steps=20), network, batch, threat=threats.adaptive())
    assert int(aware.success.sum()) > 15
    assert not (network(aware.adversarial[aware.success]).argmax(1) == 10).any()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_features_that_are_not_finite_are_said_to_be_so(value: float) -> None:
    net, batch = network(), images(40, 0)
    with torch.no_grad():
        net[1].bias.fill_(math.nan)
    with pytest.raises(ContractError, match="expected finite features") as refused:
        FitKernelDensity().fit(net, [batch])
    assert "\n" not in str(refused.value)
    with pytest.raises(ContractError, match="expected finite features"):
        likeliest_bandwidth(torch.full((2, 4, 3), value, dtype=torch.float64), torch.tensor([4, 4]))


def test_equal_features_have_no_bandwidth() -> None:
    count = torch.tensor([4, 3])
    with pytest.raises(ContractError, match="features that differ within a class"):
        likeliest_bandwidth(torch.ones(2, 4, 3, dtype=torch.float64), count)
    features = torch.zeros(2, 4, 3, dtype=torch.float64)
    features[:, 3] = 2.0  # one that differs, among equal ones
    assert likeliest_bandwidth(features, torch.tensor([4, 4])) > 1e-3
