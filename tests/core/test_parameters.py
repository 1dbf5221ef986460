"""Declared parameters: which values a field takes, against cases by hand and a membership written out again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Protocol

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.parameters import (
    Count,
    NonNegative,
    Parameters,
    Positive,
    Range,
    Share,
    Whole,
    check_arguments,
    declared,
    describe,
    fits,
)

NAN, INF = math.nan, math.inf
NonZero = Annotated[float, Range(-1, 0, open_high=True)] | Annotated[float, Range(0, 1, open_low=True)]
Decay = Annotated[float, Range(0, 1, open_high=True)]
Radius = Annotated[float, Range(0, open_low=True, infinite=True)]


class Sized(Protocol):
    def size(self) -> int: ...


CASES: list[tuple[Any, list[Any], list[Any]]] = [
    (Count, [1, 10, 10**400], [0, -1, True, 1.0, NAN, INF, "1", None]),
    (Whole, [0, 1], [-1, False, 0.0, NAN]),
    (Positive, [1, 0.5, 5e-324, 1e308], [0, 0.0, -0.0, -1, NAN, INF, True, "0.5", None, torch.tensor(0.5)]),
    (NonNegative, [0, 0.0, 3.5], [-5e-324, NAN, INF, -INF, False]),
    (Share, [0, 1, 0.3], [math.nextafter(1, 2), -5e-324, NAN, INF]),
    (Decay, [0, 0.999], [1, 1.0, NAN]),
    (Radius, [0.1, INF], [0, -INF, NAN]),
    (NonZero, [-1, 1, 0.1, -0.1], [0, 0.0, 1.1, -1.1, NAN]),
    (float, [0, -3.5], [NAN, INF, -INF, True, "0"]),
    (int, [0, -3], [1.0, True, "0"]),
    (bool, [True, False], [0, 1, "yes", None]),
    (str, ["", "a"], [1, None]),
    (Positive | None, [None, 1.0], [0.0, "none"]),
    (Literal["one", "both"], ["one", "both"], ["two", 1, None]),
    (Literal[1, 2], [1, 2], [True, 1.0, 3]),
    (tuple[Share, Positive], [(0, 1), (1.0, 9.0)], [(0, 0), (2, 1), (0, 1, 1), [0, 1], (NAN, 1), 0.5]),
    (tuple[Count, ...], [(), (1, 2)], [(1, 0), (1.5,), [1]]),
    (Share | Tensor, [0.5, torch.ones(3)], [2.0, [0.5], None]),
    (Callable[[int], int], [abs, lambda n: n], ["abs", 3, None]),
    (list[int], [[1]], [(1,)]),
    (Sized, [torch.ones(1)], []),
    (Any, [object(), None], []),
]


@pytest.mark.parametrize(("hint", "good", "bad"), CASES, ids=[describe(hint) for hint, _, _ in CASES])
def test_values_by_hand(hint: Any, good: list[Any], bad: list[Any]) -> None:
    assert [fits(value, hint) for value in good] == [True] * len(good)
    assert [fits(value, hint) for value in bad] == [False] * len(bad)


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (Count, "a whole number of at least 1"),
        (Positive, "a number above 0"),
        (Positive | None, "a number above 0 or none"),
        (Share, "a number of at least 0 and at most 1"),
        (Decay, "a number of at least 0 and below 1"),
        (Radius, "a number above 0 or infinite"),
        (float, "a number"),
        (bool, "true or false"),
        (Literal["l1", "en"], "one of l1, en"),
        (tuple[Share, Positive], "(a number of at least 0 and at most 1, a number above 0)"),
        (tuple[Positive, Positive], "2 values, each a number above 0"),
        (tuple[Count, ...], "several values, each a whole number of at least 1"),
        (Tensor, "Tensor"),
        (Callable[[int], int], "a function"),
    ],
)
def test_words(hint: Any, words: str) -> None:
    assert describe(hint) == words


numbers = st.integers() | st.floats() | st.sampled_from([0, 1, -1, 0.0, 1.0, 5e-324])


@given(
    low=numbers, high=numbers, open_low=st.booleans(), open_high=st.booleans(), infinite=st.booleans(), value=numbers
)
def test_a_range_is_its_two_inequalities(
    low: float, high: float, open_low: bool, open_high: bool, infinite: bool, value: float
) -> None:
    expected = (low < value if open_low else low <= value) and (value < high if open_high else value <= high)
    expected = expected and (infinite or abs(value) != INF)
    span = Range(low, high, open_low, open_high, infinite)
    assert (value in span) == expected
    assert fits(value, Annotated[float, span]) == expected
    assert fits(value, Annotated[int, span]) == (expected and type(value) is int)


@pytest.mark.slow
@given(value=st.floats() | st.integers() | st.text() | st.booleans() | st.none())
def test_a_union_takes_what_one_of_its_parts_takes(value: Any) -> None:
    assert fits(value, Positive | None) == (value is None or fits(value, Positive))
    assert fits((value, value), tuple[Positive, Positive]) == fits(value, Positive)
    assert not fits(value, Count) or fits(value, Positive)


@dataclass(frozen=True)
class Walk(Parameters):
    steps: Count = 10
    step_size: Positive | None = None
    momentum: Share = 0.9
    both: bool = False
    reach: Radius = INF
    fixed: Count = field(default=1, init=False)
    kind: ClassVar[str] = "walk"


@dataclass(frozen=True)
class Doubled(Walk):
    """Relates two fields, after the fields by themselves."""

    longest: Count = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps > self.longest:
            raise ContractError("expected steps <= longest")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Walk(steps=0), "expected steps of Walk as a whole number of at least 1, got 0"),
        (lambda: Walk(step_size=NAN), "expected step_size of Walk as a number above 0 or none, got nan"),
        (lambda: Walk(step_size=-INF), "expected step_size of Walk as a finite number above 0 or none, got -inf"),
        (lambda: Walk(reach=-INF), "expected reach of Walk as a number above 0 or infinite, got -inf"),
        (lambda: Walk(reach=NAN), "expected reach of Walk as a number above 0 or infinite, got nan"),
        (lambda: Walk(momentum=1.5), "expected momentum of Walk as a number of at least 0 and at most 1, got 1.5"),
        (lambda: Walk(both="yes"), "expected both of Walk as true or false, got 'yes'"),
        (lambda: Doubled(steps=True), "expected steps of Doubled as a whole number of at least 1, got True"),
        (lambda: Doubled(longest=0), "expected longest of Doubled as a whole number of at least 1, got 0"),
        (lambda: Doubled(steps=30), "expected steps <= longest"),
    ],
)
def test_an_object_refuses_in_one_line(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ContractError) as refusal:
        make()
    assert str(refusal.value) == message


def test_a_long_value_is_shortened_to_one_line() -> None:
    with pytest.raises(ContractError) as refusal:
        Walk(steps=torch.zeros(50, 50))  # type: ignore[arg-type]
    assert len(str(refusal.value).splitlines()) == 1
    assert len(str(refusal.value)) < 200


def test_the_defaults_are_taken_and_class_variables_are_no_parameters() -> None:
    assert Walk() == Walk(10, None, 0.9, False)
    assert Doubled(steps=20).steps == 20
    assert list(declared(Walk)) == ["steps", "step_size", "momentum", "both", "reach", "fixed"]
    assert declared(Doubled)["momentum"] == Share


def test_arguments_of_a_function() -> None:
    def smooth(x: Tensor, radius: Positive = 1.0, times: Count = 1) -> Tensor:
        return x

    check_arguments("smooth", smooth, {"radius": 2.0, "times": 3})
    with pytest.raises(ContractError, match="expected radius of smooth as a finite number above 0, got inf"):
        check_arguments("smooth", smooth, {"radius": INF})
