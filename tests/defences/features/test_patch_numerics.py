"""Numerics of patch replacement against brute force: E8, nearest codewords, windows, strategies, k-means."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.defences.features import nearest as search
from vauban.defences.features.k_means import k_means
from vauban.defences.features.lattice import nearest_in_e8
from vauban.defences.features.nearest import nearest, several_nearest
from vauban.defences.features.strategies import moved
from vauban.defences.features.windows import Windows


def e8_around(x: Tensor) -> Tensor:
    """Every point of E8 with components within 1 of the vector's, by listing them."""
    points = []
    for shift in (0.0, 0.5):
        sides = [sorted({float(v) for v in (torch.floor(c - shift), torch.ceil(c - shift))}) for c in x]
        points += [[v + shift for v in p] for p in itertools.product(*sides) if sum(p) % 2 == 0]
        for i in range(8):  # one component the other way, where the nearest whole vector is odd
            nearest_whole = [float(torch.round(c - shift)) for c in x]
            for step in (-1, 1):
                p = [*nearest_whole]
                p[i] += step
                if sum(p) % 2 == 0:
                    points.append([v + shift for v in p])
    return torch.tensor(points, dtype=torch.float64)


@given(st.lists(st.floats(-3, 3, allow_nan=False), min_size=8, max_size=8))
@settings(max_examples=60, deadline=None)
def test_e8_is_as_near_as_any_listed_point(values: list[float]) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    point = nearest_in_e8(x)
    assert bool((point * 2 == (point * 2).round()).all())
    halves = (point % 1).unique()
    assert len(halves) == 1
    assert float((point - halves).sum()) % 2 == 0 or float(point.sum()) % 2 == 0
    best = (e8_around(x) - x).square().sum(1).min()
    assert float((point - x).square().sum()) <= float(best) + 1e-12
    assert float((point - x).square().sum()) <= 1 + 1e-12  # the covering radius of E8 is 1


def test_e8_keeps_its_points_and_is_one_by_one() -> None:
    torch.manual_seed(0)
    roots = [[1, 1] + [0] * 6, [0.5] * 8, [2] + [0] * 7, [-0.5] * 2 + [0.5] * 6, [0] * 8]
    points = torch.tensor(roots, dtype=torch.float32)
    assert torch.equal(nearest_in_e8(points), points)
    x = torch.randn(5, 7, 8)
    assert torch.equal(nearest_in_e8(x)[3, 4], nearest_in_e8(x[3, 4]))
    with pytest.raises(ContractError, match="8 components"):
        nearest_in_e8(torch.zeros(3, 7))


