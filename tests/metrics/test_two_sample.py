"""Two-sample test: the discrepancy by hand, every permutation, its level under H0 and its power for shifted Gaussians."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.metrics import two_sample_power, two_sample_test


def gaussian(n: int, seed: int, shift: float = 0.0, d: int = 3) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return shift + torch.randn(n, d, generator=draw, dtype=torch.float64)


def discrepancy(x: Tensor, y: Tensor, s: float) -> float:
    def mean(a: Tensor, b: Tensor) -> float:
        values = [math.exp(-float((u - v).square().sum()) / (2 * s**2)) for u in a for v in b]
        return sum(values) / len(values)

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (5, 3), (4, 9)])
def test_the_discrepancy_by_hand_and_the_median_bandwidth(n: int, m: int) -> None:
    x, y = gaussian(n, 0), gaussian(m, 1, 0.5)
    pooled = torch.cat([x, y])
    apart = sorted(float((a - b).norm()) for a, b in itertools.combinations(pooled, 2))
    result = two_sample_test(x, y, permutations=10)
    assert result.bandwidth == pytest.approx(apart[(len(apart) - 1) // 2])
    assert result.mmd == pytest.approx(discrepancy(x, y, result.bandwidth))
    assert two_sample_test(x.view(n, 1, 1, 3), y.view(m, 1, 1, 3), permutations=10) == result  # images are flattened


def test_the_p_value_is_the_share_of_all_divisions() -> None:
    x, y = gaussian(4, 0), gaussian(4, 1, 0.8)
    pooled, s = torch.cat([x, y]), 1.3
    own = discrepancy(x, y, s)
    divisions = list(itertools.combinations(range(8), 4))
    larger = 0
    for chosen in divisions:
        rest = [at for at in range(8) if at not in chosen]
        larger += discrepancy(pooled[list(chosen)], pooled[rest], s) >= own - 1e-12
    exact = larger / len(divisions)
    result = two_sample_test(x, y, bandwidth=s, permutations=20_000)
    assert result.p_value == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000) + 1e-4)
    assert 0 < exact < 0.5


def test_equal_sets_have_no_discrepancy_and_a_p_value_of_1() -> None:
    x = gaussian(6, 0)
    result = two_sample_test(x, x.flip(0), permutations=50)
    assert result.mmd == pytest.approx(0, abs=1e-12)
    assert result.p_value == 1.0
    same = torch.zeros(3, 4)
    assert two_sample_test(same, same).bandwidth == 1.0


def test_the_level_is_kept_under_h0() -> None:
    """p <= 0.1 with probability 0.1 (of 1 + 99 equally likely ranks): within four deviations of 300 repetitions."""
    values = [two_sample_test(gaussian(12, 2 * k), gaussian(9, 2 * k + 1), permutations=99).p_value for k in range(300)]
    share = sum(value <= 0.1 for value in values) / 300
    assert abs(share - 0.1) <= 4 * math.sqrt(0.1 * 0.9 / 300)
    assert sum(values) / 300 == pytest.approx(0.505, abs=4 * 0.289 / math.sqrt(300))


def test_the_power_grows_with_the_size_and_the_shift() -> None:
    x, near, far = gaussian(150, 0), gaussian(150, 1, 0.4), gaussian(150, 2, 1.0)
    few, many = two_sample_power(x, near, (5, 60), repetitions=40)
    assert (few.size, many.size, many.repetitions) == (5, 60, 40)
    assert few.power < 0.6 < 0.9 <= many.power
    assert many.low <= many.power <= many.high
    (clear,) = two_sample_power(x, far, (20,), repetitions=40)
    assert clear.power == 1.0
    (level,) = two_sample_power(x, gaussian(150, 3), (20,), repetitions=100, level=0.1)
    assert level.power <= 0.1 + 4 * 0.03


def test_the_numbers_follow_from_the_seed_alone() -> None:
    x, y = gaussian(20, 0), gaussian(20, 1, 0.3)
    state = torch.get_rng_state()
    one, same, other = (two_sample_test(x, y, seed=seed, permutations=200) for seed in (0, 0, 1))
    assert one == same != other
    assert two_sample_power(x, y, (5,), repetitions=10) == two_sample_power(x, y, (5,), repetitions=10)
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_no_pair_of_sets_is_refused_in_one_line() -> None:
    x = gaussian(4, 0)
    refusals = [
        (lambda: two_sample_test(x[:1], x), "at least two images of one shape"),
        (lambda: two_sample_test(x, x[:, :2]), "at least two images of one shape"),
        (lambda: two_sample_test(x, x / 0), "finite images"),
        (lambda: two_sample_test(x, x, bandwidth=0), "bandwidth of two_sample_test"),
        (lambda: two_sample_test(x, x, permutations=0), "permutations of two_sample_test"),
        (lambda: two_sample_power(x, x, (5,)), "sizes of two_sample_power"),
        (lambda: two_sample_power(x, x, (1,)), "sizes of two_sample_power"),
        (lambda: two_sample_power(x, x, (2,), level=0), "level of two_sample_power"),
    ]
    for act, message in refusals:
        with pytest.raises(ContractError, match=message) as error:
            act()
        assert "\n" not in str(error.value)
