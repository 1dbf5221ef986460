"""Sapper on the pixel grid: the search for the least step, and the integer problem by brute force."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vauban.attacks.minimal.sapper import Sapper
from vauban.attacks.parts.sapper_schedule import least
from vauban.core.norms import Linf
from vauban.engine import BoundThreat, Oracle

LEVEL = 1 / 255
ROWS = 8


def staircase(seed: int, width: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Per row, ordered places where a step function rises, and its values between them: within 2 `width` of a - a*."""
    g = torch.Generator().manual_seed(seed)
    zero = 4 * torch.rand(ROWS, 1, generator=g, dtype=torch.float64) - 2
    places = (torch.rand(ROWS, 600, generator=g, dtype=torch.float64) * 40 - 20) * 1.0
    places = torch.cat([places, torch.arange(-20, 20, width, dtype=torch.float64).expand(ROWS, -1)], 1).sort(1).values
    rises = places - zero
    values = torch.cat([rises[:, :1] - width, rises], 1)
    return places, values


def read(places: torch.Tensor, values: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    return values.gather(1, torch.searchsorted(places, a[:, None], right=True))[:, 0]


@given(st.integers(0, 10**6), st.integers(0, 8), st.floats(0.01, 1.0), st.floats(0, 1.0))
@settings(max_examples=60)
def test_the_least_of_the_tries_that_reach_zero(seed, tries, width, grain):
    """Every try is recorded: where one reached zero, the smallest of those is returned; else something not yet tried."""
    places, values = staircase(seed, width)
    g = torch.Generator().manual_seed(seed + 1)
    start = 6 * torch.rand(ROWS, generator=g, dtype=torch.float64) - 3
    tried: list[tuple[torch.Tensor, torch.Tensor]] = []

    def f(a: torch.Tensor) -> torch.Tensor:
        tried.append((a, read(places, values, a)))
        return tried[-1][1]

    found = least(f, start, tries, torch.full((ROWS,), grain, dtype=torch.float64))
    assert len(tried) == tries
    for row in range(ROWS):
        good = [float(a[row]) for a, value in tried if value[row] >= 0]
        if good:
            assert float(found[row]) == min(good)
        else:
            assert all(float(found[row]) > float(a[row]) for a, _ in tried)


@given(st.floats(0.01, 1.0), st.floats(0.01, 0.99), st.floats(0, 0.99))
def test_the_first_try_is_no_shorter_than_a_grain(width, off, where):
    """On stairs of `width`, `off` of one short of zero, a start on the lowest stair would change nothing."""
    start = torch.tensor([width * (1 - off) * where])

    def f(a: torch.Tensor) -> torch.Tensor:
        return torch.where(a >= width, width, 0.0) - off * width

    assert f(start) < 0
    assert least(f, start, 1, torch.full((1,), width)) == torch.tensor(width)
    assert least(f, start, 0, torch.full((1,), width)) == start


@pytest.mark.parametrize("value", [-1e-9, 0.0, 1e-9])
def test_a_value_below_the_float_spacing_does_not_end_the_search_far_away(value):
    tried = []

    def f(a: torch.Tensor) -> torch.Tensor:
        tried.append(a)
        return (a - 1.5) + value

    found = least(f, torch.full((1,), 1.5), 6, torch.zeros(1))
    assert torch.stack([*tried, found]).sub(1.5).abs().max() < 1e-5


def test_a_search_that_never_reaches_zero_ends_beyond_its_last_try():
    found = least(lambda a: torch.full_like(a, -1.0), torch.zeros(2), 4, torch.full((2,), 0.5))
    assert torch.equal(found, torch.full((2,), 1 + 2 + 4 + 8 + 0.5))


def plane(seed: int, n: int, need: float) -> tuple[nn.Sequential, torch.Tensor, torch.Tensor]:
    """Two classes, an image on the grid whose distance to the boundary is `need` levels in L2, and the weights."""
    g = torch.Generator().manual_seed(seed)
    w = torch.randn(n, generator=g, dtype=torch.float64)
    x = torch.randint(100, 150, (n,), generator=g) / torch.tensor(255.0, dtype=torch.float64)
    net = nn.Sequential(nn.Flatten(), nn.Linear(n, 2, dtype=torch.float64)).requires_grad_(False)
    net[1].weight.copy_(torch.stack([torch.zeros(n), w]))
    net[1].bias.copy_(torch.stack([torch.zeros(()), -(x @ w) - need * LEVEL * w.norm()]))
    return net, x.view(1, 1, 1, n), w


def changed(attack: Sapper, net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The levels by which each component of the found image differs."""
    result = attack.run(Oracle.open(BoundThreat(net), x, torch.zeros(1, dtype=torch.int64)))
    assert result.success.all()
    k = (result.adversarial - x).flatten() / LEVEL
    torch.testing.assert_close(k, k.round(), rtol=0, atol=1e-6)
    return k.round()


def least_rounded(w: torch.Tensor, c: float) -> torch.Tensor:
    """round(t |w|) for the least t with sum k |w| >= c, by adding one level at a time."""
    k = torch.zeros_like(w)
    while float(k @ w.abs()) < c:
        k[((k + 0.5) / w.abs()).argmin()] += 1
    return k


@pytest.mark.slow
@pytest.mark.parametrize("need", [0.05, 0.3, 0.8, 1.5, 2.5])
@pytest.mark.parametrize("seed", range(6))
def test_the_integer_problem_by_brute_force(seed, need):
    """min sum k^2 with sum k |w| >= c over all k in {0..7}^5. With t the least such that k = round(t |w|) suffices, one
    component has just gone from k - 1 to k, and 2 t is a multiplier at which k and the k before are both minimal: so the
    optimum is more than the cost before, that is at least the cost less 2 (k - 1)."""
    net, x, w = plane(seed, 5, need)
    c = need * float(w.norm())
    every = torch.tensor(list(itertools.product(range(8), repeat=5)), dtype=torch.float64)
    optimum = float(every.square().sum(1)[every @ w.abs() >= c].min())
    expected = least_rounded(w, c)
    k = changed(Sapper(20), net, x)
    assert torch.equal(k, expected * w.sign())
    last = float(k.abs()[((k.abs() - 0.5) / w.abs()).argmax()])
    assert optimum <= float(k.square().sum()) <= optimum + 2 * (last - 1)


@pytest.mark.slow
@pytest.mark.parametrize("need", [0.02, 0.2, 0.8, 3.0])
@pytest.mark.parametrize("n", [64, 400])
@pytest.mark.parametrize(("tries", "most"), [(6, 1.45), (16, 1.02)])
def test_a_step_of_less_than_half_a_level_is_not_lost(tries, most, n, need):
    """Below one level the nearest point changes no component by half a level, so rounding it gives the original back. The
    image found is round(t |w|) for some t: the optimum but for the tries by which t is found."""
    net, x, w = plane(n, n, need)
    if need < 1:
        nearest = x.flatten() + need * LEVEL * w / w.norm()
        assert torch.equal((nearest * 255).round() / 255, x.flatten())
    expected = least_rounded(w, need * float(w.norm()))
    k = changed(Sapper(20, tries=tries), net, x)
    assert (k * w >= 0).all()
    low, high = ((k.abs() - 0.5) / w.abs()).amax(), ((k.abs() + 0.5) / w.abs()).amin()
    assert low <= high  # every t in between rounds to k
    assert float(expected.norm()) <= float(k.norm()) <= most * float(expected.norm())


@pytest.mark.parametrize("need", [0.05, 0.8, 3.0])
def test_linf_changes_all_by_as_few_levels_as_suffice(need):
    net, x, w = plane(1, 64, need)
    fewest = int(need * float(w.norm()) / float(w.abs().sum())) + 1
    assert changed(Sapper(20, Linf), net, x).abs().max() == fewest


def test_without_measuring_after_rounding_a_small_step_is_lost():
    """What the search is for: with tries=0 the first steps aim at the unrounded boundary and change nothing."""
    net, x, _ = plane(3, 400, 0.02)
    threat = BoundThreat(net)
    y = torch.zeros(1, dtype=torch.int64)
    assert Sapper(4).run(Oracle.open(threat, x, y)).success.all()
    assert not Sapper(4, tries=0).run(Oracle.open(threat, x, y)).success.any()
