"""What the stages of a battery say of one another: counts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vauban.evaluate.diagnostics.indicators_stages import staged

BATTERY = ("random-noise", "apgd", "apgd-t", "fmn", "square", "rays")


def codes(stages: tuple[str, ...], *broke: int, standing: int = 0) -> dict[str, int]:
    """Codes that fire, with their counts, where stage k broke `broke[k]` images."""
    by = np.repeat([*range(len(broke)), -1], [*broke, standing]).astype(float)
    by[by < 0] = np.nan
    columns = {"id": np.arange(len(by)), "clean_correct": np.ones(len(by)), "broken_by": by}
    return {measured.rule.code: measured.count for measured in staged(stages, columns) if measured.fires}


@pytest.mark.parametrize(
    ("broke", "standing", "expected"),
    [
        ((2, 60, 8, 1, 1, 0), 28, {}),
        ((0, 60, 8, 1, 2, 1), 28, {"black-box-beats-white-box": 3}),
        ((0, 10, 25, 0, 0, 0), 65, {"targeted-beats-untargeted": 25}),
        ((30, 5, 0, 0, 0, 0), 65, {"noise-beats-gradients": 30}),
        ((30, 40, 0, 0, 0, 0), 30, {}),
        ((100, 0, 0, 0, 0, 0), 0, {}),
        ((0, 0, 0, 0, 0, 50), 50, {"black-box-beats-white-box": 50}),
    ],
)
def test_counts_by_hand(broke: tuple[int, ...], standing: int, expected: dict[str, int]) -> None:
    assert codes(BATTERY, *broke, standing=standing) == expected


def test_the_original_battery_and_others() -> None:
    assert codes(("apgd", "apgd-t", "fab-t", "square"), 10, 30, 0, 9, standing=51) == {
        "targeted-beats-untargeted": 30,
        "black-box-beats-white-box": 9,
    }
    assert codes(("square", "pgd"), 50, 0, standing=50) == {}  # it ran first
    assert codes((), 50) == {}
    assert codes(("of my own", "square"), 0, 50, standing=50) == {}
