"""What holds for every minimal attack: costs, failures, masks, batches, shifts, targets, edges of the box."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from vauban.attacks import load, registry
from vauban.attacks.minimal.bp import BP
from vauban.attacks.minimal.cw_l2 import CHART, CW, CWSteps
from vauban.attacks.minimal.ddn import DDN
from vauban.attacks.minimal.deepfool import DeepFool
from vauban.attacks.minimal.fmn import FMN
from vauban.attacks.parts.minimal_steps import cosine, movable
from vauban.core.errors import ContractError
from vauban.core.goals import RandomWrong
from vauban.core.losses import cross_entropy
from vauban.core.norms import L0, L1, L2, Linf
from vauban.core.pixel_grid import on_grid
from vauban.engine import Bisection, BoundThreat, Oracle, iterate

PRINTED = DDN(20, gamma=0.05, gamma_last=0.05, state="quantised")
STEPPED = [BP(20), BP(20, state="quantised"), DDN(20), PRINTED, FMN(20), FMN(20, Linf), FMN(20, L1), FMN(20, L0)]
ALL = [*STEPPED, CW(3, 10), DeepFool(50), DeepFool(50, norm=Linf)]


def name(attack: object) -> str:
    return f"{type(attack).__name__}-{getattr(attack, 'norm', L2)}".lower()


class Shifted(nn.Module):
    def __init__(self, net: nn.Module, shift: float) -> None:
        super().__init__()
        self.net, self.shift = net, shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x) + self.shift


class Constant(nn.Module):
    """Always class 0, with a gradient of zero."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0 * x.flatten(1)[:, :3] + torch.tensor([1.0, 0.0, 0.0])


@pytest.mark.parametrize("attack", STEPPED, ids=name)
def test_one_gradient_per_step_and_one_closing_check(attack, digits_cnn, digits_test):
    x, y = digits_test
    result = attack.run(Oracle.open(BoundThreat(digits_cnn), x[:16], y[:16]))
    assert result.backwards.eq(20).all()
    assert result.forwards.eq(21).all()


def test_cost_of_carlini_wagner(digits_cnn, digits_test):
    x, y = digits_test
    result = CW(3, 10).run(Oracle.open(BoundThreat(digits_cnn), x[:16], y[:16]))
    assert result.backwards.eq(30).all()
    assert result.forwards.eq(33).all()


@pytest.mark.slow
@pytest.mark.parametrize("attack", ALL, ids=name)
def test_images_are_saved_as_judged(attack, digits_cnn, digits_test):
    x, y = (part[:48] for part in digits_test)
    result = attack.run(Oracle.open(BoundThreat(digits_cnn), x, y))
    assert result.success.double().mean() > 0.9
    assert on_grid(result.adversarial, 256)
    with torch.no_grad():
        assert torch.equal(digits_cnn(result.adversarial).argmax(1) != y, result.success)
    norm = getattr(attack, "norm", L2)
    torch.testing.assert_close(result.distance, norm.size(result.adversarial - x).where(result.success, torch.inf))


@pytest.mark.slow
@pytest.mark.parametrize("attack", [BP(40), DDN(40), FMN(40), CW(5, 20), DeepFool(40)], ids=name)
def test_targeted(attack, digits_cnn, digits_test):
    x, y = (part[:48] for part in digits_test)
    oracle = Oracle.open(BoundThreat(digits_cnn), x, y, RandomWrong())
    result = attack.run(oracle)
    with torch.no_grad():
        label = digits_cnn(result.adversarial).argmax(1)
    assert torch.equal(label == oracle.goal.target, result.success)
    assert result.success.double().mean() > 0.85


@pytest.mark.parametrize("attack", ALL, ids=name)
def test_failure_is_the_original_at_infinite_distance(attack, digits_test):
    x = digits_test[0][:4]
    result = attack.run(Oracle.open(BoundThreat(Constant()), x, torch.zeros(4, dtype=torch.int64)))
    assert not result.success.any()
    assert torch.equal(result.adversarial, x)
    assert result.distance.isinf().all()
    assert result.crafted.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("attack", ALL, ids=name)
def test_an_image_that_is_already_misclassified_costs_nothing(attack, digits_cnn, digits_test):
    x, y = digits_test
    with torch.no_grad():
        y = (digits_cnn(x[:4]).argmax(1) + 1) % 10
    result = attack.run(Oracle.open(BoundThreat(digits_cnn), x[:4], y))
    assert result.distance.eq(0).all()
    assert torch.equal(result.adversarial, x[:4])


@pytest.mark.slow
@pytest.mark.parametrize("attack", ALL, ids=name)
def test_masked_pixels_stay(attack, digits_cnn, digits_test):
    x, y = (part[:16] for part in digits_test)
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[:, 2:] = True
    result = attack.run(Oracle.open(BoundThreat(digits_cnn), x, y, mask=mask))
    assert torch.equal(result.crafted[:, :, :2], x[:, :, :2])
    assert result.success.any()


