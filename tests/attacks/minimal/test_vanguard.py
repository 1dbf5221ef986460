"""Vanguard where the answer is known: linear classifiers, Sapper without the annealed march, who leaves it and when."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from vauban.attacks.minimal.sapper import Sapper
from vauban.attacks.minimal.vanguard import Vanguard
from vauban.attacks.parts.minimal_steps import cosine
from vauban.core.goals import Targeted
from vauban.core.norms import L1, L2, Linf
from vauban.core.pixel_grid import on_grid
from vauban.engine import BoundThreat, Oracle, iterate

ROUNDING = 1e-5
NORMS = [L2, Linf, L1]


class Steep(nn.Module):
    """A network that sees nearly black and white only, so that the linearised boundary is far beyond the real one."""

    def __init__(self, net: nn.Module, slope: float) -> None:
        super().__init__()
        self.net, self.slope = net, slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(torch.sigmoid(self.slope * (x - 0.5)))


def path_of(attack, oracle):
    """What is seen after each step: the state, and which images have a success."""
    path = []
    result = iterate(attack, oracle, callback=lambda t, oracle, state: path.append((state, oracle.succeeded.clone())))
    return path, result


@pytest.mark.parametrize("annealed", ["auto", "all", "none"])
@pytest.mark.parametrize(
    ("norm", "steps", "most"), [(L2, 20, 1.15), (Linf, 20, 1.15), (L2, 100, 1.02), (Linf, 100, 1.02)]
)
def test_each_part_comes_near_the_closed_form_at_equal_passes(norm, steps, most, annealed, make_linear):
    case = make_linear(2, 0.6)
    result = Vanguard(steps, norm, annealed=annealed).run(
        Oracle.open(BoundThreat(case.net, levels=None), case.x, case.y)
    )
    ratio = result.distance / case.nearest(norm)
    assert ratio.min() > 1 - ROUNDING
    assert ratio.max() < most
    assert (result.forwards == steps + 1).all()
    assert (result.backwards == steps).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("steps", [1, 2, 20, 60])
def test_without_the_annealed_march_it_is_sapper(norm, steps, digits_cnn, digits_test):
    x, y = (part[:12] for part in digits_test)
    ours, theirs = (
        attack.run(Oracle.open(BoundThreat(digits_cnn), x, y))
        for attack in (Vanguard(steps, norm, annealed="none"), Sapper(steps, norm))
    )
    assert torch.equal(ours.adversarial, theirs.adversarial)
    assert torch.equal(ours.distance, theirs.distance)


def test_an_image_leaves_a_short_march_after_half_of_it_and_only_without_a_success(digits_cnn, digits_test):
    x, y = (part[:40] for part in digits_test)
    threat = BoundThreat(Steep(digits_cnn, 30.0))
    path, _ = path_of(Vanguard(6), Oracle.open(threat, x, y))
    left = path[3][0].annealing
    assert torch.equal(left, ~path[2][1])
    assert set(left.tolist()) == {True, False}
    assert not path[2][0].annealing.any()
    assert not path[5][0].annealing.any()
    alone, _ = path_of(Sapper(6), Oracle.open(threat, x, y))
    stayed = ~left
    assert torch.equal(path[5][0].x[stayed], alone[5][0].x[stayed])
    assert not torch.equal(path[5][0].x[left], alone[5][0].x[left])


@pytest.mark.parametrize("steps", [6, 60])
def test_the_choice_of_an_image_does_not_depend_on_the_others(steps, make_linear):
    case = make_linear(3, 0.6, dtype=torch.float64)
    threat = BoundThreat(Steep(case.net, 20.0), levels=None)
    together, whole = path_of(Vanguard(steps), Oracle.open(threat, case.x, case.y))
    for row in (0, 5, 11):
        alone, result = path_of(Vanguard(steps), Oracle.open(threat, case.x[row : row + 1], case.y[row : row + 1]))
        torch.testing.assert_close(result.distance[0], whole.distance[row])
        for (one, _), (every, _) in zip(alone, together, strict=True):
            assert bool(one.annealing[0]) == bool(every.annealing[row])


@pytest.mark.parametrize("norm", NORMS)
def test_the_annealed_march_begins_at_the_original_and_ends_at_85_percent(norm, digits_cnn, digits_test):
    x, y = (part[:12] for part in digits_test)
    path, result = path_of(Vanguard(100, norm, annealed="all"), Oracle.open(BoundThreat(digits_cnn), x, y))
    on = [bool(state.annealing.all()) for state, _ in path]
    assert on == [28 <= t < 85 for t in range(100)]
    assert not any(bool(state.annealing.any()) for t, (state, _) in enumerate(path) if not on[t])
    assert result.success.all()
    assert on_grid(result.adversarial, 256)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("slope", [0, 25, 40])
def test_in_a_long_run_those_leave_that_have_not_settled(norm, slope, digits_cnn, digits_test):
    x, y = (part[:40] for part in digits_test)
    network = Steep(digits_cnn, slope) if slope else digits_cnn
    march, visited, nearest = Sapper(100, norm), [], []
    move = march.march

    def watched(oracle, state, t, y, logits, g):
        visited.append((y, logits.detach().clone(), g.clone()))
        nearest.append(oracle.distance.clone())
        return move(oracle, state, t, y, logits, g)

    object.__setattr__(march, "march", watched)
    march.run(Oracle.open(BoundThreat(network), x, y))
    point, logits, g = visited[27]
    true = logits.gather(1, y[:, None])[:, 0]
    others = logits.scatter(1, y[:, None], -torch.inf).amax(1)
    away = (true - others).abs() / g.flatten(1).norm(p={L2: 2, Linf: 1, L1: torch.inf}[norm], dim=1)
    size = (point - x).flatten(1).norm(p={L2: 2, Linf: torch.inf, L1: 1}[norm], dim=1)
    expected = (away > 0.05 * size) | (nearest[13] > 1.05 * nearest[27]) | nearest[27].isinf()
    path, _ = path_of(Vanguard(100, norm), Oracle.open(BoundThreat(network), x, y))
    assert torch.equal(path[28][0].annealing, expected)
    assert expected.any() == bool(slope) or norm is not L2  # sound networks keep their march


def test_the_radius_in_l2_is_a_product_of_annealed_factors(digits_cnn, digits_test):
    x, y = (part[:8] for part in digits_test)
    right = digits_cnn(x).argmax(1) == y  # the others are at radius zero
    x, y = x[right], y[right]
    attack = Vanguard(100, gamma=0.4, gamma_last=0.1, annealed="all")
    path, _ = path_of(attack, Oracle.open(BoundThreat(digits_cnn), x, y))
    before = path[28][0].eps
    for t in range(29, 85):
        eps = path[t][0].eps
        torch.testing.assert_close((eps / before - 1).abs(), torch.full_like(eps, cosine(t - 28, 57, 0.4, 0.1)))
        before = eps


def test_who_has_settled_goes_on_as_in_sapper(digits_cnn, digits_test):
    x, y = (part[:40] for part in digits_test)
    threat = BoundThreat(Steep(digits_cnn, 25.0))
    path, ours = path_of(Vanguard(100), Oracle.open(threat, x, y))
    stayed = ~path[28][0].annealing
    assert set(stayed.tolist()) == {True, False}
    theirs = Sapper(100).run(Oracle.open(threat, x, y))
    assert torch.equal(ours.distance[stayed], theirs.distance[stayed])
    assert not torch.equal(ours.distance, theirs.distance)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("steps", [20, 60])
def test_toward_a_target(norm, steps, digits_cnn, digits_test):
    x, y = (part[:12] for part in digits_test)
    target = (y + 1) % 10
    result = Vanguard(steps, norm).run(Oracle.open(BoundThreat(digits_cnn), x, y, goal=Targeted(target)))
    assert result.success.all()
    assert torch.equal(digits_cnn(result.adversarial).argmax(1), target)
    assert on_grid(result.adversarial, 256)


def test_it_finds_what_sapper_passes_by(digits_cnn, digits_test):
    """Where the linearised boundary is far from the real one, Sapper crosses far away and stays there."""
    x, y = (part[:40] for part in digits_test)
    attack, threat = Vanguard(100), BoundThreat(Steep(digits_cnn, 40.0))
    both, sapper = (made.run(Oracle.open(threat, x, y)).distance for made in (attack, replace(attack, annealed="none")))
    assert both.mean() < 0.98 * sapper.mean()
