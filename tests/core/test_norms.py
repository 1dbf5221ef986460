"""Projections, dual norms and steepest directions against brute force, scipy and their definitions."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from vauban.core.errors import ContractError, UnknownName, VaubanError
from vauban.core.norms import L0, L1, L2, NORMS, Ball, Linf, Norm, norm_by_name
from vauban.core.rng import Stream

SHAPES = [(1, 7), (3, 2, 4), (8, 1, 3, 2), (3, 5), (8, 2, 2, 3)]
ALL = [L0, L1, L2, Linf]


def noise(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return Stream(seed, torch.arange(shape[0])).normal("noise", shape[1:], dtype=dtype)


def radii(n: int, seed: int, norm: Norm) -> Tensor:
    r = (
        Stream(seed, torch.arange(n)).uniform("r", (), dtype=torch.float64)
        * {"l0": 6, "l1": 4, "l2": 2, "linf": 1}[str(norm)]
    )
    r[0] = 0 if seed % 3 == 0 else r[0]
    return r


def simplex_threshold(v: np.ndarray, r: float) -> np.ndarray:
    """The L1 projection by bisection on the soft threshold, nothing shared with the sorting algorithm."""
    if np.abs(v).sum() <= r:
        return v
    low, high = 0.0, np.abs(v).max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(np.abs(v) - middle, 0).sum() > r else (low, middle)
    return np.sign(v) * np.maximum(np.abs(v) - high, 0)


def reference(norm: Norm, v: np.ndarray, r: float) -> np.ndarray:
    if norm is Linf:
        return np.clip(v, -r, r)
    if norm is L2:
        size = np.sqrt((v**2).sum())
        return v if size <= r else v * (r / size)
    if norm is L1:
        return simplex_threshold(v, r)
    kept = [set(keep) for k in range(int(r) + 1) for keep in itertools.combinations(range(v.size), min(k, v.size))]
    candidates = [np.where([i in keep for i in range(v.size)], v, 0) for keep in kept]
    best = min(candidates, key=lambda q: float(((q - v) ** 2).sum()))
    return np.asarray(best)


@pytest.mark.parametrize("norm", ALL, ids=str)
@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 10**6))
def test_projection_is_the_nearest_point(norm: Norm, shape: tuple[int, ...], seed: int) -> None:
    d, r = noise(shape, seed), radii(shape[0], seed, norm)
    if norm is L0:
        d, r = d.flatten(1)[:, :7], r.clamp_max(4)
    found = norm.project(d, r)
    assert found.shape == d.shape
    for i in range(len(d)):
        want = reference(norm, d[i].flatten().numpy(), float(r[i]))
        np.testing.assert_allclose(found[i].flatten().numpy(), want, atol=1e-9)


@pytest.mark.parametrize("norm", ALL, ids=str)
@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 10**6), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_projection_properties(norm: Norm, shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> None:
    d, r = noise(shape, seed, dtype), radii(shape[0], seed, norm).to(dtype)
    q = norm.project(d, r)
    assert (norm.size(q) <= r * (1 + 1e-6) + 1e-7).all()
    torch.testing.assert_close(norm.project(q, r), q, atol=1e-6, rtol=1e-6)
    small = norm.project(d, r * 0.9) if norm is not L0 else q
    assert torch.equal(norm.project(small, r), small)  # inside stays put, to the bit
    singles = torch.cat([norm.project(d[i : i + 1], r[i : i + 1]) for i in range(len(d))])
    torch.testing.assert_close(singles, q, atol=1e-6, rtol=1e-6)
    assert (norm.project(d, torch.zeros_like(r)) == 0).all()


@given(seed=st.integers(0, 10**6))
def test_l1_projection_against_scipy(seed: int) -> None:
    v = noise((1, 4), seed)
    r = 0.5
    w0 = np.full(8, r / 16)
    signed = minimize(
        lambda w: 0.5 * ((w[:4] - w[4:] - v[0].numpy()) ** 2).sum(),
        w0,
        bounds=[(0, None)] * 8,
        method="SLSQP",
        constraints={"type": "ineq", "fun": lambda w: r - w.sum()},
        options={"ftol": 1e-14, "maxiter": 300},
    )
    found = L1.project(v, torch.tensor([r], dtype=torch.float64))[0].numpy()
    np.testing.assert_allclose(found, signed.x[:4] - signed.x[4:], atol=1e-4)


@pytest.mark.parametrize("norm", [L1, L2], ids=str)
def test_float32_projection_of_an_imagenet_image_stays_in_the_ball(norm: Norm) -> None:
    d = Stream(0, torch.arange(2)).uniform("d", (3, 224, 224)) * 0.1
    r = torch.full((2,), 12.0)
    assert Ball(norm, r).contains(norm.project(d, r), torch.zeros_like(d)).all()


@pytest.mark.parametrize("radius", ["scalar", "sample", "component", "channel"])
def test_linf_radius_of_every_shape(radius: str) -> None:
    x0 = Stream(1, torch.arange(3)).uniform("x", (2, 4, 4), dtype=torch.float64)
    x = x0 + noise(x0.shape, 2)
    r = {
        "scalar": torch.tensor(0.1),
        "sample": torch.tensor([0.0, 0.1, 5.0]),
        "component": Stream(3, torch.arange(3)).uniform("r", (2, 4, 4)),
        "channel": torch.tensor([0.0, 0.3])[:, None, None],
    }[radius]
    ball = Linf(r).bind(x0)
    q = ball.project(x, x0)
    full = (r[:, None, None, None] if radius == "sample" else r).expand_as(x0).double()
    assert torch.equal(q, torch.clamp(x, x0 - full, x0 + full))
    assert ball.contains(q, x0).all()
    keep = torch.tensor([2, 0])
    assert torch.equal(ball.rows(keep).project(x[keep], x0[keep]), q[keep])
    outside = x0.clone()
    outside[1, 1, 0, 0] += full[1, 1, 0, 0] + 1e-4
    assert ball.contains(outside, x0).tolist() == [True, False, True]


@pytest.mark.parametrize("norm", ALL, ids=str)
def test_ball_around_an_image(norm: Norm) -> None:
    x0 = Stream(1, torch.arange(3)).uniform("x", (1, 4, 4))
    ball = norm(torch.tensor([0.0, 1.0, 2.0])).bind(x0)
    q = ball.project(x0 + noise(x0.shape, 5, torch.float32), x0)
    assert ball.contains(q, x0).all()
    assert torch.equal(q[0], x0[0])


@pytest.mark.parametrize("norm", [L1, L2, Linf], ids=str)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1e-35, 1e-12, 1.0, 1e12, 1e30]))
def test_steepest_is_of_unit_norm_whatever_the_scale(norm: Norm, seed: int, scale: float) -> None:
    g = noise((3, 2, 4), seed, torch.float32) * scale
    g[1, :, 1:] = 0
    s = norm.steepest(g)
    torch.testing.assert_close(norm.size(s), torch.ones(3))
    assert (norm.steepest(torch.zeros_like(g)) == 0).all()


@pytest.mark.parametrize("norm", [L2, Linf], ids=str)
@given(seed=st.integers(0, 10**6))
def test_steepest_attains_the_dual_norm_and_no_direction_beats_it(norm: Norm, seed: int) -> None:
    g = noise((3, 2, 4), seed)
    attained = (g * norm.steepest(g)).flatten(1).sum(1)
    torch.testing.assert_close(attained, norm.dual(g))
    other = norm.project(noise((3, 2, 4), seed + 1) * 5, torch.ones(3, dtype=torch.float64))
    assert ((g * other).flatten(1).sum(1) <= norm.dual(g) + 1e-12).all()


@given(seed=st.integers(0, 10**6))
def test_l1_steepest_spreads_over_the_largest_percent(seed: int) -> None:
    g = noise((2, 300), seed)
    s = L1.steepest(g)
    top = g.abs().topk(3, dim=1).indices
    assert torch.equal(s.gather(1, top), g.gather(1, top).sign() / 3)
    assert ((s != 0).sum(1) == 3).all()
    assert torch.equal(L1.dual(g), g.abs().amax(1))


@pytest.mark.parametrize("norm", [L1, L2, Linf], ids=str)
@given(seed=st.integers(0, 10**6))
def test_dual_of_the_dual(norm: Norm, seed: int) -> None:
    dual = {L1: Linf, L2: L2, Linf: L1}[norm]
    g = noise((3, 5), seed)
    torch.testing.assert_close(norm.dual(g), dual.size(g))


def test_sizes_in_closed_form() -> None:
    d = torch.tensor([[3.0, -4.0, 0.0], [0.0, 0.0, 0.0]])
    assert [norm.size(d).tolist() for norm in ALL] == [[2, 0], [7, 0], [5, 0], [4, 0]]


def test_l0_radius_that_is_not_whole_counts_whole_components() -> None:
    d = torch.tensor([[4.0, 3.0, 2.0, 1.0]])
    assert L0.project(d, torch.tensor([2.7])).tolist() == [[4, 3, 0, 0]]


@pytest.mark.parametrize("norm", ALL, ids=str)
def test_a_copied_or_pickled_norm_is_the_same_object(norm: Norm) -> None:
    assert copy.deepcopy(norm) is norm
    assert pickle.loads(pickle.dumps(norm(0.5))).norm is norm


@pytest.mark.parametrize("norm", [L0], ids=str)
def test_l0_has_no_direction(norm: Norm) -> None:
    for call in (norm.steepest, norm.dual):
        with pytest.raises(VaubanError, match="l0"):
            call(torch.ones(1, 2))


def test_bad_radii_and_names() -> None:
    for bad in (-0.1, float("nan"), torch.tensor([0.1, -1.0])):
        with pytest.raises(ContractError, match=r"radi.* of at least 0"):
            Linf(bad)
    with pytest.raises(ContractError, match="linf norm"):
        L2(torch.ones(1, 2, 2))
    with pytest.raises(ContractError, match="one radius for each of 2"):
        L2(torch.ones(3)).bind(torch.zeros(2, 4))
    with pytest.raises(ContractError, match="broadcasts"):
        Linf(torch.ones(3, 1, 1)).bind(torch.zeros(2, 1, 4, 4))
    with pytest.raises(UnknownName, match="linf"):
        norm_by_name("lin")
    assert norm_by_name("LINF") is NORMS["linf"] is Linf


def test_covers_compares_samples_with_components() -> None:
    x0 = torch.zeros(3, 2, 4, 4)
    per_component = Linf(torch.tensor([0.2, 0.3])[:, None, None]).bind(x0)
    per_sample = Linf(torch.tensor([0.1, 0.2, 0.2])).bind(x0)
    assert per_component.covers(per_sample)
    assert not per_sample.covers(per_component)
    assert not Linf(torch.tensor([0.1, 0.2, 0.15])).bind(x0).covers(per_sample)
    assert not L2(9.0).bind(x0).covers(per_sample)


def test_equality_and_text() -> None:
    assert Linf(8 / 255) == Linf(8 / 255) != Linf(4 / 255)
    assert Linf(0.5) != L2(0.5)
    assert str(L2(0.5)) == "l2:0.5"
    assert len({Linf(0.1), Linf(0.1), L2(0.1)}) == 2