@pytest.mark.slow
@pytest.mark.parametrize("attack", ALL, ids=name)
def test_a_sample_does_not_depend_on_its_batch(attack, make_linear):
    case = make_linear(4, 0.3, batch=4, dtype=torch.float64)
    threat = BoundThreat(case.net, levels=None)
    whole = attack.run(Oracle.open(threat, case.x, case.y))
    single = [attack.run(Oracle.open(threat, case.x[i : i + 1], case.y[i : i + 1])) for i in range(4)]
    torch.testing.assert_close(whole.crafted, torch.cat([s.crafted for s in single]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("attack", ALL, ids=name)
def test_adding_a_constant_to_every_logit_changes_nothing(attack, make_linear):
    case = make_linear(4, 0.3, batch=6, dtype=torch.float64)
    plain = attack.run(Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y))
    shifted = attack.run(Oracle.open(BoundThreat(Shifted(case.net, -50.0), levels=None), case.x, case.y))
    torch.testing.assert_close(plain.crafted, shifted.crafted, rtol=0, atol=1e-6)


def test_carlini_wagner_moves_saturated_pixels():
    """Every pixel at 0 or 1, and only those can change the label."""
    g = torch.Generator().manual_seed(0)
    x = torch.rand(6, 1, 4, 4, generator=g).round()
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).requires_grad_(False)
    net[1].weight.copy_(torch.stack([torch.zeros(16), torch.randn(16, generator=g)]))
    net[1].bias.copy_(torch.stack([(net[1].weight[1] @ x.flatten(1).T).max() + 0.5, torch.zeros(())]))
    result = CW().run(Oracle.open(BoundThreat(net), x, torch.zeros(6, dtype=torch.int64)))
    assert result.success.all()


@pytest.mark.slow
def test_the_constant_is_searched_per_sample(make_linear):
    """Each sample's best distance is that of a scalar bisection run by hand on this sample alone."""
    case = make_linear(4, 0.6, batch=6, dtype=torch.float64)
    inner = CWSteps(30, 0.05, 0.0)
    threat = BoundThreat(case.net, levels=None)
    together = Bisection(inner, "c", 1e-3, rounds=6, largest=1e10).run(Oracle.open(threat, case.x, case.y))
    for i in range(6):
        value, low, high, best = 1e-3, 0.0, float("inf"), float("inf")
        for _ in range(6):
            oracle = Oracle.open(threat, case.x[i : i + 1], case.y[i : i + 1])
            part = iterate(inner, oracle, per_sample={"c": torch.tensor([value], dtype=torch.float64)})
            if bool(part.success):
                high, best = value, min(best, float(part.distance))
            else:
                low = value
            value = low * 10 if high == float("inf") else (low + high) / 2
        assert float(together.distance[i]) == pytest.approx(best, rel=1e-6)
    by_name = CW(6, 30, 0.05, 1e-3).run(Oracle.open(threat, case.x, case.y))
    assert torch.equal(by_name.distance, together.distance)


def test_kappa_asks_for_a_margin(make_linear):
    case = make_linear(4, 0.6)
    result = CW(5, 40, lr=0.05, kappa=2.0).run(Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y))
    assert result.success.all()
    z = case.net(result.adversarial)
    gap = z.scatter(1, case.y[:, None], -torch.inf).amax(1) - z.gather(1, case.y[:, None])[:, 0]
    assert gap.min() >= 2.0
    assert gap.max() < 4.0


def test_adam_is_the_textbook_one(make_linear):
    """The first three iterates against torch.optim.Adam on the same objective."""
    case = make_linear(2, 0.6, batch=3, dtype=torch.float64)
    c, iterates = torch.full((3,), 5.0, dtype=torch.float64), []
    iterate(
        CWSteps(3, 0.1, 0.0),
        Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y),
        per_sample={"c": c},
        callback=lambda t, oracle, state: iterates.append(state.z),
    )
    z = CHART.start(case.x).requires_grad_(True)
    adam = torch.optim.Adam([z], lr=0.1)
    for expected in iterates:
        x = (1 + z.tanh()) / 2
        logits = case.net(x)
        gap = logits.gather(1, case.y[:, None]) - logits.gather(1, 1 - case.y[:, None])
        adam.zero_grad()
        ((x - case.x).square().sum() + 5.0 * gap.clamp_min(0).sum()).backward()
        adam.step()
        torch.testing.assert_close(expected, z.detach(), rtol=1e-5, atol=1e-6)


def test_ddn_is_algorithm_1(digits_mlp, digits_test):
    """One sample at a time, written out with the cross-entropy."""
    x, y = (part[:4] for part in digits_test)
    path = []
    iterate(
        DDN(8, gamma=0.05, gamma_last=0.05, loss=cross_entropy),
        Oracle.open(BoundThreat(digits_mlp, levels=None), x, y),
        callback=lambda t, oracle, state: path.append(state.x),
    )
    for i in range(4):
        here, eps = x[i : i + 1].clone(), 1.0
        for t in range(8):
            leaf = here.clone().requires_grad_(True)
            logits = digits_mlp(leaf)
            (g,) = torch.autograd.grad(nn.functional.cross_entropy(logits, y[i : i + 1]), leaf)
            eps *= 0.95 if logits.argmax() != y[i] else 1.05
            d = here - x[i] + (0.01 + 0.99 * (1 + math.cos(math.pi * t / 8)) / 2) * g / g.norm()
            here = (x[i] + eps * d / d.norm()).clamp(0, 1)
            torch.testing.assert_close(path[t][i], here[0], rtol=0, atol=1e-4)


def test_cosine_and_movable():
    assert cosine(0, 10, 3.0, 1.0) == 3.0
    assert cosine(5, 10, 3.0, 1.0) == pytest.approx(2.0)
    assert cosine(10, 10, 3.0, 1.0) == pytest.approx(1.0)
    x, g = torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]), torch.tensor([-1.0, 1.0, -1.0, -1.0, 1.0])
    assert movable(x, g).tolist() == [0.0, 1.0, -1.0, -1.0, 0.0]


def test_deepfool_refuses_what_it_cannot_do():
    with pytest.raises(ContractError, match="norm l2 or linf"):
        DeepFool(norm=L1)


@pytest.mark.parametrize("attack", ["bp", "cw-l2", "ddn", "deepfool", "fmn"])
def test_registered(attack):
    facts = registry.get(attack).facts
    assert facts["needs"] == "gradients"
    assert facts["targeted"]
    assert "l2" in facts["norms"]
    assert load(attack, steps=7).steps == 7
