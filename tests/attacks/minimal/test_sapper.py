"""Sapper's marches and what holds whatever the network: gradients, grid, masks, targets, few classes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vauban.attacks import load
from vauban.attacks.minimal.sapper import Sapper
from vauban.attacks.parts.sapper_schedule import SCOUTED, level, phases, ranked, soft_margin
from vauban.core.goals import RandomWrong, ResolvedGoal, Untargeted
from vauban.core.losses import margin
from vauban.core.norms import L1, L2, Linf
from vauban.core.pixel_grid import on_grid
from vauban.engine import BoundThreat, Oracle, Result, iterate

NORMS = pytest.mark.parametrize("norm", [L2, Linf, L1], ids=str)


@given(st.integers(0, 400), st.integers(0, 4))
def test_the_phases_fill_the_steps(steps, scouts):
    found = phases(steps, scouts)
    assert len(found) == steps
    lengths = [phase.length for phase, age in found if age == 0]
    assert sum(lengths) == steps
    assert min(lengths, default=1) > 0
    assert [age for _, age in found] == [age for length in lengths for age in range(length)]
    numbers = [phase.number for phase, age in found if age == 0]
    assert numbers == list(range(len(numbers)))
    assert len(lengths) == (0 if steps == 0 else 1 if steps < SCOUTED else scouts + 2)
    for phase, _ in found:
        last = phase.number == scouts + 1
        assert phase.refines == (last and steps >= SCOUTED)
        assert phase.scouts == (0 < phase.number <= scouts)


def test_the_phases_of_a_hundred_steps():
    assert [phase.length for phase, age in phases(100, 3) if age == 0] == [28, 14, 14, 14, 30]


@pytest.mark.parametrize("scouts", [5, 6])
def test_many_scouts_leave_steps_to_the_first_march(scouts):
    lengths = [phase.length for phase, age in phases(100, scouts) if age == 0]
    assert sum(lengths) == 100
    assert phases(100, scouts)[0][0].number == 0


@pytest.mark.slow
@NORMS
@pytest.mark.parametrize("steps", [1, 20, 60])
def test_one_gradient_per_step_and_one_closing_check(norm, steps, digits_cnn, digits_test):
    x, y = (part[:8] for part in digits_test)
    result = Sapper(steps, norm).run(Oracle.open(BoundThreat(digits_cnn), x, y))
    assert result.backwards.eq(steps).all()
    assert result.forwards.eq(steps + 1).all()


class Seen(nn.Module):
    """Remembers every image that it is shown."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.images: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.images.append(x.detach().clone())
        return self.net(x)

    def watched(self, attack: Sapper, oracle: Oracle) -> Result:
        """The images of the run alone, without the one by which the door counts the classes."""
        self.images.clear()
        return attack.run(oracle)


@pytest.mark.slow
@NORMS
def test_every_query_is_on_the_grid_and_the_result_as_judged(norm, digits_cnn, digits_test):
    x, y = (part[:24] for part in digits_test)
    net = Seen(digits_cnn)
    result = net.watched(Sapper(60, norm), Oracle.open(BoundThreat(net), x, y))
    assert len(net.images) == 61
    assert all(on_grid(image, 256) for image in net.images)
    with torch.no_grad():
        assert torch.equal(digits_cnn(result.adversarial).argmax(1) != y, result.success)
    assert result.success.all()
    nearest = torch.full((24,), torch.inf)
    for image in net.images:
        with torch.no_grad():
            won = digits_cnn(image).argmax(1) != y
        nearest = torch.minimum(nearest, norm.size(image - x).where(won, torch.inf))
    assert torch.equal(result.distance, nearest)


@NORMS
@pytest.mark.parametrize("levels", [None, 256])
def test_masked_pixels_stay(norm, levels, digits_cnn, digits_test):
    x, y = (part[:16] for part in digits_test)
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[:, 2:] = True
    net = Seen(digits_cnn)
    result = net.watched(Sapper(20, norm), Oracle.open(BoundThreat(net, levels=levels), x, y, mask=mask))
    assert all(torch.equal(image[:, :, :2], x[:, :, :2]) for image in [*net.images, result.crafted])
    assert result.success.double().mean() > 0.9


