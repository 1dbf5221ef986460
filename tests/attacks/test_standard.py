"""The standard battery: who runs on whom, and what it counts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from vauban.attacks.standard import Standard
from vauban.core.errors import ContractError
from vauban.core.norms import Linf
from vauban.engine import BoundThreat, Oracle


class Rounded(nn.Module):
    """A linear classifier of two classes behind rounding to 0 or 1 of the pixels with `blind` set: no gradient there."""

    def __init__(self, blind: bool) -> None:
        super().__init__()
        self.blind = blind

    def forward(self, x: Tensor) -> Tensor:
        seen = (x * 1.0).round() if self.blind else x
        score = seen.flatten(1).mean(1) - 0.5
        return torch.stack([score, -score, score - 1], 1)


def images(n: int) -> tuple[Tensor, Tensor]:
    return torch.full((n, 1, 6, 6), 0.8), torch.zeros(n, dtype=torch.int64)


def test_a_sample_without_a_gradient_gets_the_queries_instead() -> None:
    x, y = images(2)
    battery = Standard(Linf(0.1), steps=3, n_target=2, queries=5, blind_queries=40)
    blind = battery.run(Oracle.open(BoundThreat(Rounded(blind=True), levels=None), x, y))
    seeing = battery.run(Oracle.open(BoundThreat(Rounded(blind=False), levels=None), x, y))
    assert not blind.success.any()
    assert not seeing.success.any()
    assert blind.backwards.tolist() == [2 + 3] * 2  # the two of the look, and APGD
    assert blind.forwards.tolist() == [2 + (2 + 1) + (3 + 1) + 2 * (40 + 1)] * 2  # each attack closes with a check
    assert seeing.backwards.tolist() == [2 + 3 * (2 + 2)] * 2
    assert seeing.forwards.tolist() == [2 + (2 + 1) + (3 + 1) + (1 + 2 * (3 + 1)) + (3 + 1) + (5 + 1)] * 2


def test_the_promised_passes_are_those_of_a_sample_that_stands() -> None:
    x, y = images(1)
    battery = Standard(Linf(0.1), steps=3, n_target=2, queries=5)
    result = battery.run(Oracle.open(BoundThreat(Rounded(blind=False), levels=None), x, y))
    assert battery.passes == (int(result.forwards), int(result.backwards))


def test_a_gradient_that_vanishes_does_not_save_a_weak_network() -> None:
    x, y = images(3)
    battery = Standard(Linf(0.35), steps=5, n_target=2, queries=5, blind_queries=200)
    result = battery.run(Oracle.open(BoundThreat(Rounded(blind=True), levels=None, limit=Linf(0.35)), x, y))
    assert result.success.all()
    assert bool(((result.adversarial - x).abs() <= 0.35 + 1e-6).all())
    # 36 pixels of random noise stay on their side of one half, APGD stands still: it was Square, the fifth of the battery
    # though these samples get four attacks.
    assert result.broken_by.tolist() == [4] * 3
    assert type(battery.stages_on((1, 6, 6))[4]).__name__ == "Square"


def test_a_budget_too_small_for_the_look_still_runs_the_noise() -> None:
    x, y = images(1)
    result = Standard(Linf(0.1)).run(Oracle.open(BoundThreat(Rounded(blind=False), levels=None, budget=1), x, y))
    assert int(result.forwards) == 1
    assert not result.success.any()


def test_the_battery_is_called_by_its_own_name() -> None:
    from vauban import Linf, attacks

    assert attacks.standard(Linf(0.1)) == Standard(Linf(0.1))


@pytest.mark.parametrize("field", ["steps", "n_target", "queries", "blind_queries"])
def test_a_count_is_a_whole_number_of_at_least_1(field: str) -> None:
    assert getattr(Standard(**{field: 1}), field) == 1
    for wrong in (0, 1.0, math.nan, math.inf, "3", True, None):
        with pytest.raises(
            ContractError, match=f"expected {field} of Standard as a whole number of at least 1, got"
        ) as e:
            Standard(**{field: wrong})
        assert "\n" not in str(e.value)
