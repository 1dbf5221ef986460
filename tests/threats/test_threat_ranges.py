"""Declared ranges of threats and input transforms: everything outside is refused in one line."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from torch import nn

from vauban import threats
from vauban.core.annotations import declared
from vauban.core.errors import ContractError
from vauban.core.parameters import fits
from vauban.threats import Diverse, Translated

NET = nn.Linear(2, 2)
ABOVE_0, ABOVE_1 = math.nextafter(0, 1), math.nextafter(1, 2)
NO_NUMBERS: tuple[Any, ...] = (math.nan, math.inf, -math.inf, "3", True)
GIVEN: dict[str, dict[str, Any]] = {
    "transfer": {"sources": NET},
    "ensemble": {"models": [NET]},
    "hybrid": {"models": NET, "path": Translated()},
    "substitute": {"model": "digits-cnn", "data": "digits/train[:10]"},
    "distilled": {"model": "digits-cnn", "data": "digits/train[:10]"},
}
RANGES: dict[tuple[str, str], tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    # values inside, at the ends where there are any; values just outside
    ("adaptive", "eot"): ((1, 100, None), (0, 1.0)),
    ("leaked-key", "eot"): ((1, 100, None), (0, 1.0)),
    ("chosen-inputs", "queries"): ((2, 100, None), (0, 1, 2.0)),
    ("chosen-inputs", "step"): ((0, 1, 0.5), (-ABOVE_0, ABOVE_1)),
    ("leaked-activation", "queries"): ((2, 100, None), (0, 1, 2.0)),
    ("leaked-activation", "step"): ((0, 1, 0.5), (-ABOVE_0, ABOVE_1)),
    ("keyed", "keys"): ((1, 5), (0, 1.0)),
    ("keyed", "seed"): ((0, 5), (-1, 1.0)),
    ("keyed", "steps"): ((1, 5), (0, 1.0)),
    ("substitute", "rounds"): ((0, 5), (-1, 1.0)),
    ("substitute", "epochs"): ((1, 5), (0, 1.0)),
    ("substitute", "step"): ((0, 1, 0.5), (-ABOVE_0, ABOVE_1)),
    ("substitute", "lr"): ((0, 0.5), (-ABOVE_0,)),
    ("substitute", "seed"): ((0, 5), (-1, 1.0)),
    ("distilled", "rounds"): ((0, 5), (-1, 1.0)),
    ("distilled", "epochs"): ((1, 5), (0, 1.0)),
    ("distilled", "step"): ((0, 1, 0.5), (-ABOVE_0, ABOVE_1)),
    ("distilled", "lr"): ((0, 0.5), (-ABOVE_0,)),
    ("distilled", "seed"): ((0, 5), (-1, 1.0)),
    ("distilled", "temperature"): ((ABOVE_0, 5), (0, -1)),
    ("white-box", "draws"): ((1, 100), (0, 1.0, None)),
    ("removed", "draws"): ((1, 100), (0, 1.0, None)),
    ("transfer", "weights"): ((1, -0.5, [2.0], None), ([1.0, 1.0], 0)),
    ("ensemble", "weights"): (([1], [-0.5], None), ([1.0, 1.0], [0])),
    ("hybrid", "a"): ((0, -2.5), (None,)),
    ("hybrid", "b"): ((0, -2.5), (None,)),
}


def test_every_number_is_in_the_table() -> None:
    numbers = {
        (entry.name, field.name)
        for entry in threats.registry
        for field in fields(entry.make)
        if field.name not in ("bpda", "sources", "models", "path")
        and any(fits(value, declared(entry.make)[field.name]) for value in (1, 2, (1.0,)))
    }
    assert numbers == set(RANGES)


@pytest.mark.parametrize(("name", "field"), RANGES)
def test_a_number_outside_its_range_is_refused_in_one_line(name: str, field: str) -> None:
    inside, outside = RANGES[name, field]
    for value in inside:
        assert getattr(threats.load(name, **GIVEN.get(name, {}), **{field: value}), field) == value
    wrong = NO_NUMBERS if field != "weights" else (*NO_NUMBERS, *([value] for value in NO_NUMBERS))
    for value in (*outside, *wrong):
        refused(lambda value=value: threats.load(name, **GIVEN.get(name, {}), **{field: value}))


@pytest.mark.parametrize(
    ("make", "field", "inside", "outside"),
    [
        (Diverse, "low", (ABOVE_0, 1.0, 1), (0.0, -ABOVE_0, ABOVE_1)),
        (Diverse, "p", (0.0, 1.0, 0), (-ABOVE_0, ABOVE_1)),
        (Translated, "size", (1, 31), (0, 2, 30, 32, 33, 3.0)),
        (Translated, "sigma", (ABOVE_0, 1e6), (0.0, -ABOVE_0)),
    ],
)
def test_input_transforms(make: Any, field: str, inside: tuple[Any, ...], outside: tuple[Any, ...]) -> None:
    for value in inside:
        assert getattr(make(**{field: value}), field) == value
    for value in (*outside, *NO_NUMBERS, None):
        refused(lambda value=value: make(**{field: value}))


def refused(call: Callable[[], object]) -> None:
    with pytest.raises(ContractError, match="expected") as error:
        call()
    assert "\n" not in str(error.value)
