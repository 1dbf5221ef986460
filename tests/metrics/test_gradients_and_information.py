"""Dissimilarity, mutual information, and where gradients lie: closed forms on linear networks and small histograms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban.core.errors import ContractError
from vauban.core.rng import Stream
from vauban.defences import InputDefence
from vauban.defences.inputs.bit_depth import BitDepth
from vauban.metrics.of_network.base import MeasuredBatch
from vauban.metrics.of_network.gradient_similarity import system_gradient

SHAPE = (3, 12, 12)


def images(n: int = 3) -> Tensor:
    return 0.2 + 0.6 * torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(4))


def linear(classes: int = 2) -> nn.Sequential:
    network = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(SHAPE), classes))
    weight = torch.randn(classes, math.prod(SHAPE), generator=torch.Generator().manual_seed(3))
    network[1].weight.data.copy_(weight)
    return network


@dataclass(frozen=True)
class Fading(InputDefence):
    """x times a ramp over the columns."""

    registered = "fading"
    least: float = 0.2

    def apply(self, x: Tensor) -> Tensor:
        return x * self.ramp

    @property
    def ramp(self) -> Tensor:
        return torch.linspace(self.least, 1, SHAPE[2])


def given(network: nn.Module, x: Tensor) -> MeasuredBatch:
    batch = vb.Batch(x, torch.zeros(len(x), dtype=torch.int64), torch.arange(len(x)), None)
    return MeasuredBatch(network, batch, x, None, Stream(0, batch.ids))


def test_dissimilarity_by_hand() -> None:
    x0 = torch.tensor([[0.3, 0.4], [0.0, 0.0], [0.6, 0.8]])
    x = torch.tensor([[0.3, 0.9], [0.1, 0.0], [0.6, 0.8]])
    values = vb.metrics.dissimilarity(x0, x)
    assert values[[0, 2]].tolist() == pytest.approx([1.0, 0.0], abs=1e-6)
    assert math.isnan(values[1])


def test_mutual_information_of_what_is_known_and_of_what_is_independent() -> None:
    x = torch.arange(4).repeat_interleave(4)[None] / 4 + 0.1  # each pair of four levels once
    y = torch.arange(4).repeat(4)[None] / 4 + 0.1
    assert vb.metrics.nmi(x, x, bins=4).tolist() == pytest.approx([1.0])
    assert vb.metrics.nmi(x, 1 - x, bins=4).tolist() == pytest.approx([1.0])  # any one-to-one map of levels
    assert vb.metrics.nmi(x, y, bins=4).tolist() == pytest.approx([0.0], abs=1e-12)
    coarse = (x > 0.5).float()  # I = H(Y) = log 2, H(X) = log 4
    assert vb.metrics.nmi(x, coarse, bins=4).tolist() == pytest.approx([math.sqrt(0.5)])
    assert vb.metrics.nmi(x, torch.zeros_like(x)).isnan().all()
    with pytest.raises(ContractError, match="2 to 256"):
        vb.metrics.nmi(x, y, bins=1)


def test_magnitude_by_hand() -> None:
    g = torch.zeros(2, 2, 2, 2)
    g[0, :, 0, 0] = torch.tensor([3.0, -4.0])
    g[0, 0, 1, 1] = 2.5
    maps = vb.metrics.gradient_magnitude(g)
    assert maps[:, 0].tolist() == [[[1.0, 0.0], [0.0, 0.5]], [[0.0, 0.0], [0.0, 0.0]]]


def test_gradients_of_every_system_of_a_chain() -> None:
    """Of a linear network each is known: the defence multiplies the class gradient, and alone gives 2 (T(x) - x)(t - 1)."""
    network, x, ramp = linear(), images(), Fading().ramp
    chain = Fading().wrap(BitDepth(8).wrap(network))
    y = torch.zeros(len(x), dtype=torch.int64)

    def own(z: Tensor) -> Tensor:
        p = network(z).softmax(1)
        return ((p - torch.tensor([1.0, 0.0])) @ network[1].weight).view(-1, *SHAPE)

    torch.testing.assert_close(system_gradient(chain, "network", x, y), own(x))
    torch.testing.assert_close(system_gradient(chain, "fading|network", x, y), own(x * ramp) * ramp)
    torch.testing.assert_close(system_gradient(chain, "fading", x, y), 2 * (x * ramp - x) * ramp)
    for wrong in ("jpeg|network", "jpeg", "fading|other", ""):
        with pytest.raises(ContractError, match="expected a system"):
            system_gradient(chain, wrong, x, y)


def test_similarity_is_that_of_the_maps() -> None:
    network, x = linear(), images()
    chain = Fading().wrap(network)
    names = ("network", "fading|network")
    maps = [
        vb.metrics.gradient_magnitude(system_gradient(chain, n, x, torch.zeros(3, dtype=torch.int64))) for n in names
    ]
    values = vb.metrics.GradientSimilarity(*names).values(given(chain, x))
    assert values.tolist() == pytest.approx(vb.metrics.ssim(*maps).tolist())
    assert bool((values < 0.999).all())
    assert vb.metrics.GradientSimilarity().values(given(chain, x)).tolist() == pytest.approx([1.0] * 3)


def test_the_other_of_two_labels_has_the_gradient_turned_around() -> None:
    """Of two classes both gradients lie along w_0 - w_1: the same map. Of three they differ."""
    x, other = images(), vb.metrics.GradientSimilarity(label="other")
    assert other.values(given(linear(2), x)).tolist() == pytest.approx([1.0] * 3)
    assert bool((other.values(given(linear(3), x)) < 0.999).all())


def test_a_gradient_that_is_zero_everywhere_has_no_similarity() -> None:
    network = linear()
    network[1].weight.data.zero_()
    assert vb.metrics.GradientSimilarity().values(given(network, images())).isnan().all()


def test_information_that_a_defence_leaves() -> None:
    """1 without one; of one bit of sixteen equally frequent levels sqrt(log 2 / log 16)."""
    x = ((torch.arange(math.prod(SHAPE)) % 16) / 16 + 0.01).view(1, *SHAPE)
    network = linear()
    assert vb.metrics.InputInformation().values(given(network, x)).tolist() == pytest.approx([1.0])
    left = vb.metrics.InputInformation().values(given(BitDepth(1).wrap(network), x))
    assert left.tolist() == pytest.approx([math.sqrt(math.log(2) / math.log(16))])
