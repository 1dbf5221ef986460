"""What the preflight asks, leaves untouched and does not mistake for masking."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import grad as bound_grad

from vauban.core.goals import ResolvedGoal, Targeted, Untargeted
from vauban.core.rng import seeded
from vauban.engine import BoundThreat
from vauban.evaluate.diagnostics.findings import Finding
from vauban.evaluate.diagnostics.preflight import before, measure


class Rounded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.round(x * 7) / 7


class Drops(nn.Module):
    """The network, with the gradients of the given number of leading samples of any batch removed."""

    def __init__(self, net: nn.Module, dead: int) -> None:
        super().__init__()
        self.net, self.dead = net, dead

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(torch.cat([x[: self.dead].detach(), x[self.dead :]]))
        return out


class Inside(nn.Module):
    """Calls `work` on the images in every forward pass."""

    def __init__(self, net: nn.Module, work: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.net, self.work = net, work

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            self.work(x.detach().requires_grad_(True))
        out: Tensor = self.net(x)
        return out


@pytest.fixture
def linear() -> nn.Module:
    with seeded("linear"):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


@pytest.fixture
def batch(digits_test: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    x, y = digits_test
    return x[:64], y[:64]


def found(threat: BoundThreat, batch: tuple[Tensor, Tensor]) -> dict[str, Finding]:
    labels = threat.target(batch[0]).argmax(1) if not threat.randomised else batch[1]
    return {f.code: f for f in before(threat, batch[0], labels, Untargeted())}


@pytest.mark.parametrize(("dead", "fires"), [(0, False), (1, False), (6, False), (7, True)])
def test_dead_samples_speak_only_beyond_their_share(
    linear: nn.Module, batch: tuple[Tensor, Tensor], dead: int, fires: bool
) -> None:
    findings = found(BoundThreat(Drops(linear, dead)), batch)
    assert set(findings) == ({"zero-gradients"} if fires else set())
    assert all(f.share == dead / 64 for f in findings.values())


def test_bpda_makes_rounding_a_note(linear: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    front = Rounded()
    threat = BoundThreat(nn.Sequential(front, linear))
    assert {"zero-gradients", "piecewise-constant"} == set(found(threat, batch))
    findings = found(replace(threat, backward={front: None}), batch)
    assert {c: f.severity for c, f in findings.items()} == {"rounded-with-substitute": "info"}


def test_declared_randomness_is_a_note(linear: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    noisy = nn.Sequential(Noise(), linear)
    assert found(BoundThreat(noisy), batch)["undeclared-randomness"].severity == "invalid"
    findings = found(BoundThreat(noisy, random=True, draws=7), batch)
    assert findings["declared-randomness"].severity == "info"
    assert "averages 7 draw" in findings["declared-randomness"].message
    assert "undeclared-randomness" not in findings
    assert found(BoundThreat(linear, random=True), batch).keys() <= {"low-accuracy"}  # declared, and not random


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 0.05 * torch.randn_like(x)


def test_gradients_are_examined_only_where_they_are_granted(linear: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    threat = BoundThreat(nn.Sequential(Rounded(), linear, nn.Softmax(1)))
    assert set(found(replace(threat, grants=frozenset({"scores", "labels"})), batch)) == {"probabilities"}
    assert set(found(replace(threat, grants=frozenset({"labels"})), batch)) == set()


def test_gradients_are_examined_on_the_sources(linear: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    masked = nn.Sequential(Rounded(), linear)
    assert set(found(BoundThreat(masked, sources=((linear, 1.0),)), batch)) == set()
    assert "zero-gradients" in found(BoundThreat(linear, sources=((masked, 1.0),)), batch)


def test_two_classes(batch: tuple[Tensor, Tensor]) -> None:
    with seeded("two"):
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    findings = found(BoundThreat(net), batch)
    assert set(findings) == {"few-classes"}
    assert "only 2 classes" in findings["few-classes"].message


@pytest.mark.parametrize(
    "work",
    [
        lambda x: bound_grad(x.square().sum(), x),
        lambda x: torch.autograd.grad(x.square().sum(), x),
        lambda x: x.square().sum().backward(),
        lambda x: torch.func.grad(lambda z: z.square().sum())(x),
    ],
)
def test_optimisation_inside_the_forward_pass(
    linear: nn.Module, batch: tuple[Tensor, Tensor], work: Callable[[Tensor], object]
) -> None:
    assert set(found(BoundThreat(Inside(linear, work)), batch)) == {"test-time-optimisation"}
    assert set(found(BoundThreat(Inside(linear, lambda x: x.square().sum())), batch)) == set()


@pytest.mark.slow
def test_nothing_is_left_changed(calibration_net: Callable[..., nn.Module], batch: tuple[Tensor, Tensor]) -> None:
    net = copy.deepcopy(calibration_net("batchnorm"))
    net.train()
    net[0].eval()
    modes = [m.training for m in net.modules()]
    state = {k: v.clone() for k, v in net.state_dict().items()}
    hook, generator, x = sys.getprofile(), torch.get_rng_state(), batch[0].clone()
    before(BoundThreat(net), *batch, Untargeted())
    after = [m.training for m in net.modules()]
    net.eval()
    assert after == modes
    assert sys.getprofile() is hook
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.equal(batch[0], x)
    assert not batch[0].requires_grad
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


def test_passes_are_those_documented(linear: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    sizes: list[int] = []
    linear.register_forward_hook(lambda module, args, output: sizes.append(len(args[0])))
    x, y = batch
    before(BoundThreat(linear), x, y, ResolvedGoal(y))
    assert sizes.count(64) == 1 + 2 + 10 + 1 + 1 + 1 + 2
    assert sizes.count(1) == 8
    assert sizes.count(2) == 1
    assert len(sizes) == 27


def test_goals_of_more_samples_than_are_examined(linear: nn.Module, digits_test: tuple[Tensor, Tensor]) -> None:
    x, y = digits_test[0][:80], digits_test[1][:80]
    goal = Targeted((y + 1) % 10)
    by_goal = measure(BoundThreat(linear), x, y, goal, torch.arange(80))
    by_aim = measure(BoundThreat(linear), x, y, ResolvedGoal(y, (y + 1) % 10))
    assert [(m.rule.code, m.count, m.of) for m in by_goal] == [(m.rule.code, m.count, m.of) for m in by_aim]
    assert {m.of for m in by_goal} == {64, 8}