@pytest.fixture(params=["faiss", "torch"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "torch":
        monkeypatch.setattr(search, "faiss", lambda: None)
    elif search.faiss() is None:
        pytest.skip("faiss is not installed")
    return str(request.param)


@given(seed=st.integers(0, 10**6), n=st.integers(1, 70), k=st.integers(1, 40), width=st.integers(1, 40))
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("library", ["faiss", "torch"])
def test_nearest_is_brute_force_with_ties_to_the_first(library: str, seed: int, n: int, k: int, width: int) -> None:
    """Small whole numbers, so that distances are exact and many are equal."""
    generator = torch.Generator().manual_seed(seed)
    p = torch.randint(-2, 3, (n, width), generator=generator).float()
    q = torch.randint(-2, 3, (k, width), generator=generator).float()
    q = torch.cat([q, -q])  # a mean of zero: nothing is rounded
    want = (p[:, None] - q).square().sum(2).argmin(1)
    with pytest.MonkeyPatch.context() as patch:
        if library == "torch":
            patch.setattr(search, "faiss", lambda: None)
        patch.setattr(search, "BLOCK", 7)
        assert torch.equal(nearest(p, q), want)
    assert torch.equal(nearest(p.double(), q.double()), want)


def test_nearest_of_reals_is_nearest(engine: str) -> None:
    torch.manual_seed(1)
    p, q = torch.rand(3000, 9), torch.rand(500, 9)
    far = torch.cdist(p.double(), q.double())
    index = nearest(p, q)
    assert bool((far.gather(1, index[:, None])[:, 0] - far.amin(1) <= 1e-6).all())
    assert float((index == far.argmin(1)).double().mean()) > 0.999


def test_never_all_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    largest: list[int] = []
    product = torch.addmm

    def counted(*args: Any, **options: Any) -> Tensor:
        distances = product(*args, **options)
        largest.append(distances.numel())
        return distances

    monkeypatch.setattr(search, "faiss", lambda: None)
    monkeypatch.setattr(torch, "addmm", counted)
    nearest(torch.rand(20_000, 4), torch.rand(512, 4))
    assert max(largest) <= search.BLOCK
    assert sum(largest) == 20_000 * 512


def test_several_nearest_are_those() -> None:
    torch.manual_seed(2)
    p, q = torch.rand(40, 5).double(), torch.rand(30, 5).double()
    want = torch.cdist(p, q).topk(6, 1, largest=False).indices
    assert torch.equal(several_nearest(p, q, 6).sort(1).values, want.sort(1).values)


@pytest.mark.parametrize(("height", "width"), [(5, 5), (7, 9), (8, 6), (3, 3)])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_patches_and_their_mean_against_loops(height: int, width: int, step: int) -> None:
    torch.manual_seed(3)
    x = torch.rand(2, 4, height, width, dtype=torch.float64)
    windows = Windows(3, 3, 2, (step, step))
    tops = sorted({*range(0, height - 2, step), height - 3})
    lefts = sorted({*range(0, width - 2, step), width - 3})
    want = [
        [x[b, k * 2 : k * 2 + 2, i : i + 3, j : j + 3].flatten() for b in range(2) for i in tops for j in lefts]
        for k in range(2)
    ]
    patches = windows.patches(x)
    assert torch.equal(patches, torch.stack([torch.stack(one) for one in want]))
    changed = torch.rand_like(patches)
    total, count = torch.zeros_like(x), torch.zeros_like(x)
    for k in range(2):
        places = [(b, i, j) for b in range(2) for i in tops for j in lefts]
        for n, (b, i, j) in enumerate(places):
            total[b, k * 2 : k * 2 + 2, i : i + 3, j : j + 3] += changed[k, n].view(2, 3, 3)
            count[b, k * 2 : k * 2 + 2, i : i + 3, j : j + 3] += 1
    assert bool((count > 0).all()), "a border was left out"
    torch.testing.assert_close(windows.averaged(changed, x.shape), total / count, atol=1e-12, rtol=0)
    torch.testing.assert_close(windows.averaged(patches, x.shape), x, atol=1e-12, rtol=0)


def test_strategies_at_their_limits_and_between() -> None:
    torch.manual_seed(4)
    p, q = torch.rand(200, 9).double(), torch.rand(200, 9).double()
    far = (q - p).norm(dim=1)
    for strategy in ("l2", "linf", "linear"):
        assert torch.equal(moved(p, q, strategy, 0.0), p)
        assert torch.equal(moved(p, q, strategy, 1.0 if strategy == "linear" else 9.0), q)
    assert torch.equal(moved(p, q, "plain", 0.0), q)
    eps = float(far.median())
    out = moved(p, q, "l2", eps)
    torch.testing.assert_close((out - p).norm(dim=1), far.clamp_max(eps))
    torch.testing.assert_close((out - q).norm(dim=1), (far - eps).clamp_min(0), atol=1e-12, rtol=0)
    torch.testing.assert_close(moved(p, q, "linf", 0.2), torch.minimum(torch.maximum(q, p - 0.2), p + 0.2))
    torch.testing.assert_close(moved(p, q, "linear", 0.3), 0.7 * p + 0.3 * q)


@pytest.mark.parametrize(("strategy", "epsilon"), [("l2", 0.8), ("linf", 0.2), ("linear", 0.4)])
def test_derivatives_are_those_of_the_strategy_for_fixed_codewords(strategy: str, epsilon: float) -> None:
    torch.manual_seed(5)
    p = torch.rand(12, 5).double().requires_grad_(True)
    q = torch.rand(12, 5).double()
    assert torch.autograd.gradcheck(lambda z: moved(z, q, strategy, epsilon), p)  # type: ignore[arg-type, no-untyped-call]


def test_k_means_finds_clusters_that_are_there() -> None:
    torch.manual_seed(6)
    centres = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    points = (centres[:, None] + 0.1 * torch.randn(3, 40, 2)).flatten(0, 1)[torch.randperm(120)]
    codewords, distance = k_means(points, 3, 20)
    assert float(torch.cdist(codewords, centres).amin(0).max()) < 0.1
    assert distance == pytest.approx(
        float(torch.cdist(points.double(), codewords.double()).amin(1).square().mean()), rel=1e-5
    )
    every, none = k_means(points, 120, 5)
    assert none == 0
    assert torch.equal(every, points)
    with pytest.raises(ContractError, match="at most 2 codewords"):
        k_means(torch.tensor([[1.0], [2.0], [1.0]]), 3, 5)
