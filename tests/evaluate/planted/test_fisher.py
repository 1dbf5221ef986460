"""Fisher's direction: the two closed forms, the definition, and the bound that keeps random search away."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vauban.evaluate.planted.fisher import Fisher


def drawn(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@given(st.integers(2, 30), st.integers(1, 30), st.integers(0, 99))
def test_primal_and_dual_form_agree(n: int, d: int, seed: int) -> None:
    cloud, points = drawn(n, d, seed), 2 * drawn(5, d, seed + 1)
    primal, dual = Fisher(cloud, form="primal"), Fisher(cloud, form="dual")
    torch.testing.assert_close(primal.directions(points), dual.directions(points), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(primal.distances(points), dual.distances(points), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("n", "d"), [(40, 6), (6, 40)])
def test_direction_solves_the_system_by_brute_force(n: int, d: int) -> None:
    cloud, points = drawn(n, d, 0), drawn(4, d, 1)
    fisher = Fisher(cloud)
    wide = cloud.double()
    covariance = torch.cov(wide.T, correction=0)
    system = covariance + fisher.regularisation * torch.eye(d, dtype=torch.float64)
    away = points.double() - wide.mean(0)
    expected = torch.linalg.solve(system, away.T).T
    torch.testing.assert_close(fisher.directions(points), expected)
    torch.testing.assert_close(fisher.distances(points), (expected * away).sum(1))


def test_no_point_scores_above_a_farther_one() -> None:
    cloud, points = drawn(50, 8, 0), drawn(200, 8, 1)
    fisher = Fisher(cloud)
    best = int(fisher.distances(points).argmax())
    scores = (points.double() - fisher.mean) @ fisher.directions(points[best : best + 1])[0]
    assert int(scores.argmax()) == best


def test_no_direction_separates_better() -> None:
    """(w . (v - m))^2 / (w^T S w + r |w|^2) is largest in the closed form."""
    cloud, point = drawn(50, 8, 0), drawn(1, 8, 1)
    fisher = Fisher(cloud)
    away = (point.double() - fisher.mean)[0]

    def quality(w: Tensor) -> Tensor:
        return (w @ away) ** 2 / ((fisher.centred @ w).square().mean() + fisher.regularisation * w @ w)

    best = quality(fisher.directions(point)[0])
    assert all(quality(w.double()) <= best for w in drawn(200, 8, 2))


def test_features_that_do_not_move_have_a_finite_direction() -> None:
    fisher = Fisher(torch.ones(10, 3))
    assert float(fisher.distances(torch.ones(1, 3))) == 0
    assert bool(fisher.directions(torch.full((1, 3), 2.0)).isfinite().all())
