"""`pull` is the transpose of the derivative of `image`, images never leave their interval, `start` inverts `image`."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vauban.core.charts import Chart, Interval, Plain
from vauban.core.errors import ContractError
from vauban.core.rng import Stream

IDS = torch.arange(3)
LO = Stream(5, IDS).uniform("lo", (1, 4, 4), dtype=torch.float64) * 0.4
HI = LO + Stream(5, IDS).uniform("hi", (1, 4, 4), dtype=torch.float64) * 0.6
HI[0, 0, 0] = LO[0, 0, 0]  # components that cannot move
CHARTS: dict[str, Chart] = {
    "plain": Plain(),
    "box": Interval(),
    "centre": Interval(LO, HI, start_at="centre"),
    "image": Interval(LO, HI),
    "narrow": Interval(0.1, 0.7),
}


def z(seed: int, scale: float = 1.0) -> Tensor:
    return scale * Stream(seed, IDS).normal("z", (1, 4, 4), dtype=torch.float64)


@pytest.mark.parametrize("name", CHARTS)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.1, 1.0, 4.0]))
def test_pull_against_autograd(name: str, seed: int, scale: float) -> None:
    chart = CHARTS[name]
    leaf = z(seed, scale).requires_grad_(True)
    g = z(seed + 1)
    (want,) = torch.autograd.grad((chart.image(leaf) * g).sum(), leaf)
    found = chart.pull(leaf.detach(), g)
    moving = (HI > LO) if name in ("centre", "image") else torch.ones_like(g, dtype=torch.bool)
    torch.testing.assert_close(found[moving], want[moving], atol=1e-12, rtol=1e-9)
    assert (found[~moving] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CHARTS)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1.0, 10.0, 1e3, 1e30]))
def test_images_never_leave_the_interval(name: str, dtype: torch.dtype, seed: int, scale: float) -> None:
    chart = CHARTS[name]
    if isinstance(chart, Interval) and isinstance(chart.lo, Tensor):
        chart = Interval(LO.to(dtype), HI.to(dtype))
    x = chart.image(z(seed, scale).to(dtype))
    assert x.dtype == dtype
    lo, hi = (torch.as_tensor(getattr(chart, k, d), dtype=dtype) for k, d in (("lo", 0.0), ("hi", 1.0)))
    assert ((x >= lo) & (x <= hi)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["plain", "box", "image"])
@given(seed=st.integers(0, 10**6))
def test_start_inverts_image(name: str, dtype: torch.dtype, seed: int) -> None:
    lo, hi = (LO, HI) if name == "image" else (torch.zeros_like(LO), torch.ones_like(LO))
    x0 = (lo + (hi - lo) * Stream(seed, IDS).uniform("u", (1, 4, 4), dtype=torch.float64)).to(dtype)
    x0[1, 0, 0, 0], x0[1, 0, 0, 1] = lo[1, 0, 0, 0], hi[1, 0, 0, 1]
    chart = Interval(lo.to(dtype), hi.to(dtype)) if name == "image" else CHARTS[name]
    start = chart.start(x0)
    assert start.dtype == dtype
    torch.testing.assert_close(chart.image(start), x0, atol=2e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_saturated_pixel_keeps_a_gradient(dtype: torch.dtype) -> None:
    chart = Interval()
    edge = torch.tensor([[0.0, 1.0]], dtype=dtype)
    start = chart.start(edge)
    assert torch.isfinite(start).all()
    assert (chart.pull(start, torch.ones_like(edge)) > 1e-7).all()
    assert (Plain().pull(edge, torch.ones_like(edge)) == 1).all()


def test_centre_starts_in_the_middle() -> None:
    chart = CHARTS["centre"]
    torch.testing.assert_close(chart.image(chart.start(LO)), (LO + HI) / 2)


def test_an_empty_interval_is_refused() -> None:
    with pytest.raises(ContractError, match="lo <= hi"):
        Interval(0.6, 0.5).start(torch.zeros(1, 2))


def test_plain_start_is_a_copy() -> None:
    x0 = torch.rand(2, 3, generator=torch.Generator().manual_seed(0))
    start = Plain().start(x0)
    assert torch.equal(start, x0)
    assert start.data_ptr() != x0.data_ptr()
