"""Every smooth attack: with nothing to smooth it is the plain one, and what it adds is smooth like the image."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vauban.attacks.fixed_budget.bim import BIM
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.minimal.bp import BP
from vauban.attacks.minimal.ddn import DDN
from vauban.attacks.smooth.bp import SmoothBP
from vauban.attacks.smooth.ddn import SmoothDDN
from vauban.attacks.smooth.pairwise import PairwiseCW
from vauban.attacks.smooth.qbim import QBIM
from vauban.attacks.smooth.qfgsm import QFGSM
from vauban.attacks.smooth.qpgd2 import QPGD2
from vauban.attacks.smooth.scw import SCW
from vauban.core.errors import ContractError
from vauban.core.goals import RandomWrong
from vauban.core.norms import L1, L2, Linf
from vauban.core.pixel_grid import on_grid
from vauban.engine import Bisection, BoundThreat, Oracle
from vauban.laplacian import smoothing
from vauban.laplacian.smoothing import Smoothing

PAIRS: list[tuple[Any, Any]] = [
    (QFGSM(Linf(0.1), smoothness=0), FGSM(Linf(0.1))),
    (QFGSM(L2(1.0), smoothness=0), FGSM(L2(1.0))),
    (QBIM(Linf(0.1), smoothness=0), BIM(Linf(0.1))),
    (QBIM(L2(1.0), smoothness=0), BIM(L2(1.0))),
    (QPGD2(L2(1.0), 10, 0.2, smoothness=0), PGD(L2(1.0), 10, 0.2, random_start=False)),
    (QPGD2(L2(1.0), 10, 0.25, random_start=True, smoothness=0), PGD(L2(1.0), 10)),
    (SmoothBP(smoothness=0), BP()),
    (SmoothBP(smoothness=0, state="quantised"), BP(state="quantised")),
    (SmoothBP(smoothness=0, state="quantised", search=False), BP(state="quantised", search=False)),
    (SmoothDDN(30, smoothness=0), DDN(30)),
    (SCW(3, 20, smoothness=0), PairwiseCW(3, 20, mu=0)),
]
SMOOTH = {"smoothness": 1 - 1e-9, "rate": 300.0, "tol": 1e-6}
ATTACKS: list[Any] = [
    QFGSM(Linf(0.1), **SMOOTH),
    QFGSM(L2(0.5), **SMOOTH),
    QBIM(L2(0.5), **SMOOTH),
    QPGD2(L2(0.5), 5, **SMOOTH),
    SmoothBP(alpha=0.1, **SMOOTH),
    SmoothDDN(20, eps=0.2, **SMOOTH),
    SCW(2, 10, lr=0.02, **SMOOTH),
]
PLAIN = [
    FGSM(Linf(0.1)),
    FGSM(L2(0.5)),
    BIM(L2(0.5)),
    PGD(L2(0.5), 5),
    BP(alpha=0.1),
    DDN(20, eps=0.2),
    PairwiseCW(mu=0),
]
DIGITS: list[Any] = [
    QFGSM(Linf(0.4)),
    QBIM(Linf(0.3)),
    QPGD2(),
    SmoothBP(),
    SmoothDDN(50),
    SCW(3, 40),
    PairwiseCW(3, 40),
]


def name(attack: Any) -> str:
    return f"{type(attack).__name__}-{attack.norm}".lower()


class Spy(nn.Module):
    """Keeps the images the network is shown."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.seen = net, list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach().clone())
        return self.net(x)  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize(("smooth", "plain"), PAIRS, ids=lambda a: name(a))
def test_nothing_to_smooth_is_the_plain_attack(
    smooth: Any, plain: Any, digits_cnn: nn.Module, digits_test: Any
) -> None:
    x, y = (part[:16] for part in digits_test)
    ours, theirs = (attack.run(Oracle.open(BoundThreat(digits_cnn), x, y)) for attack in (smooth, plain))
    assert theirs.success.any()
    assert torch.equal(ours.crafted, theirs.crafted)
    assert torch.equal(ours.distance, theirs.distance)
    assert torch.equal(ours.forwards, theirs.forwards)


def unevenness(attack: Any, net: nn.Module, x: Tensor) -> float:
    """The largest difference inside one of the two flat regions, over the size of the perturbation, of all iterates."""
    spy, worst, moved = Spy(net), 0.0, 0
    attack.run(Oracle.open(BoundThreat(spy, levels=None), x, net(x).argmax(1)))
    for image in spy.seen:
        if len(image) == len(x) and (r := image - x).abs().max() > 0:
            ranges = [part.amax((1, 2, 3)) - part.amin((1, 2, 3)) for part in (r[..., :3], r[..., 3:])]
            size = r.abs().amax((1, 2, 3))
            worst = max(worst, float((torch.stack(ranges) / size)[:, size > 1e-9].max()))
            moved += 1
    assert moved
    return worst


