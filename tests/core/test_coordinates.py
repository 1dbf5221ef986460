"""`pull` is the transpose of the derivative of `image`, images never leave their interval, `start` inverts `image`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vauban.core.coordinates import CURVES, IntervalCoordinates
from vauban.core.errors import ContractError, UnknownName
from vauban.core.rng import Stream
from vauban.core.tensors import take

IDS = torch.arange(3)
LO = Stream(5, IDS).uniform("lo", (1, 4, 4), dtype=torch.float64) * 0.4
HI = LO + Stream(5, IDS).uniform("hi", (1, 4, 4), dtype=torch.float64) * 0.6
HI[0, 0, 0] = LO[0, 0, 0]  # components that cannot move
CHARTS: dict[str, IntervalCoordinates] = {
    "box": IntervalCoordinates(),
    "centre": IntervalCoordinates(LO, HI, start_at="centre"),
    "image": IntervalCoordinates(LO, HI),
    "narrow": IntervalCoordinates(0.1, 0.7),
    "half open": IntervalCoordinates(LO, 1.0),
}
DTYPES = [torch.float32, torch.float64]
curves = pytest.mark.parametrize("curve", CURVES)


def z(seed: int, scale: float = 1.0) -> Tensor:
    return scale * Stream(seed, IDS).normal("z", (1, 4, 4), dtype=torch.float64)


def in_dtype(chart: IntervalCoordinates, dtype: torch.dtype) -> IntervalCoordinates:
    lo, hi = (edge.to(dtype) if isinstance(edge, Tensor) else edge for edge in (chart.lo, chart.hi))
    return replace(chart, lo=lo, hi=hi)


@pytest.mark.slow
@curves
@pytest.mark.parametrize("name", CHARTS)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.1, 1.0, 4.0]))
def test_pull_against_autograd(name: str, curve: str, seed: int, scale: float) -> None:
    chart = replace(CHARTS[name], curve=curve)
    leaf = z(seed, scale).requires_grad_(True)
    g = z(seed + 1)
    (want,) = torch.autograd.grad((chart.image(leaf) * g).sum(), leaf)
    found = chart.pull(leaf.detach(), g)
    moving = (HI > LO) if name in ("centre", "image") else torch.ones_like(g, dtype=torch.bool)
    torch.testing.assert_close(found[moving], want[moving], atol=1e-12, rtol=1e-9)
    assert (found[~moving] == 0).all()
    assert torch.equal(chart.pull(leaf.detach(), g, chart.value(leaf.detach())), found)


@pytest.mark.parametrize(
    ("curve", "by_hand"),
    [("tanh", math.tanh), ("sigmoid", lambda r: 2 * (1 / (1 + math.exp(-r)) - 0.5)), ("sin", math.sin)],
)
def test_the_curves_of_the_paper(curve: str, by_hand: object) -> None:
    r = torch.linspace(-1.5, 1.5, 31, dtype=torch.float64)
    u = CURVES[curve].value(r)
    torch.testing.assert_close(u, torch.tensor([by_hand(float(v)) for v in r], dtype=torch.float64))  # type: ignore[operator]
    torch.testing.assert_close(CURVES[curve].inverse(u), r)
    step = 1e-6
    slope = (CURVES[curve].value(r + step) - CURVES[curve].value(r - step)) / (2 * step)
    torch.testing.assert_close(CURVES[curve].slope(r, u), slope, atol=1e-8, rtol=0)


@pytest.mark.slow
@curves
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CHARTS)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1.0, 10.0, 1e3, 1e30, math.inf]))
def test_images_never_leave_the_interval(name: str, dtype: torch.dtype, curve: str, seed: int, scale: float) -> None:
    chart = replace(in_dtype(CHARTS[name], dtype), curve=curve)
    at = z(seed, scale).to(dtype)
    x = chart.image(at)
    assert x.dtype == dtype
    lo, hi = (torch.as_tensor(edge, dtype=dtype) for edge in (chart.lo, chart.hi))
    assert ((x >= lo) & (x <= hi)).all()
    assert torch.isfinite(chart.pull(at, torch.ones_like(at))).all()


@curves
@pytest.mark.parametrize("dtype", DTYPES)
@given(x=st.floats(0, 1), radius=st.sampled_from([0.0, 1e-9, 1 / 255, 8 / 255, 0.3, 2.0]), r=st.floats(allow_nan=False))
def test_no_component_leaves_its_ball_for_any_r(
    curve: str, dtype: torch.dtype, x: float, radius: float, r: float
) -> None:
    x0 = torch.tensor([[x, 1 - x, 0.0, 1.0]], dtype=dtype)
    delta = torch.tensor(radius, dtype=dtype)
    found = IntervalCoordinates.around(x0, delta, curve=curve).image(
        torch.full(x0.shape, r, dtype=torch.float64).to(dtype)
    )
    assert (found >= (x0 - delta).clamp_min(0)).all()
    assert (found <= (x0 + delta).clamp_max(1)).all()
    assert radius > 0 or torch.equal(found, x0)


def test_the_last_clamp_is_needed() -> None:
    """Without it float32 leaves the interval: the property above is not empty."""
    x0 = (torch.arange(256) / 255)[:, None]
    chart = IntervalCoordinates.around(x0, torch.tensor(8 / 255))
    centre, half = (chart.lo + chart.hi) / 2, (chart.hi - chart.lo) / 2
    assert ((centre + half) > chart.hi).any() or ((centre - half) < chart.lo).any()


@pytest.mark.slow
@curves
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["box", "image"])
@given(seed=st.integers(0, 10**6))
def test_start_inverts_image(name: str, dtype: torch.dtype, curve: str, seed: int) -> None:
    lo, hi = (LO, HI) if name == "image" else (torch.zeros_like(LO), torch.ones_like(LO))
    x0 = (lo + (hi - lo) * Stream(seed, IDS).uniform("u", (1, 4, 4), dtype=torch.float64)).to(dtype)
    x0[1, 0, 0, 0], x0[1, 0, 0, 1] = lo[1, 0, 0, 0], hi[1, 0, 0, 1]
    chart = replace(in_dtype(CHARTS[name], dtype), curve=curve)
    start = chart.start(x0)
    assert start.dtype == dtype
    torch.testing.assert_close(chart.image(start), x0, atol=2e-6, rtol=0)


@curves
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_saturated_pixel_keeps_a_gradient(dtype: torch.dtype, curve: str) -> None:
    chart = IntervalCoordinates(curve=curve)
    edge = torch.tensor([[0.0, 1.0]], dtype=dtype)
    start = chart.start(edge)
    assert torch.isfinite(start).all()
    assert (chart.pull(start, torch.ones_like(edge)) > 1e-7).all()


@curves
def test_centre_starts_in_the_middle(curve: str) -> None:
    chart = replace(CHARTS["centre"], curve=curve)
    assert torch.equal(chart.start(LO), torch.zeros_like(LO))
    torch.testing.assert_close(chart.image(chart.start(LO)), (LO + HI) / 2)


def test_bounds_that_are_none() -> None:
    x = torch.zeros(1, 2)
    for chart in (
        IntervalCoordinates(0.6, 0.5),
        IntervalCoordinates(torch.tensor([[0.0, 0.6]]), 0.5),
        IntervalCoordinates(torch.nan, 0.5),
    ):
        with pytest.raises(ContractError, match=r"^expected lo <= hi.*$"):
            chart.start(x)
    for chart in (
        IntervalCoordinates(-0.1, 0.5),
        IntervalCoordinates(0.0, torch.tensor([[1.0, 1.5]]), start_at="centre"),
    ):
        with pytest.raises(ContractError, match=r"^expected an interval inside \[0, 1\].*$"):
            chart.start(x)
    with pytest.raises(UnknownName, match="unknown curve 'tahn'; did you mean 'tanh'"):
        IntervalCoordinates(curve="tahn")


def test_an_interval_follows_the_rows_of_a_state() -> None:
    @dataclass(frozen=True)
    class State:
        z: Tensor
        chart: IntervalCoordinates

    for name in ("centre", "box"):
        whole = State(z(1), replace(CHARTS[name], curve="sin"))
        image = whole.chart.image(whole.z)  # fills what the interval computes once
        part = take(whole, torch.tensor([2, 0]))
        assert part.chart.curve == "sin"
        assert torch.equal(part.chart.image(part.z), image[[2, 0]])
