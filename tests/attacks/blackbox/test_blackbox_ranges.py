"""Declared ranges of attacks by scores and labels."""

from __future__ import annotations

import math
from typing import Any

import pytest

from vauban.attacks.blackbox.hopskipjump import HopSkipJump
from vauban.attacks.blackbox.square import Square
from vauban.core.errors import ContractError

ABOVE_0, ABOVE_1 = math.nextafter(0, 1), math.nextafter(1, 2)
COUNTS = ((1, 100), (0, 1.0))
CASES: list[tuple[Any, str, tuple[tuple[Any, ...], tuple[Any, ...]]]] = [
    (Square, "steps", COUNTS),
    (Square, "p", ((ABOVE_0, 1, 1.0), (0.0, -ABOVE_0, ABOVE_1))),
    *((HopSkipJump, name, COUNTS) for name in ("steps", "queries", "most", "tries", "lot")),
    (HopSkipJump, "coarse", ((ABOVE_0, 1e6), (0.0, -ABOVE_0))),
]


@pytest.mark.parametrize(("kind", "field", "values"), CASES, ids=lambda v: getattr(v, "__name__", v))
def test_values_outside_are_refused_in_one_line(kind: Any, field: str, values: Any) -> None:
    inside, outside = values
    for value in inside:
        assert getattr(kind(**{field: value}), field) == value
    for wrong in (*outside, math.nan, math.inf, "3", True, None):
        with pytest.raises(ContractError, match=f"expected {field} of {kind.__name__} as") as error:
            kind(**{field: wrong})
        assert "\n" not in str(error.value)


def test_starts_are_images() -> None:
    with pytest.raises(ContractError, match="expected starts of HopSkipJump as Tensor or none, got 'mine'"):
        HopSkipJump(starts="mine")  # type: ignore[arg-type]
