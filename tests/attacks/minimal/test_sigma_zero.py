"""Sigma-zero against a few lines of the paper, and on linear models, where the fewest components are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from vauban.attacks.minimal.sigma_zero import SigmaZero
from vauban.core.goals import Targeted
from vauban.core.norms import L0
from vauban.core.pixel_grid import on_grid
from vauban.engine import BoundThreat, Oracle, StopInside, iterate


def reference(net: nn.Module, x0: Tensor, label: int, targeted: bool, steps: int) -> list[Tensor]:
    """Iterates of one image by the objective itself, torch's Adam and autograd."""
    d = torch.zeros_like(x0, requires_grad=True)
    adam = torch.optim.Adam([d], lr=1.0)
    tau, path = 0.3, []
    for t in range(steps):
        z = net((x0 + d)[None])[0]
        others = torch.cat([z[:label], z[label + 1 :]]).max()
        gap = (others - z[label]) if targeted else (z[label] - others)
        loss = gap.clamp_min(0) + (d**2 / (d**2 + 1e-3)).sum() / d.numel()
        (g,) = torch.autograd.grad(loss, d)
        d.grad = g / g.abs().max().clamp_min(1e-12)
        rate = lambda s: 0.1 + 0.45 * (1 + math.cos(math.pi * s / steps))  # noqa: E731
        adam.param_groups[0]["lr"] = rate(max(t - 1, 0))
        adam.step()
        tau = min(max(tau + (0.01 if gap < 0 else -0.01) * rate(t), 0), 1)
        with torch.no_grad():
            d.copy_((x0 + d).clamp(0, 1) - x0)
            d[d.abs() < tau] = 0
        path.append((x0 + d).detach())
    return path


@pytest.mark.slow
@pytest.mark.parametrize("targeted", [False, True])
def test_the_path_is_that_of_the_objective(targeted, digits_mlp, digits_test, copied) -> None:
    net = copied(digits_mlp).double()
    x, y = digits_test[0][:4].double(), digits_test[1][:4]
    label, path = (y + 3) % 10 if targeted else y, []
    threat = BoundThreat(net, levels=None)
    iterate(
        SigmaZero(40),
        Oracle.open(threat, x, y, Targeted(label) if targeted else None),
        callback=lambda t, oracle, state: path.append(state.x),
    )
    for i in range(4):
        for here, want in zip(path, reference(net, x[i], int(label[i]), targeted, 40), strict=True):
            torch.testing.assert_close(here[i], want, rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("levels", [None, 256])
@pytest.mark.parametrize("targeted", [False, True])
def test_fewest_components_of_a_linear_model(levels, targeted, make_linear) -> None:
    """With two classes the fewest are those whose largest admissible change gains most, taken greedily."""
    case = make_linear(2, 0.6)
    x = (case.x * 255).round() / 255
    goal = Targeted(1 - case.y) if targeted else None
    result = SigmaZero(300).run(Oracle.open(BoundThreat(case.net, levels=levels), x, case.y, goal))
    assert result.success.all()
    assert levels is None or on_grid(result.adversarial, levels)
    w = case.net[1].weight
    for image, y, distance in zip(x.flatten(1), case.y, result.distance, strict=True):
        direction = w[1 - y] - w[y]
        gain = torch.maximum(direction * (1 - image), -direction * image).sort(descending=True).values
        need = float((w[y] - w[1 - y]) @ image + case.net[1].bias[y] - case.net[1].bias[1 - y])
        assert int(distance) == int((gain.cumsum(0) <= need).sum()) + 1


@pytest.mark.slow
def test_few_components_of_a_network(digits_cnn, digits_test) -> None:
    x, y = (part[:32] for part in digits_test)
    result = SigmaZero(200).run(Oracle.open(BoundThreat(digits_cnn), x, y))
    assert result.success.all()
    assert on_grid(result.adversarial, 256)
    assert torch.equal(result.distance, L0.size(result.adversarial - x))
    assert result.distance.median() <= 4
    assert result.backwards.eq(200).all()
    assert result.forwards.eq(201).all()


def test_inside_a_ball_no_more_components_change(digits_cnn, digits_test) -> None:
    x, y = (part[:16] for part in digits_test)
    result = StopInside(SigmaZero(30), L0(3)).run(Oracle.open(BoundThreat(digits_cnn), x, y))
    assert L0.size(result.crafted - x).max() <= 3
    assert result.success.any()
