"""The same attacks in Foolbox, on the same network and images."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vauban.attacks.minimal.ddn import DDN
from vauban.attacks.minimal.deepfool import DeepFool
from vauban.attacks.minimal.fmn import FMN
from vauban.core.norms import L2, Linf
from vauban.engine import BoundThreat, Oracle

pytestmark = pytest.mark.peers


def foolbox_distance(attack_name: str, net: nn.Module, x: Tensor, y: Tensor, norm, **params) -> Tensor:
    foolbox = pytest.importorskip("foolbox", reason="needs the 'peers' extra")
    model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    _, images, success = getattr(foolbox.attacks, attack_name)(**params)(model, x, y, epsilons=None)
    with torch.no_grad():
        success = success & (net(images).argmax(1) != y)
    return norm.size(images - x).where(success, torch.inf)


@pytest.fixture
def correct(digits_cnn, digits_test):
    x, y = digits_test
    with torch.no_grad():
        right = digits_cnn(x).argmax(1) == y
    return x[right][:64], y[right][:64]


@pytest.mark.parametrize(("norm", "theirs"), [(L2, "L2DeepFoolAttack"), (Linf, "LinfDeepFoolAttack")])
def test_deepfool(norm, theirs, digits_cnn, correct):
    x, y = correct
    other = foolbox_distance(theirs, digits_cnn, x, y, norm, steps=50, candidates=10)
    ours = DeepFool(norm=norm).run(Oracle.open(BoundThreat(digits_cnn, levels=None), x, y)).distance
    both = ours.isfinite() & other.isfinite()
    assert both.double().mean() > 0.8
    assert abs(float((ours[both] / other[both]).median()) - 1) < 0.02
    assert ours.isinf().sum() <= other.isinf().sum()


def test_ddn(digits_cnn, correct):
    x, y = correct
    other = foolbox_distance("DDNAttack", digits_cnn, x, y, L2, steps=100)
    ours = DDN(100, gamma=0.05, gamma_last=0.05).run(Oracle.open(BoundThreat(digits_cnn, levels=None), x, y)).distance
    assert ours.isfinite().all()
    assert ours.median() <= 1.005 * other.median()


def test_fmn_beats_the_one_that_never_projects(digits_cnn, correct):
    x, y = correct
    other = foolbox_distance("L2FMNAttack", digits_cnn, x, y, L2, steps=100)
    ours = FMN(100).run(Oracle.open(BoundThreat(digits_cnn, levels=None), x, y)).distance
    assert ours.isfinite().all()
    assert ours.median() < other.median()
