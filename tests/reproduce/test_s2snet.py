"""The attacks of S2SNet's paper as read here, its noise, pictures and scales."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban.core.errors import ContractError
from vauban.core.goals import Untargeted
from vauban.core.norms import L2
from vauban.defences.autoencoders.autoencoder import AutoEncoder
from vauban.defences.autoencoders.reconstruction import TrainedAutoEncoder
from vauban.defences.autoencoders.segnet import SegNet
from vauban.engine import BoundThreat, Oracle
from vauban.reproduce import load, registry
from vauban.reproduce.claims import Claim, Larger, answered
from vauban.reproduce.panels import needed
from vauban.reproduce.papers.s2snet import adaptive, detectors
from vauban.reproduce.papers.s2snet.attacks import EncoderFeatures, FeatureDistance, Scaled
from vauban.reproduce.papers.s2snet.figure6 import KINDS, UNIFORM, noise
from vauban.reproduce.papers.s2snet.figure10 import equalised
from vauban.reproduce.papers.s2snet.networks import BARE, BASES
from vauban.statistics.estimates import rate

OURS = [name for name in registry.names() if name.startswith("s2snet-")]


def halves() -> nn.Module:
    """Two classes: the mean of the left columns against that of the right ones."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 2, bias=False))
    weight = torch.tensor([1.0, 1.0, 0.0, 0.0]).repeat(12) / 24
    network[1].weight.data.copy_(torch.stack([weight, weight.flip(0)]))
    return network


def opened(network: nn.Module, x: Tensor) -> Oracle:
    y = torch.zeros(len(x), dtype=torch.int64)
    return Oracle.open(BoundThreat(network, "test", levels=None), x, y, Untargeted(), torch.arange(len(x)), 0)


def tilted(n: int = 3) -> Tensor:
    """Images of class 0 by 0.2 in the mean."""
    return torch.tensor([0.6, 0.6, 0.4, 0.4]).expand(n, 3, 4, 4).clone()


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_a_perturbation_times_a_factor(factor: float) -> None:
    inner = vb.attacks.CW(1, 50, lr=0.05, c=10.0)
    plain = inner.run(opened(halves(), tilted()))
    scaled = Scaled(inner, factor).run(opened(halves(), tilted()))
    x = tilted()
    torch.testing.assert_close(scaled.crafted - x, factor * (plain.adversarial - x), atol=1e-6, rtol=0)
    assert bool(plain.success.all())
    assert scaled.success.tolist() == [factor >= 1] * 3
    expected = L2.size(scaled.crafted - x) if factor >= 1 else torch.full((3,), math.inf)
    torch.testing.assert_close(scaled.distance, expected.to(scaled.distance))


def test_features_go_as_far_as_a_linear_map_allows() -> None:
    """Of h(x) = W x in a ball of radius r the farthest is r times the largest singular value of W."""
    network, x = halves(), tilted()
    result = FeatureDistance(L2(0.1), 60).run(opened(network, x))
    moved = (network(result.crafted) - network(x)).norm(dim=1)
    largest = float(torch.linalg.matrix_norm(network[1].weight.detach(), 2))
    assert moved.tolist() == pytest.approx([0.1 * largest] * 3, rel=1e-2)


def test_the_encoder_stands_for_the_network_behind_it() -> None:
    coder, x = SegNet(3), torch.rand(2, 3, 8, 8)
    guarded = AutoEncoder(trained=TrainedAutoEncoder(coder, (3, 8, 8))).wrap(nn.Flatten())
    torch.testing.assert_close(EncoderFeatures().wrap(guarded)(x), coder.encoder(x)[0].flatten(1))
    with pytest.raises(ContractError, match="behind an auto-encoder"):
        EncoderFeatures().wrap(nn.Flatten())(x)


@pytest.mark.parametrize("kind", KINDS)
def test_the_variance_of_noise(kind: str) -> None:
    """At one strength all have the variance of the Gaussian, but uniform noise a third of it, as printed."""
    grey = torch.full((4, 3, 64, 64), 0.5)
    torch.manual_seed(0)
    deviation = float((noise(kind, 0.1).wrap(nn.Identity())(grey) - 0.5).std())
    assert deviation == pytest.approx(0.1 / (math.sqrt(3) if kind == UNIFORM else 1), rel=0.01)


def test_a_flat_histogram_and_grey_for_no_change() -> None:
    change = torch.randn(2, 3, 8, 8)
    flat = equalised(change).flatten(1).sort(1).values
    torch.testing.assert_close(flat, ((torch.arange(192) + 0.5) / 192).expand(2, -1))
    assert bool((equalised(torch.zeros(1, 3, 4, 4)) == 0.5).all())


def test_times_scales_what_is_compared() -> None:
    """300 of 400 is more than twice 100, not more than twice 210."""
    numbers = {n: rate(np.arange(400) < hits) for n, hits in (("a", 300), ("b", 100), ("c", 210))}
    told: dict[str, Any] = {
        other: answered(Claim("", "", (Larger("a", other, times=2),)), numbers, "same")["answer"] for other in "bc"
    }
    assert told == {"b": "holds", "c": "does not hold"}


@pytest.mark.parametrize("name", OURS)
def test_labels_are_unique_and_claims_have_their_cells(name: str) -> None:
    """At scale small every claim but those about the paper's classifiers names cells that are there."""
    experiment = load(name)
    labels = [cell.label for cell in experiment.cells(experiment.scales["small"])]
    assert len(labels) == len(set(labels))
    for claim in experiment.claims if name != "s2snet-fig8" else ():
        for need in claim.needs:
            named = (
                (need.cell, need.than)
                if isinstance(need, Larger)
                else [x for p in (*need.curve, *need.other) for x in p]
            )
            assert {one for one in named if isinstance(one, str)} <= set(labels), claim.text


def test_at_scale_paper_the_claims_of_figure_8_have_their_cells() -> None:
    experiment = load("s2snet-fig8")
    labels = {cell.label for cell in experiment.cells(experiment.scales["paper"])}
    points = {point for claim in experiment.claims for need in claim.needs for point in (*need.curve, *need.other)}
    assert {label for point in points for label in point} <= labels


def test_figures_share_the_images_of_the_tables() -> None:
    """Whatever is drawn or listed of an attack on a system is made once."""
    crafts = set()
    for name in ("s2snet-fig4", "s2snet-fig5", "s2snet-fig7", "s2snet-table2", "s2snet-table5", "s2snet-table7"):
        experiment = load(name)
        scale = experiment.scales["small"]
        cells = [*experiment.cells(scale), *needed(experiment.panels(scale) if experiment.panels else [])]
        crafts |= {cell.craft for cell in cells if cell.craft is not None}
    assert len(crafts) == 3 * (6 + 6 + 4)


def test_the_stages_are_of_other_images_than_those_attacked() -> None:
    for base in BASES.values():
        if not base.few:
            assert base.scale.data.split("[")[0] not in (base.first, base.second)
            assert "train" in base.first
            assert "train" in base.second


def test_what_noise_answers_does_not_stop_an_attack_on_it() -> None:
    """The answer of the system without the noise is no success with it, nor is f fooled a detector's image accepted."""
    scale = load("s2snet-adaptive").scales["small"]
    assert {craft.keep for craft in adaptive.crafts(scale, adaptive.NOISY).values()} == {"last"}
    assert detectors.crafts(scale, BARE)[0].keep == "last"
