"""Half precision taken up to float32 and back: no pixel level is lost, and rounding leaves no ball."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.norms import L0, L1, L2, Ball, Linf, Norm
from vauban.core.pixel_grid import check_on_grid
from vauban.core.precision import HALF, raised, rounded_to, working_type
from vauban.core.rng import Stream

TYPES = sorted(HALF, key=str)
halves = pytest.mark.parametrize("dtype", TYPES, ids=str)
LEVELS = (torch.arange(256) / 255).view(1, 1, 16, 16)


def random(tag: str, n: int = 40) -> Tensor:
    return Stream(0, torch.arange(n)).uniform(tag, (1, 5, 5))


def test_the_type_in_which_an_attack_computes() -> None:
    types = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
    assert [working_type(dtype) for dtype in types] == [torch.float32] * 3 + [torch.float64]
    assert raised(LEVELS, 256) is LEVELS


@halves
def test_every_level_comes_back_from_a_half_type_as_it_was(dtype: torch.dtype) -> None:
    given = LEVELS.to(dtype)
    up = raised(check_on_grid(given, 256), 256)
    assert up.dtype == torch.float32
    assert torch.equal(up, LEVELS)
    assert torch.equal(up.to(dtype), given)
    assert torch.equal(raised(given, None), given.float())


def test_float16_tells_a_value_between_two_levels() -> None:
    with pytest.raises(ContractError, match=r"expected images on the grid of 256 pixel levels.*levels=None"):
        check_on_grid(torch.tensor([[100.5 / 255]]).half(), 256)


@halves
def test_without_a_ball_it_is_the_nearest_value(dtype: torch.dtype) -> None:
    x, x0 = random("x"), random("x0").to(dtype).float()
    assert torch.equal(rounded_to(dtype, x, x0, None), x.to(dtype).float())


@halves
@pytest.mark.parametrize("norm", [Linf, L2, L1, L0], ids=str)
@pytest.mark.parametrize("radius", [0.0, 0.003, 0.2, 1.0])
def test_what_is_in_the_ball_stays_in_it(dtype: torch.dtype, norm: Norm, radius: float) -> None:
    """On the sphere, where every second component would be rounded out; the ball is enforced in float32."""
    x0 = random("x0").to(dtype).float()
    ball = norm(radius if norm is not L0 else 25 * radius).bind(x0)
    x = ball.project(x0 + 4 * (random("d") - 0.5), x0).clamp(0, 1)
    rounded = rounded_to(dtype, x, x0, ball)
    assert torch.equal(rounded.to(dtype).float(), rounded), "a value that the type does not hold"
    assert ball.contains(rounded, x0).all()
    assert ((rounded >= 0) & (rounded <= 1)).all()
    assert torch.equal(rounded[x == x0], x0[x == x0])
    ulp = torch.finfo(dtype).eps
    assert ((rounded - x).abs() <= ulp * x.clamp_min(x0) + 1e-7).all(), "further than to the next value"
    assert torch.equal(rounded_to(dtype, rounded, x0, ball), rounded)


@halves
def test_only_the_components_that_leave_a_box_step_back(dtype: torch.dtype) -> None:
    x0 = torch.full((1, 2), 0.5)
    next_up = float(torch.tensor(0.75, dtype=dtype)) + float(torch.finfo(dtype).eps) / 2  # of [1/2, 1)
    ball = Ball(Linf, torch.tensor([next_up - 0.5 - 1e-4 * 2])) if dtype is torch.bfloat16 else Linf(0.2501)
    ball = ball.bind(x0)
    x = torch.tensor([[0.5 + float(ball.scale(x0).flatten()[0]), 0.6001]])
    rounded = rounded_to(dtype, x, x0, ball)
    assert float(rounded[0, 0]) == 0.75
    assert float(rounded[0, 1]) == float(torch.tensor(0.6001).to(dtype))
