"""State of DDN, BP and FMN, and the annealed factor of DDN: nothing off the grid is shown, equal factors are as printed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from vauban.attacks.minimal.bp import BP
from vauban.attacks.minimal.ddn import DDN, DDNState
from vauban.attacks.minimal.fmn import FMN
from vauban.attacks.parts.minimal_steps import cosine
from vauban.core.errors import ContractError
from vauban.core.norms import L1, L2, Linf
from vauban.core.pixel_grid import on_grid
from vauban.core.tensors import like, unit
from vauban.engine import BoundThreat, Oracle, iterate

ATTACKS = [DDN(30), BP(30), FMN(30), FMN(30, Linf), FMN(30, L1)]


def name(attack: object) -> str:
    return f"{type(attack).__name__}-{getattr(attack, 'norm', L2)}".lower()


class Shown(torch.nn.Module):
    """A network that keeps every image that it is shown."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net, self.images = net, []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.images.append(x.detach().clone())
        return self.net(x)


def path_of(attack, oracle) -> list[torch.Tensor]:
    path = []
    iterate(attack, oracle, callback=lambda t, oracle, state: path.append(state.x))
    return path


@pytest.mark.parametrize("attack", ATTACKS, ids=name)
@pytest.mark.parametrize("state", ["free", "quantised"])
def test_what_is_shown_is_rounded_and_what_is_remembered_as_asked(attack, state, digits_cnn, digits_test):
    x, y = (part[:24] for part in digits_test)
    watched, attack = Shown(digits_cnn), replace(attack, state=state)
    path = path_of(attack, Oracle.open(BoundThreat(watched), x, y))
    assert len(watched.images) >= 31
    assert all(on_grid(image, 256) for image in watched.images)
    assert all(on_grid(image, 256) for image in path) == (state == "quantised")


@pytest.mark.parametrize("attack", ATTACKS, ids=name)
def test_without_a_grid_both_states_are_one_attack(attack, digits_cnn, digits_test):
    x, y = (part[:8] for part in digits_test)
    threat = BoundThreat(digits_cnn, levels=None)
    free, quantised = (
        replace(attack, state=state).run(Oracle.open(threat, x, y)).adversarial for state in ("free", "quantised")
    )
    assert torch.equal(free, quantised)


@pytest.mark.parametrize("attack", [DDN(60, eps=0.05), FMN(60)], ids=name)
def test_a_free_state_adds_up_what_each_rounding_loses(attack, make_linear):
    """On a gradient spread over 1024 pixels the nearest image is less than half a level away in most of them."""
    case = make_linear(2, 0.05, side=32)
    x = (case.x * 255).round() / 255
    free, quantised = (
        replace(attack, state=state).run(Oracle.open(BoundThreat(case.net), x, case.y))
        for state in ("free", "quantised")
    )
    assert free.success.all()
    assert on_grid(free.adversarial, 256)
    assert free.distance.mean() < quantised.distance.mean()


class Constant(DDN):
    """DDN of algorithm 1, its factor one number."""

    def move(self, oracle, state, t, logits, g):
        eps = state.eps * torch.where(oracle.won(logits), 1 - self.gamma, 1 + self.gamma)
        d = state.x - oracle.domain.x0 + cosine(t, self.steps, self.alpha, self.alpha_last) * unit(g)
        return DDNState(oracle.domain.quantise(oracle.domain.x0 + like(eps, d) * unit(d)), eps)


@pytest.mark.parametrize("gamma", [0.05, 0.1, 0.3])
def test_equal_factors_are_the_printed_attack_bit_for_bit(gamma, digits_cnn, digits_test):
    x, y = (part[:16] for part in digits_test)
    printed, ours = (
        path_of(made(25, gamma=gamma, gamma_last=gamma, state="quantised"), Oracle.open(BoundThreat(digits_cnn), x, y))
        for made in (Constant, DDN)
    )
    assert all(map(torch.equal, printed, ours))


def test_the_radius_is_a_product_of_annealed_factors(digits_mlp, digits_test):
    """Read from the states: each radius over the one before is 1 - gamma_t or 1 + gamma_t."""
    x, y = (part[:8] for part in digits_test)
    seen = []
    iterate(
        DDN(10, gamma=0.4, gamma_last=0.1),
        Oracle.open(BoundThreat(digits_mlp), x, y),
        callback=lambda t, oracle, state: seen.append(state.eps),
    )
    before = torch.ones(8)
    for t, eps in enumerate(seen):
        gamma = 0.1 + 0.3 * (1 + torch.cos(torch.tensor(torch.pi * t / 10))) / 2
        torch.testing.assert_close((eps / before - 1).abs(), gamma.expand(8))
        before = eps


def test_ranges():
    with pytest.raises(ContractError, match="gamma_last of DDN"):
        DDN(gamma_last=1.0)
    with pytest.raises(ContractError, match="state of"):
        FMN(state="rounded")
