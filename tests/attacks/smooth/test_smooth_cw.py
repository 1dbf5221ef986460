"""sC&W and the pairwise penalty against the same loops by autograd, torch's Adam and dense matrices."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vauban.attacks.parts.guided import GuidedSmoothing
from vauban.attacks.smooth.pairwise import PairwiseCWSteps
from vauban.attacks.smooth.scw import SCW, SCWSteps
from vauban.engine import BoundThreat, Oracle, iterate
from vauban.laplacian.smoothing import Kernel, Smoothing

C, KAPPA, ALPHA, RATE, LR = 3.0, 0.5, 0.9, 2.0, 0.3  # large steps: some pixels leave [0,1]


def clean(net: nn.Module, x: Tensor) -> Tensor:
    return net(x).argmax(1)


def hinge(net: nn.Module, x0: Tensor, r: Tensor, y: int) -> Tensor:
    """C [kappa - margin(clip(x0 + r))]_+ for one image."""
    x = x0 + r
    clipped = torch.where((x >= 0) & (x <= 1), x, x.detach().clamp(0, 1))  # with a gradient at 0 and 1 themselves
    logits = net(clipped[None])[0]
    rest = torch.cat([logits[:y], logits[y + 1 :]]).max()
    return C * (logits[y] - rest + KAPPA).clamp_min(0)


def states(attack: Any, net: nn.Module, x: Tensor) -> list[Any]:
    visited: list[Any] = []
    oracle = Oracle.open(BoundThreat(net, levels=None), x, clean(net, x))
    weights = torch.full((len(x),), C, dtype=x.dtype)
    iterate(attack, oracle, per_sample={"c": weights}, callback=lambda t, view, state: visited.append(state))
    return visited


def latent(x: Tensor) -> SCWSteps:
    return SCWSteps(8, LR, KAPPA, GuidedSmoothing(RATE, smoothness=ALPHA).chart(x))


def test_latent_loop_by_torch(net: nn.Module, rough: Tensor, dense: Any) -> None:
    y, visited = clean(net, rough), states(latent(rough), net, rough)
    left = False
    for i, x in enumerate(rough):
        _, smooth = dense(x, ALPHA, RATE)
        z = torch.zeros(36, dtype=x.dtype, requires_grad=True)
        adam = torch.optim.Adam([z], lr=LR)
        for state in visited:
            r = (smooth @ z).view_as(x)
            adam.zero_grad()
            (r.square().sum() + hinge(net, x, r, int(y[i]))).backward()
            adam.step()
            want = (smooth @ z.detach()).view_as(x)
            left = left or bool(((x + want) < 0).any())
            torch.testing.assert_close(state.r[i], want, atol=1e-7, rtol=0)
    assert left


def test_gradient_through_the_smoothing_by_finite_differences(net: nn.Module, rough: Tensor, dense: Any) -> None:
    y, visited = clean(net, rough), states(latent(rough), net, rough)
    g, checked = torch.Generator().manual_seed(2), 0
    for i, x in enumerate(rough):
        _, smooth = dense(x, ALPHA, RATE)

        def objective(z: Tensor, i: int = i, x: Tensor = x, smooth: Tensor = smooth) -> Tensor:
            r = (smooth @ z).view_as(x)
            return r.square().sum() + hinge(net, x, r, int(y[i]))

        for before, after in pairwise(visited):
            z, step = before.z[i].flatten(), 1e-6
            way = torch.randn(36, generator=g, dtype=x.dtype)
            slope = (objective(z + step * way) - objective(z - step * way)) / (2 * step)
            torch.testing.assert_close(-(after.pulled[i].flatten() @ way), slope, atol=1e-6, rtol=1e-6)
            checked += 1
    assert checked == 14


@pytest.mark.parametrize("mu", [0.0, 0.5])
def test_pairwise_loop_by_torch(mu: float, net: nn.Module, rough: Tensor, dense: Any) -> None:
    y = clean(net, rough)
    visited = states(PairwiseCWSteps(8, LR, KAPPA, mu, Kernel(rate=RATE)), net, rough)
    for i, x in enumerate(rough):
        w, _ = dense(x, 0.5, RATE)
        r = torch.zeros_like(x, requires_grad=True)
        adam = torch.optim.Adam([r], lr=LR)
        for state in visited:
            scaled = r.flatten() / w.sum(1).sqrt()
            price = (w * (scaled[:, None] - scaled[None]).square()).sum()
            adam.zero_grad()
            (r.square().sum() + mu * price + hinge(net, x, r, int(y[i]))).backward()
            adam.step()
            torch.testing.assert_close(state.r[i], r.detach(), atol=1e-7, rtol=0)


def test_one_factorisation_for_all_constants(
    digits_cnn: nn.Module, digits_test: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, of = [], Smoothing.of
    monkeypatch.setattr(Smoothing, "of", staticmethod(lambda *a, **k: made.append(1) or of(*a, **k)))
    x, y = (part[:4] for part in digits_test)
    SCW(3, 4).run(Oracle.open(BoundThreat(digits_cnn), x, y))
    assert len(made) == 1


@pytest.mark.slow
def test_a_margin_is_reached(digits_cnn: nn.Module, digits_test: Any) -> None:
    x, y = (part[:8] for part in digits_test)
    result = SCW(4, 40, kappa=2.0, smoothness=0.9).run(Oracle.open(BoundThreat(digits_cnn), x, y))
    assert result.success.any()
    logits = digits_cnn(result.adversarial[result.success])
    own = logits.gather(1, y[result.success][:, None])[:, 0]
    assert (logits.scatter(1, y[result.success][:, None], -torch.inf).amax(1) - own >= 2).all()


@pytest.mark.slow
def test_the_minimum_is_the_plain_one(digits_cnn: nn.Module, digits_test: Any) -> None:
    """The smoothing is invertible: converged, the distances are those of smoothness 0."""
    x, y = (part[:6] for part in digits_test)
    far, near, plain = (
        SCW(3, steps, lr=0.05, c=10.0, rate=10.0, smoothness=alpha)
        .run(Oracle.open(BoundThreat(digits_cnn, levels=None), x, y))
        .distance
        for steps, alpha in ((10, 0.8), (200, 0.8), (200, 0.0))
    )
    assert (near <= 1.06 * plain).all()
    assert far.median() > 1.15 * plain.median()
