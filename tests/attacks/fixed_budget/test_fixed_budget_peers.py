"""The same attacks in other toolkits, on the same network and images."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vauban import attacks
from vauban.core.losses import cross_entropy, dlr
from vauban.core.norms import L2, Ball, Linf
from vauban.engine import BoundThreat, Oracle

Digits = tuple[Tensor, Tensor]
pytestmark = pytest.mark.peers


def robust(net: nn.Module, x: Tensor, y: Tensor) -> float:
    return float((net(x).argmax(1) == y).double().mean())


def ours(name: str, net: nn.Module, x: Tensor, y: Tensor, seed: int = 0, **params: object) -> float:
    result = attacks.load(name, **params).run(Oracle.open(BoundThreat(net, levels=None), x, y, seed=seed))
    return float(1 - result.success.double().mean())


@pytest.mark.parametrize(("name", "ball"), [("Linf", Linf(0.1)), ("L2", L2(0.6))])
@pytest.mark.parametrize("loss", ["ce", "dlr"])
def test_apgd_is_no_weaker_than_the_authors(
    digits_cnn: nn.Module, digits_test: Digits, name: str, ball: Ball, loss: str
) -> None:
    """Mean of four seeds at equal steps; the seeds of either scatter by about 0.004."""
    base = pytest.importorskip("pyautoattack.autopgd_base", reason="needs the 'peers' extra")
    x, y = digits_test
    mine, theirs = [], []
    for seed in range(4):
        mine.append(
            ours("apgd", digits_cnn, x, y, seed, ball=ball, steps=20, loss={"ce": cross_entropy, "dlr": dlr}[loss])
        )
        peer = base.APGDAttack(digits_cnn, n_iter=20, norm=name, eps=ball.radius, seed=seed, loss=loss, device="cpu")
        with torch.no_grad(), torch.random.fork_rng(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(base, "check_zero_gradients", lambda *_, **__: None)  # it warns
            theirs.append(robust(digits_cnn, peer.perturb(x.clone(), y.clone()), y))
    assert sum(mine) / 4 <= sum(theirs) / 4 + 0.005


def test_targeted_apgd_is_no_weaker_than_the_authors(digits_cnn: nn.Module, digits_test: Digits) -> None:
    base = pytest.importorskip("pyautoattack.autopgd_base", reason="needs the 'peers' extra")
    x, y = digits_test
    peer = base.APGDAttack_targeted(digits_cnn, n_iter=15, norm="Linf", eps=0.1, seed=0, device="cpu")
    with torch.no_grad(), torch.random.fork_rng(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "check_zero_gradients", lambda *_, **__: None)
        theirs = robust(digits_cnn, peer.perturb(x.clone(), y.clone()), y)
    assert ours("apgd-t", digits_cnn, x, y, ball=Linf(0.1), steps=15) <= theirs + 0.005


@pytest.mark.parametrize(("ball", "peer"), [(Linf(0.07), "LinfFastGradientAttack"), (L2(0.5), "L2FastGradientAttack")])
def test_fgsm_is_foolboxs(digits_cnn: nn.Module, digits_test: Digits, ball: Ball, peer: str) -> None:
    foolbox = pytest.importorskip("foolbox", reason="needs the 'peers' extra")
    x, y = digits_test[0][:100], digits_test[1][:100]
    attack = getattr(foolbox.attacks, peer)(random_start=False)
    model = foolbox.PyTorchModel(digits_cnn, bounds=(0, 1), device="cpu")
    _, theirs, _ = attack(model, x.clone(), foolbox.criteria.Misclassification(y), epsilons=ball.radius)
    mine = (
        attacks.load("fgsm", ball=ball, loss=cross_entropy)
        .run(Oracle.open(BoundThreat(digits_cnn, levels=None), x, y))
        .crafted
    )
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)