@pytest.mark.parametrize("steps", [20, 100])
def test_targeted(steps, digits_cnn, digits_test):
    x, y = (part[:32] for part in digits_test)
    oracle = Oracle.open(BoundThreat(digits_cnn), x, y, RandomWrong())
    result = Sapper(steps).run(oracle)
    with torch.no_grad():
        label = digits_cnn(result.adversarial).argmax(1)
    assert torch.equal(label == oracle.goal.target, result.success)
    assert result.success.all()


def marches(net, x, y, attack=None):
    """(phase, age, state) of each step."""
    attack, path = attack or Sapper(100), []
    plan = phases(attack.steps, attack.scouts)
    iterate(
        attack, Oracle.open(BoundThreat(net), x, y), callback=lambda t, oracle, state: path.append((*plan[t], state))
    )
    return path


def test_scouts_head_for_distinct_classes_that_were_next(digits_cnn, digits_test):
    x, y = (part[:24] for part in digits_test)
    path = marches(digits_cnn, x, y)
    toward = {phase.number: state.toward for phase, _, state in path if phase.scouts}
    assert sorted(toward) == [1, 2, 3]
    for phase, _, state in path:
        if phase.scouts:
            assert torch.equal(state.toward, toward[phase.number])
    heads = torch.stack([toward[k] for k in (1, 2, 3)], 1)
    assert (heads != y[:, None]).all()
    assert (heads.sort(1).values.diff(dim=1) > 0).all()
    first = [state for phase, _, state in path if phase.number == 0]
    order = first[-1].order
    assert torch.equal(heads, order[:, 1:4])
    assert torch.equal(order[:, -1], y)
    assert torch.equal(order.sort(1).values, torch.arange(10).expand(24, -1))


def test_scouts_start_at_the_original_and_the_last_march_at_the_nearest_find(digits_cnn, digits_test):
    """The image shown at the first step of each phase."""
    x, y = (part[:8] for part in digits_test)
    net = Seen(digits_cnn)
    net.watched(Sapper(100), Oracle.open(BoundThreat(net), x, y))
    for t in (0, 28, 42, 56):
        assert torch.equal(net.images[t], x)
    nearest, found = x.clone(), torch.full((8,), torch.inf)
    for image in net.images[:70]:
        with torch.no_grad():
            won = digits_cnn(image).argmax(1) != y
        size = L2.size(image - x).where(won, torch.inf)
        nearest = torch.where((size < found)[:, None, None, None], image, nearest)
        found = torch.minimum(found, size)
    assert torch.equal(net.images[70], nearest)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_fewer_classes_than_scouts(classes, make_linear):
    """Where there are no more classes the last one is scouted again; never y itself."""
    case = make_linear(classes, 0.6)
    path = marches(case.net, (case.x * 255).round() / 255, case.y)
    for phase, _, state in path:
        if phase.scouts:
            assert (state.toward != case.y).all()
            assert torch.equal(state.toward, state.order[:, min(phase.number, classes - 2)])
    result = Sapper(100).run(Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y))
    assert result.success.all()
    assert (result.distance / case.nearest(L2)).max() < 1.02


def test_scouts_do_not_head_for_y_where_a_class_means_rejected(make_linear):
    case = make_linear(3, 0.6)
    x, y, path = case.x[case.y < 2], case.y[case.y < 2], []
    oracle = Oracle.open(BoundThreat(case.net, levels=None), x, y, Untargeted(rejects=True))
    iterate(Sapper(60), oracle, callback=lambda t, oracle, state: path.append((phases(60, 3)[t][0], state)))
    for phase, state in path:
        if phase.scouts:
            assert torch.equal(state.toward, 1 - y)


