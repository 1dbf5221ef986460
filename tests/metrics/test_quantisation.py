"""What rounding leaves of a small step."""

import numpy as np
import pytest
from scipy.stats import norm

from vauban.core.errors import ContractError
from vauban.metrics.quantisation import least_square, survival


@pytest.mark.parametrize(("n", "length"), [(2, 0.01), (3, 0.004), (50, 0.02), (784, 0.06)])
def test_against_steps_drawn_on_the_sphere(n, length):
    rng = np.random.default_rng(0)
    step = rng.normal(size=(200_000 // n, n))
    step *= length / np.linalg.norm(step, axis=1, keepdims=True)
    start = rng.integers(0, 256, size=step.shape)
    changed = np.round(start + 255 * step) != start
    error = 4 * np.sqrt(0.25 / changed.size * n)  # components of one step are not independent
    assert abs(changed.mean() - survival(length, n)) < error
    squares = ((np.round(start + 255 * step) - start) ** 2).sum(1) / 255**2
    assert squares.mean() >= least_square(length, n) * 0.98


def test_closed_forms():
    assert survival([0.0, 0.5 / 255], 100).tolist() == [0, 0]  # no component can reach half a level
    length = 1 / 255
    assert survival(length, 3) == pytest.approx(0.5)  # Archimedes: uniform in three dimensions
    n, rho = 268_203, 0.3
    assert survival(rho, n) == pytest.approx(2 * norm.cdf(-np.sqrt(n) * 0.5 / 255 / rho), rel=0.01)


def test_the_example_of_the_thesis_holds_at_another_length_than_printed():
    n, square = 268_203, 1 / 255**2
    assert least_square(0.22, n) / square == pytest.approx(1, rel=0.3)
    assert least_square(0.1, n) / square < 1e-15


def test_bad_input():
    with pytest.raises(ContractError, match="length >= 0"):
        survival(-1.0, 10)
