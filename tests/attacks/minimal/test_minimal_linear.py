"""Distances against the smallest possible ones on linear classifiers, closed form or by root finding."""

from __future__ import annotations

import pytest
import torch
from scipy.optimize import brentq
from torch import nn

from vauban.attacks.minimal.bp import BP
from vauban.attacks.minimal.cw_l2 import CW
from vauban.attacks.minimal.ddn import DDN
from vauban.attacks.minimal.deepfool import DeepFool
from vauban.attacks.minimal.fmn import FMN
from vauban.core.goals import Targeted
from vauban.core.losses import margin
from vauban.core.norms import L0, L1, L2, Linf
from vauban.engine import BoundThreat, Oracle

CLOSE = [
    pytest.param(BP(200, loss=margin), id="bp"),
    pytest.param(DDN(200, loss=margin), id="ddn"),
    pytest.param(FMN(200), id="fmn"),
    pytest.param(CW(5, 40, lr=0.05), id="cw"),
]


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("attack", CLOSE)
def test_l2_is_within_5_percent_of_the_smallest(attack, classes, make_linear):
    case = make_linear(classes, 0.6)
    result = attack.run(Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y))
    assert result.success.all()
    ratio = result.distance / case.nearest(L2)
    assert ratio.min() > 1 - 1e-5
    assert ratio.max() < 1.05


@pytest.mark.slow
@pytest.mark.parametrize("attack", [BP(200), DDN(200)])
def test_two_classes_with_the_default_loss(attack, make_linear):
    case = make_linear(2, 0.6, side=28)
    result = attack.run(Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y))
    assert (result.distance / case.nearest(L2)).max() < 1.05


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "push", "most"), [(Linf, 0.6, 1.05), (L1, 0.1, 1.25)])
def test_fmn_in_other_norms(norm, push, most, make_linear):
    case = make_linear(3, push)
    result = FMN(200, norm).run(Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y))
    ratio = result.distance / case.nearest(norm)
    assert ratio.min() > 1 - 1e-5
    assert ratio.max() < most


def test_fmn_l0_is_within_one_component_of_greedy(make_linear):
    """With two classes the fewest pixels are those whose largest admissible change gains most, taken greedily."""
    case = make_linear(2, 0.6)
    w = case.net[1].weight
    result = FMN(200, L0).run(Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y))
    for x, y, distance in zip(case.x, case.y, result.distance, strict=True):
        direction = w[1 - y] - w[y]
        gain = torch.maximum(direction * (1 - x.flatten()), -direction * x.flatten()).sort(descending=True).values
        need = float((w[y] - w[1 - y]) @ x.flatten() + case.net[1].bias[y] - case.net[1].bias[1 - y])
        fewest = int((gain.cumsum(0) <= need).sum()) + 1
        assert fewest <= distance <= fewest + 1


@pytest.mark.parametrize("norm", [L2, Linf])
def test_deepfool_needs_one_step_on_a_linear_classifier(norm, make_linear):
    case = make_linear(10, 0.6)
    result = DeepFool(norm=norm).run(Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y))
    torch.testing.assert_close(result.distance, 1.02 * case.nearest(norm), rtol=1e-4, atol=0)
    assert result.backwards.eq(20).all()  # the step, and the Jacobian at which the success is seen
    assert result.forwards.eq(3).all()  # and the clean logits


def test_deepfool_targeted_reaches_its_target(make_linear):
    case = make_linear(5, 0.6)
    result = DeepFool().run(Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y, Targeted((case.y + 1) % 5)))
    assert torch.equal(case.net(result.adversarial).argmax(1), (case.y + 1) % 5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attack", "norm"),
    [(BP(200), L2), (DDN(200), L2), (FMN(200), L2), (CW(5, 80, lr=0.1), L2), (FMN(200, Linf), Linf)],
    ids=["bp", "ddn", "fmn", "cw", "fmn-linf"],
)
def test_where_the_box_binds(attack, norm):
    """Half of the pixels sit at 0 or 1: the smallest perturbation is clip(x + t w) - x (L2) or clip(x + t sign w) - x,
    with t the root of one equation."""
    g = torch.Generator().manual_seed(3)
    w = torch.randn(64, generator=g)
    x = torch.rand(8, 64, generator=g)
    x[:, ::2] = x[:, ::2].round()
    move = w if norm is L2 else w.sign()
    bias = -(x @ w).max() - 3.0
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).requires_grad_(False)
    net[1].weight.copy_(torch.stack([torch.zeros(64), w]))
    net[1].bias.copy_(torch.stack([torch.zeros(()), bias]))
    x = x.view(8, 1, 8, 8)
    result = attack.run(Oracle.open(BoundThreat(net, levels=None), x, torch.zeros(8, dtype=torch.int64)))
    assert result.success.all()
    for image, distance in zip(x.flatten(1), result.distance, strict=True):

        def score(t: float, image: torch.Tensor = image) -> float:
            return float((image + t * move).clamp(0, 1) @ w + bias)

        smallest = norm.size(((image + brentq(score, 0, 10) * move).clamp(0, 1) - image)[None])
        assert 1 - 1e-4 < float(distance / smallest) < 1.05