@pytest.mark.slow
@pytest.mark.parametrize(("smooth", "plain"), list(zip(ATTACKS, PLAIN, strict=True)), ids=lambda a: name(a))
def test_every_iterate_is_smooth_like_the_image(smooth: Any, plain: Any, net: nn.Module, halves: Tensor) -> None:
    assert unevenness(smooth, net, halves) < 1e-4
    assert unevenness(plain, net, halves) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("attack", DIGITS, ids=name)
def test_digits(attack: Any, digits_cnn: nn.Module, digits_test: Any) -> None:
    x, y = (part[:24] for part in digits_test)
    result = attack.run(Oracle.open(BoundThreat(digits_cnn), x, y))
    assert result.success.double().mean() > 0.7
    assert on_grid(result.adversarial, 256)
    assert torch.equal(digits_cnn(result.adversarial).argmax(1) != y, result.success)
    size = attack.norm.size(result.adversarial - x)
    torch.testing.assert_close(result.distance, size.where(result.success, torch.inf))


@pytest.mark.slow
@pytest.mark.parametrize(
    "attack", [SmoothBP(40), SmoothDDN(50), SCW(4, 40), PairwiseCW(4, 40), QPGD2(L2(3.0))], ids=name
)
def test_targets(attack: Any, digits_cnn: nn.Module, digits_test: Any) -> None:
    x, y = (part[:16] for part in digits_test)
    oracle = Oracle.open(BoundThreat(digits_cnn), x, y, RandomWrong())
    result = attack.run(oracle)
    assert result.success.double().mean() > 0.6
    assert torch.equal(digits_cnn(result.adversarial).argmax(1) == oracle.goal.target, result.success)


@pytest.mark.parametrize("attack", [SmoothDDN(8, tol=1e-10), SmoothBP(8, tol=1e-10), SCW(2, 6, tol=1e-10)], ids=name)
def test_the_solver_makes_no_difference(
    attack: Any, net: nn.Module, rough: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    y = net(rough).argmax(1)
    direct = attack.run(Oracle.open(BoundThreat(net, levels=None), rough, y))
    monkeypatch.setattr(smoothing, "DIRECT_SIDE", 1)
    iterative = attack.run(Oracle.open(BoundThreat(net, levels=None), rough, y))
    assert not torch.equal(direct.crafted, rough)
    torch.testing.assert_close(iterative.crafted, direct.crafted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("attack", [SmoothBP(6, limit=1), QPGD2(L2(1.0), 6, limit=1), SCW(2, 6, limit=1)], ids=name)
def test_a_solve_that_does_not_converge_leaves_valid_images(
    attack: Any, digits_cnn: nn.Module, digits_test: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoothing, "DIRECT_SIDE", 1)
    x, y = (part[:8] for part in digits_test)
    assert not Smoothing.of(x, attack.smoothness, attack.kernel, limit=1).apply(torch.randn_like(x)).converged.any()
    result = attack.run(Oracle.open(BoundThreat(digits_cnn), x, y))
    assert on_grid(result.crafted, 256)
    assert torch.equal(digits_cnn(result.adversarial).argmax(1) != y, result.success)


@pytest.mark.slow
def test_a_budget_is_searched(digits_cnn: nn.Module, digits_test: Any) -> None:
    x, y = (part[:8] for part in digits_test)
    searched = Bisection(QPGD2(L2(1.0)), "eps", 1.0, 4, 2.0).run(Oracle.open(BoundThreat(digits_cnn), x, y))
    fixed = QPGD2().run(Oracle.open(BoundThreat(digits_cnn), x, y))
    assert searched.success.all()
    assert searched.distance.median() < fixed.distance.median()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SCW(smoothness=1.0), "smoothness of SCW as a number of at least 0 and below 1, got 1.0"),
        (lambda: SmoothBP(smoothness=-0.1), "smoothness of SmoothBP as a number of at least 0 and below 1"),
        (lambda: SmoothDDN(tol=0.0), "tol of SmoothDDN as a number above 0, got 0.0"),
        (lambda: QBIM(limit=0), "limit of QBIM as a whole number of at least 1, got 0"),
        (lambda: PairwiseCW(rate=-1.0), "rate of PairwiseCW as a number of at least 0, got -1.0"),
        (lambda: PairwiseCW(mu=-1.0), "mu of PairwiseCW as a number of at least 0, got -1.0"),
        (lambda: QPGD2(Linf(0.1)), "ball of l2"),
        (lambda: QFGSM(L1(1.0)), "ball of linf, l2"),
        (lambda: QBIM(L1(1.0)), "ball of linf, l2"),
    ],
)
def test_bad_values_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        make()


@pytest.mark.parametrize("attack", [SmoothBP(), SCW(), PairwiseCW()], ids=name)
def test_vectors_are_refused(attack: Any, digits_mlp: nn.Module, digits_test: Any) -> None:
    x, y = digits_test[0][:2].flatten(1), digits_test[1][:2]
    with pytest.raises(ContractError, match=r"images \(batch, channel, height, width\)"):
        attack.run(Oracle.open(BoundThreat(digits_mlp, levels=None), x, y))
