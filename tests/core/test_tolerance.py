"""The one rule that decides whether a distance is within a radius, on numbers, arrays, tensors and balls of every type."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vauban.core.errors import ContractError
from vauban.core.norms import L1, L2, Linf, Norm
from vauban.core.pixel_grid import PixelGrid, on_grid
from vauban.core.tolerance import TOLERANCES, least_radius, level_slack, tolerance, upper_limit

TYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}


def test_a_type_or_its_name() -> None:
    assert (
        [tolerance(dtype) for dtype in TYPES.values()]
        == [tolerance(name) for name in TYPES]
        == [1e-3, 8e-3, 1e-6, 1e-6]
    )
    with pytest.raises(ContractError, match=r"expected images of type float16.*got uint8"):
        tolerance(torch.uint8)


@given(st.floats(0, 1e4), st.sampled_from(sorted(TOLERANCES.values())))
def test_numbers_arrays_and_tensors_agree(radius: float, slack: float) -> None:
    limit = upper_limit(radius, slack)
    assert (
        limit
        == upper_limit(np.array([radius]), slack)[0]
        == float(upper_limit(torch.tensor(radius, dtype=torch.float64), slack))
    )
    assert limit >= radius + slack
    assert least_radius(limit, slack) == pytest.approx(radius, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("norm", [Linf, L2, L1], ids=str)
@pytest.mark.parametrize("name", TYPES)
def test_a_ball_contains_what_exceeds_it_by_less_than_the_tolerance_of_the_images(name: str, norm: Norm) -> None:
    """One component moves by 1/2 and 1.5 or 4 tolerances; of the same images in float32 the ball has neither."""
    dtype, slack = TYPES[name], TOLERANCES[name]
    x0 = torch.zeros(2, 3)
    x = x0.clone()
    x[:, 0] = torch.tensor([0.5 + 1.25 * slack, 0.5 + 4 * slack])
    inside = norm(0.5).bind(x0.to(dtype)).contains(x.to(dtype), x0.to(dtype))
    assert inside.tolist() == [True, False]
    if slack > 1e-6:
        assert norm(0.5).bind(x0).contains(x, x0).tolist() == [False, False]


@pytest.mark.parametrize("name", TYPES)
def test_a_ball_covers_by_the_same_rule(name: str) -> None:
    slack, x0 = TOLERANCES[name], torch.zeros(1, 2, dtype=TYPES[name])
    assert L2(0.5).covers(L2(0.5 + 1.25 * slack).bind(x0))
    assert not L2(0.5).covers(L2(0.5 + 4 * slack).bind(x0))


@pytest.mark.parametrize("name", TYPES)
def test_every_level_is_on_the_grid_in_every_type(name: str) -> None:
    x = (torch.arange(256, dtype=torch.float64) / 255).to(TYPES[name])[None]
    assert on_grid(x, 256)
    assert level_slack(256, x.dtype) <= 0.5


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_an_image_on_the_grid_moves_by_whole_levels(name: str) -> None:
    """A radius of 8 levels, as the type has it, allows 8 levels and no ninth; one level away is not the original."""
    x0 = (torch.full((1, 4), 100.0, dtype=torch.float64) / 255).to(TYPES[name])
    grid = PixelGrid(256, x0, Linf(8 / 255).bind(x0))
    moved = grid.round(x0 + torch.tensor([1.0, 7.6, 9.0, 0.2], dtype=torch.float64).to(x0.dtype) / 255)
    assert ((moved - x0) * 255).round().tolist() == [[1.0, 8.0, 8.0, 0.0]]
    assert moved[0, 3] == x0[0, 3]
