"""Rounding to the pixel grid inside a ball, against a search over all levels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vauban.core.norms import L0, L1, L2, Ball, Linf, Norm
from vauban.core.pixel_grid import PixelGrid, on_grid, saturated
from vauban.core.rng import Stream

EPS = [0.0, 1e-4, 0.03137, 8 / 255, 0.0313725, 0.1, 0.3, 76.4999 / 255, 1.0]


def images(seed: int, levels: int, dtype: torch.dtype, shape: tuple[int, ...] = (3, 1, 4, 4)) -> Tensor:
    k = Stream(seed, torch.arange(shape[0])).integers("k", levels, shape[1:])
    k[0].view(-1)[0], k[0].view(-1)[1] = 0, levels - 1
    return k.to(dtype) / (levels - 1)


def moved(x0: Tensor, ball: Ball, seed: int) -> Tensor:
    d = Stream(seed, torch.arange(len(x0))).normal("d", x0.shape[1:], dtype=x0.dtype)
    return ball.project(x0 + d * 0.5, x0).clamp(0, 1)


@given(
    eps=st.sampled_from(EPS),
    seed=st.integers(0, 10**6),
    levels=st.sampled_from([256, 17, 2]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_linf_goes_to_the_nearest_level_inside(eps: float, seed: int, levels: int, dtype: torch.dtype) -> None:
    x0 = images(seed, levels, dtype)
    ball = Linf(eps).bind(x0)
    x = moved(x0, ball, seed + 1)
    q = PixelGrid.over(levels, x0).round(x) if eps == 1.0 else PixelGrid(levels, x0, ball).round(x)
    grid = torch.arange(levels, dtype=torch.float64) / (levels - 1)
    away = (grid - x.double()[..., None]).abs()
    inside = (grid - x0.double()[..., None]).abs() <= eps + 6e-7
    best = away.masked_fill(~inside, torch.inf).amin(-1)
    torch.testing.assert_close((q.double() - x.double()).abs(), best, atol=2e-7, rtol=0)
    assert ball.contains(q, x0).all()
    assert on_grid(q, levels)
    assert ((q >= 0) & (q <= 1)).all()


def test_eps_off_the_grid_is_where_naive_rounding_leaves() -> None:
    x0 = images(1, 256, torch.float32, (1, 1, 16, 16)) * 0 + 128 / 255
    ball = Linf(0.3).bind(x0)
    x = ball.project(x0 + 1, x0)
    naive = (x * 255).round() / 255
    assert not ball.contains(naive, x0).any()
    assert torch.equal(PixelGrid(256, x0, ball).round(x), torch.full_like(x0, (128 + 76) / 255))


def test_a_radius_just_below_a_level_may_not_be_rounded_up_to_it() -> None:
    """0.03137 is 7.9994 levels: an image at 8 levels would be outside for every later check."""
    x0 = torch.full((1, 1, 2, 2), 100 / 255)
    ball = Linf(0.03137).bind(x0)
    q = PixelGrid(256, x0, ball).round(ball.project(x0 + 1, x0))
    assert ball.contains(q, x0).all()
    assert torch.equal((q * 255).round(), torch.full_like(q, 107))


@pytest.mark.parametrize("norm", [L1, L2], ids=str)
@given(
    radius=st.sampled_from([0.0, 0.5 / 255, 1 / 255, 0.02, 0.3, 1.0]),
    seed=st.integers(0, 10**6),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_l1_and_l2_never_leave_and_never_round_far(norm: Norm, radius: float, seed: int, dtype: torch.dtype) -> None:
    x0 = images(seed, 256, dtype, (3, 2, 5, 5))
    ball = norm(torch.tensor([radius, radius / 2, 2 * radius])).bind(x0)
    x = moved(x0, ball, seed + 1)
    q = PixelGrid(256, x0, ball).round(x)
    assert on_grid(q, 256)
    assert ball.contains(q, x0).all()
    levels, origin = x.double() * 255, x0.double() * 255
    outward = torch.where(levels >= origin, (levels - 1e-3).ceil(), (levels + 1e-3).floor())
    assert ((q.double() - x0.double()).abs() <= (outward / 255 - x0.double()).abs() + 1e-6).all()
    assert ((q.double() * 255 - levels).abs() <= 1 + 1e-3).all()
    nearest = (x * 255).round() / 255
    fits = ball.contains(nearest, x0)
    assert torch.equal(q[fits], nearest[fits])


def test_l2_steps_back_on_the_least_decided_components_first() -> None:
    """Two components at 0.6 and 0.9 of a level: only the second may round up."""
    x0 = torch.full((1, 2), 0.4)
    x = x0 + torch.tensor([[0.6, 0.9]]) / 255
    ball = L2(1.1 / 255).bind(x0)
    q = PixelGrid(256, x0, ball).round(x)
    assert ((q - x0) * 255).round().tolist() == [[0, 1]]


@pytest.mark.parametrize("norm", [L1, L2, Linf], ids=str)
@given(seed=st.integers(0, 10**6), noise=st.sampled_from([-3e-8, 0.0, 3e-8]))
def test_float_noise_at_grid_points_changes_nothing(norm: Norm, seed: int, noise: float) -> None:
    x0, x = images(seed, 256, torch.float32), images(seed + 1, 256, torch.float32)
    ball = Ball(norm, norm.size(x - x0))
    assert torch.equal(PixelGrid(256, x0, ball).round((x + noise).clamp(0, 1)), x)


@pytest.mark.parametrize("norm", [None, L0, L1, L2, Linf], ids=str)
def test_what_did_not_move_is_the_original_to_the_bit(norm: Norm | None) -> None:
    """float32 pixels in float64 are 1e-8 off the grid; L0 would count every one of them."""
    x0 = images(3, 256, torch.float32).double()
    ball = None if norm is None else norm(0.5).bind(x0)
    grid = PixelGrid(256, x0, ball)
    assert not PixelGrid.over(256, x0).exact
    assert PixelGrid.over(256, x0.float()).exact
    assert torch.equal(grid.round(x0 + 1e-5), x0)


def test_rounding_is_idempotent_and_row_by_row() -> None:
    x0 = images(5, 256, torch.float32, (8, 1, 4, 4))
    for ball in (None, Linf(0.3), L2(0.5), L1(2.0)):
        bound = None if ball is None else ball.bind(x0)
        x = (
            (x0 + 0.3 * Stream(1, torch.arange(8)).normal("d", (1, 4, 4))).clamp(0, 1)
            if bound is None
            else moved(x0, bound, 6)
        )
        q = PixelGrid(256, x0, bound).round(x)
        assert torch.equal(PixelGrid(256, x0, bound).round(q), q)
        rows = [
            PixelGrid(256, x0[i : i + 1], bound and bound.rows(torch.tensor([i]))).round(x[i : i + 1]) for i in range(8)
        ]
        assert torch.equal(torch.cat(rows), q)


def test_on_lattice() -> None:
    for levels in (2, 17, 256, 65536):
        for dtype in (torch.float32, torch.float64):
            x = torch.arange(levels, dtype=dtype)[None] / (levels - 1)
            assert on_grid(x, levels)
            assert on_grid(x.float().double(), levels)
            assert not on_grid(x[:, :1] + 0.3 / (levels - 1), levels)


def test_saturated_share() -> None:
    assert saturated(torch.tensor([[0.0, 1.0, 0.5, 0.999]])).tolist() == [0.5]
