"""The order of targets: by linearised distance on a linear model, where it is exact."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vauban import L1, L2, Linf, attacks
from vauban.attacks.parts.class_boundaries import nearest_classes
from vauban.core.losses import dlr
from vauban.core.norms import Norm
from vauban.engine import BoundThreat, Oracle


def linear(classes: int = 7, features: int = 12) -> nn.Module:
    layer = nn.Linear(features, classes).double()
    with torch.no_grad():
        layer.weight.copy_(torch.randn(classes, features, generator=torch.Generator().manual_seed(3)))
        layer.bias.zero_()
    return layer.eval()


@pytest.mark.parametrize("norm", [L2, Linf, L1], ids=str)
def test_nearest_classes_are_those_of_the_exact_distances(norm: Norm) -> None:
    network = linear()
    x = torch.rand(20, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    logits = network(x).detach()
    y = logits.argmax(1)
    oracle = Oracle.open(BoundThreat(network, levels=None), x, y)
    nearest = nearest_classes(oracle, x, logits, norm, 3)
    weight = network.weight.detach()  # type: ignore[union-attr]
    for row in range(20):
        distance = {
            k: float((logits[row, y[row]] - logits[row, k]) / norm.dual((weight[y[row]] - weight[k])[None])[0])
            for k in range(7)
            if k != y[row]
        }
        assert nearest[row].tolist() == sorted(distance, key=lambda k: distance[k])[:3]


def test_apgd_t_goes_toward_the_nearest_class_first_and_counts_what_it_asked() -> None:
    network = linear()
    x = torch.rand(16, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    y = network(x).argmax(1)
    attack = attacks.APGDT(Linf(1e-6), steps=2, n_target=2, order="linearised")
    oracle = Oracle.open(BoundThreat(network, levels=None), x, y)
    result = attack.run(oracle)
    assert not result.success.any()
    assert (result.forwards == 2 + 2 * 3).all()
    assert (result.backwards == 7 + 2 * 2).all()
    plain = attacks.APGDT(Linf(1e-6), steps=2, n_target=2).run(Oracle.open(BoundThreat(network, levels=None), x, y))
    assert (plain.forwards == 1 + 2 * 3).all()
    assert (plain.backwards == 2 * 2).all()


def test_one_target_is_enough_where_the_boundary_is_linear() -> None:
    """With one class, the linearised order breaks whatever any class would: the nearest boundary is the nearest."""
    network = linear()
    x = 0.3 + 0.4 * torch.rand(64, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    y = network(x).argmax(1)
    broken = {}
    for order, targets in (("linearised", 1), ("logits", 6)):
        oracle = Oracle.open(BoundThreat(network, levels=None), x, y)
        broken[order] = attacks.APGDT(Linf(0.05), 30, targets, dlr, order=order).run(oracle).success  # type: ignore[arg-type]
    assert broken["logits"].any()
    assert (~broken["logits"]).any()
    assert (broken["linearised"] == broken["logits"]).all()
