"""Figure 5.1: the drawn paths are those of the attacks' own definitions."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from vauban.reproduce.papers.thesis5.figure1 import ATTACKS, RADIUS, START, STEPS, Wave, boundary, draw, path


def away(point):
    return math.dist(point, START)


def normal(point):
    """The unit direction in which the margin rises, by the slope of the boundary: 0.2 pi cos(2 pi x1) times x1."""
    slope = 0.2 * math.pi * math.cos(2 * math.pi * point[0])
    return slope / math.hypot(slope, 1), 1 / math.hypot(slope, 1)


def adversarial(point):
    return point[1] > 0.62 - 0.1 * math.sin(2 * math.pi * point[0])


def test_the_drawn_boundary_is_where_both_logits_agree():
    drawn = boundary()
    logits = Wave()(torch.tensor([drawn.x, drawn.y]).T)
    assert torch.allclose(logits[:, 0], logits[:, 1], atol=1e-5)
    assert not adversarial(START)


@pytest.mark.parametrize("name", ATTACKS)
def test_a_path_has_the_start_and_every_step_and_ends_across(name):
    points = path(name)
    assert len(points) == STEPS + 1
    assert points[0] == START
    assert any(adversarial(point) for point in points)


def test_pgd2_ends_on_its_sphere():
    points = path("PGD2")
    assert away(points[-1]) == pytest.approx(RADIUS, abs=1e-5)
    assert max(map(away, points)) <= RADIUS + 1e-5


def test_ddn_moves_from_sphere_to_sphere():
    """The radius changes by a tenth in every step, down after a success and up elsewhere."""
    points, eps = path("DDN"), 0.1
    for before, after in itertools.pairwise(points):
        eps *= 0.9 if adversarial(before) else 1.1
        assert away(after) == pytest.approx(eps, rel=1e-4)


def test_bp_goes_out_on_the_tangent_and_in_to_its_sphere():
    points, crossed, outs = path("BP"), False, 0
    for t, (before, after) in enumerate(itertools.pairwise(points)):
        gamma = 0.7 + t / (STEPS + 1) * 0.3
        u = normal(before)
        step = (after[0] - before[0], after[1] - before[1])
        if adversarial(before):
            crossed, outs = True, outs + 1
            assert step[0] * u[0] + step[1] * u[1] == pytest.approx(0, abs=1e-5)
            assert away(after) <= away(before) + 1e-6
        elif crossed:
            assert away(after) == pytest.approx(away(before) / gamma, rel=1e-4)
        else:
            assert math.hypot(*step) == pytest.approx(0.1 * gamma, rel=1e-4)
    assert outs


def test_retreat_brings_bp_nearer_than_the_printed_rule():
    nearest = {name: min(away(p) for p in path(name) if adversarial(p)) for name in ("BP", "BP, OUT with retreat")}
    x1 = torch.linspace(0, 1, 100001, dtype=torch.float64)
    best = ((x1 - START[0]) ** 2 + (0.62 - 0.1 * (2 * math.pi * x1).sin() - START[1]) ** 2).sqrt().min().item()
    assert best <= nearest["BP, OUT with retreat"] < nearest["BP"] < 2 * best


def test_the_drawing_has_every_attack():
    assert [series.name for series in draw()] == ["boundary", "radius of PGD2", *ATTACKS]