def test_the_smoothed_margin():
    """Between the margin and the margin + log(classes - 1) / T, its gradient that of a softmax of the others; the class
    that a scout heads for replaces it; targeted it is the opposite for the target."""
    g = torch.Generator().manual_seed(0)
    z = (5 * torch.randn(16, 6, generator=g, dtype=torch.float64)).requires_grad_(True)
    y = torch.arange(16) % 6
    goal = ResolvedGoal(y)
    for sharp in (4.0, 100.0):
        t = sharp / z.detach().sub(z.detach().mean(1, keepdim=True)).square().mean(1).sqrt()
        excess = soft_margin(sharp, None)(z, goal) - margin(z, goal)
        assert (excess >= -1e-9).all()
        assert (excess <= torch.tensor(5.0).log() / t + 1e-9).all()
        (slope,) = torch.autograd.grad(soft_margin(sharp, None)(z, goal).sum(), z)
        others = z.detach().scatter(1, y[:, None], -torch.inf)
        expected = (others * t[:, None]).softmax(1).scatter(1, y[:, None], -1.0)
        torch.testing.assert_close(slope, expected)
    toward = (y + 2) % 6
    plain = (z.gather(1, toward[:, None]) - z.gather(1, y[:, None])).squeeze(1)
    assert torch.equal(soft_margin(4.0, toward)(z, goal), plain)
    assert torch.equal(level(z, goal, toward), plain)
    assert torch.equal(level(z, goal, None), margin(z, goal))
    targeted = ResolvedGoal((y + 1) % 6, y)
    assert torch.equal(soft_margin(4.0, None)(z, targeted), -soft_margin(4.0, None)(z, goal))
    assert torch.equal(level(z, targeted, None), margin(z, targeted))


def test_the_rejected_class_is_nobody_to_head_for():
    z = torch.tensor([[1.0, 0.0, 2.0, 9.0]], requires_grad=True)
    goal = ResolvedGoal(torch.tensor([0]), rejects=True)
    (slope,) = torch.autograd.grad(soft_margin(100.0, None)(z, goal).sum(), z)
    assert slope[0, 3] == -1
    assert level(z, goal, None).tolist() == [-7.0]
    assert ranked(z, goal)[0, :2].tolist() == [2, 1]


@pytest.mark.slow
def test_a_gradient_of_zero_goes_nowhere(digits_test):
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 0 * x.flatten(1)[:, :3] + torch.tensor([1.0, 0.0, 0.0])

    x = digits_test[0][:3]
    for levels in (None, 256):
        for norm in (L2, Linf, L1):
            result = Sapper(60, norm).run(
                Oracle.open(BoundThreat(Constant(), levels=levels), x, torch.zeros(3, dtype=torch.int64))
            )
            assert torch.equal(result.crafted, x)
            assert not result.success.any()


@pytest.mark.slow
@NORMS
def test_a_sample_does_not_depend_on_its_batch(norm, digits_cnn, digits_test):
    x, y = (part[:4] for part in digits_test)
    attack, threat = Sapper(60, norm), BoundThreat(digits_cnn)
    whole = attack.run(Oracle.open(threat, x, y))
    for i in range(4):
        single = attack.run(Oracle.open(threat, x[i : i + 1], y[i : i + 1]))
        torch.testing.assert_close(single.distance, whole.distance[i : i + 1], rtol=0.02, atol=0)


def test_an_image_that_is_already_misclassified_stays(digits_cnn, digits_test):
    x = digits_test[0][:4]
    with torch.no_grad():
        wrong = (digits_cnn(x).argmax(1) + 1) % 10
    result = Sapper(20).run(Oracle.open(BoundThreat(digits_cnn), x, wrong))
    assert result.distance.eq(0).all()
    assert torch.equal(result.adversarial, x)


@pytest.mark.slow
def test_nearer_than_its_rivals_at_both_budgets(digits_cnn, digits_test):
    """On the median, at as many gradients, on a network that none of its parameters was chosen on."""
    x, y = (part[:64] for part in digits_test)
    for steps in (20, 100):
        median = {}
        for name in ("sapper", "bp", "ddn", "fmn"):
            result = load(name, steps=steps).run(Oracle.open(BoundThreat(digits_cnn), x, y))
            median[name] = float(result.distance.median())
            assert result.success.double().mean() > 0.95
        assert median["sapper"] == min(median.values())
