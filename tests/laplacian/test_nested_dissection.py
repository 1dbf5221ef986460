"""Nested dissection against the dense inverse, on grids whose tiles do and do not fill them, and where it is not alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vauban.core.tensors import take
from vauban.laplacian import nested_dissection as dissection
from vauban.laplacian.elimination import EliminationPlan
from vauban.laplacian.nested_dissection import Dissection
from vauban.laplacian.stencil import Stencil


def couplings(batch: int, groups: int, height: int, width: int, seed: int = 0) -> Stencil:
    """Weights whose rows sum to less than 1, so that the matrix is diagonally dominant; some edges are cut."""
    g = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        v = torch.rand(*shape, generator=g, dtype=torch.float64)
        return v.mul(0.24).where(v > 0.2, torch.zeros_like(v))

    return Stencil(random(batch, groups, height, width - 1), random(batch, groups, height - 1, width))


def dense(stencil: Stencil) -> Tensor:
    """`(batch, groups, pixels, pixels)`, column by column from the product."""
    shape = (*stencil.right.shape[:2], stencil.right.shape[2], stencil.down.shape[3])
    pixels = shape[2] * shape[3]
    columns = [
        stencil.product(one.view(1, 1, *shape[2:]).expand(shape).contiguous()).flatten(2)
        for one in torch.eye(pixels, dtype=torch.float64)
    ]
    return torch.stack(columns, -1)


@pytest.mark.slow
@given(height=st.integers(1, 17), width=st.integers(1, 17), groups=st.sampled_from([1, 3]), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_against_the_dense_solve(height: int, width: int, groups: int, seed: int) -> None:
    stencil = couplings(2, groups, height, width, seed)
    b = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    want = torch.linalg.solve(dense(stencil).expand(2, 3, -1, -1), b.flatten(2)[..., None]).reshape(b.shape)
    torch.testing.assert_close(Dissection.of(stencil).solve(b), want, atol=1e-12, rtol=0)


@pytest.mark.parametrize("shape", [(2, 60), (61, 3), (56, 33), (1, 1), (1, 30), (57, 57)])
def test_the_residual_of_long_and_of_many_levelled_grids(shape: tuple[int, int]) -> None:
    stencil = couplings(1, 1, *shape)
    b = torch.randn(1, 2, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = Dissection.of(stencil).solve(b)
    torch.testing.assert_close(stencil.product(y), b, atol=1e-12, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1), (7, 8), (20, 41), (64, 15)])
def test_every_pixel_is_eliminated_once(shape: tuple[int, int]) -> None:
    plan = EliminationPlan(*shape, torch.device("cpu"))
    own = torch.cat([level.pixels[:, : level.own].flatten() for level in plan.levels])
    inside = plan.frame(torch.ones(shape)).flatten().nonzero().squeeze(1)
    assert len(own.unique()) == len(own)
    assert torch.isin(inside, own).all()


@pytest.mark.parametrize("shape", [(7, 8), (20, 41), (64, 15)])
def test_fronts_of_one_colour_share_no_pixel(shape: tuple[int, int]) -> None:
    for level in EliminationPlan(*shape, torch.device("cpu")).levels:
        assert sum(level.halves) == len(level.pixels)
        for ring in level.rings:
            assert len(ring.unique()) == ring.numel()


def test_images_are_factored_in_parts_and_rows_can_be_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    stencil = couplings(5, 1, 9, 10)
    b = torch.randn(5, 2, 9, 10, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    whole = Dissection.of(stencil)
    monkeypatch.setattr(dissection, "TOGETHER", 200)
    want = whole.solve(b)
    assert torch.equal(Dissection.of(stencil).solve(b), want)
    keep = torch.tensor([True, False, False, True, True])
    torch.testing.assert_close(take(whole, keep).solve(b[keep]), want[keep], atol=1e-14, rtol=0)
    assert Dissection.of(take(stencil, keep & False)).solve(b[:0]).shape == (0, 2, 9, 10)


def test_what_it_stores_grows_little_faster_than_the_image() -> None:
    sizes = []
    for side in (28, 56, 112):
        found = Dissection.of(Stencil(torch.zeros(1, 1, side, side - 1), torch.zeros(1, 1, side - 1, side)))
        sizes.append(sum(front.numel() for front in found.fronts) / side**2)
    assert sizes[2] < 1.5 * sizes[0] < 100
