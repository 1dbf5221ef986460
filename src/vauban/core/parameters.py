"""Declared parameters: the type and the range that stand beside a field, checked when an object is made.

    @dataclass(frozen=True)
    class Walk(Parameters):
        steps: Count = 10                # a whole number of at least 1
        step_size: Positive | None = None
        momentum: Annotated[float, Range(0, 1)] = 0.9

One mechanism for attacks, defences, threats, recipes and for functions that are registered.
"""

from __future__ import annotations

import functools
import inspect
import math
import textwrap
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from vauban.core.annotations import declared
from vauban.core.arguments import NamedArguments, P, R, named_arguments
from vauban.core.errors import ContractError, short

LONGEST = 100  # characters of a refused value in a message, on one line


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, as a note beside a field: `Annotated[float, Range(0, 1)]`.

    Attributes:
        low, high: The ends; infinite for none.
        open_low, open_high: Whether the end itself is excluded.
        infinite: Whether infinity is a value; NaN never is.
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    infinite: bool = False

    def __contains__(self, value: float) -> bool:
        if value != value or (value in (math.inf, -math.inf) and not self.infinite):
            return False
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        low = "" if math.isinf(self.low) else f"{'above' if self.open_low else 'of at least'} {self.low:g}"
        high = "" if math.isinf(self.high) else f"{'below' if self.open_high else 'at most'} {self.high:g}"
        return " and ".join(filter(None, (low, high))) + (" or infinite" if self.infinite else "")


Count = Annotated[int, Range(1)]
"""A whole number of at least 1."""
Whole = Annotated[int, Range(0)]
"""A whole number of at least 0."""
Positive = Annotated[float, Range(0, open_low=True)]
"""A finite number above 0."""
NonNegative = Annotated[float, Range(0)]
"""A finite number of at least 0."""
StepRate = Annotated[float, Range(0, 1e6, open_low=True)]
"""A rate of an optimiser, above 0 and at most 1e6: beyond it coordinates overflow in float32."""
Share = Annotated[float, Range(0, 1)]
"""A number from 0 to 1."""


class Parameters(NamedArguments):
    """Base of dataclasses whose fields are checked against their annotations when an object is made.

    A subclass with a `__post_init__` of its own calls `super().__post_init__()` first.

    Raises:
        ContractError: A field has another type, or lies outside its declared range.
    """

    def __post_init__(self) -> None:
        check_fields(self)


def check_fields(value: Any) -> None:
    """Check every field of a dataclass object against its annotation. Raises ContractError."""
    if not is_dataclass(value):
        return
    owner: Any = type(value)
    hints = declared(owner)
    for field in fields(value):
        if field.name in hints:
            check(type(value).__name__, field.name, getattr(value, field.name), hints[field.name])


def check_arguments(owner: str, make: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Check the arguments of a function against its annotations.

    A text for an annotation that names another class (a path) is the function's own matter, as are annotations of names
    that exist for a type checker only.

    Args:
        owner: What the message calls the function.
        make: The function.
        arguments: Its arguments by name.

    Raises:
        ContractError: A value has another type, or lies outside its declared range.
    """
    try:
        hints = declared(make)
    except NameError:
        return
    for name, value in arguments.items():
        if name in hints and (_plain(hints[name]) or not isinstance(value, str)):
            check(owner, name, value, hints[name])


def checked_calls(owner: str, make: Callable[P, R]) -> Callable[P, R]:
    """A function whose calls, where they fail for the kind of an argument, say which one in place of a raw error.

    A call that succeeds pays nothing.
    """
    called = named_arguments(make)

    @functools.wraps(make)
    def asked(*args: P.args, **given: P.kwargs) -> R:
        try:
            return called(*args, **given)
        except (TypeError, AttributeError):
            hints = declared(make)
            for name, value in inspect.signature(make).bind(*args, **given).arguments.items():
                if name in hints:
                    check(owner, name, value, hints[name])
            raise

    return asked


def _plain(hint: Any) -> bool:
    """Whether an annotation names numbers, texts, choices, None, functions, and unions and tuples of them only."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _plain(get_args(hint)[0])
    if origin in (Union, types.UnionType, tuple, Sequence):
        return all(_plain(part) for part in get_args(hint) if part is not Ellipsis)
    return origin in (Literal, Callable) or hint in (int, float, bool, str, None, type(None))


def check(owner: str, name: str, value: Any, hint: Any) -> None:
    """Check one value against an annotation. Raises ContractError, which names the owner and the field."""
    if fits(value, hint):
        return
    asked = describe(hint)
    if isinstance(value, float) and math.isinf(value) and "infinite" not in asked:
        asked = asked.replace("a number", "a finite number")
    tupled = isinstance(value, list) and fits(tuple(value), hint)
    raise ContractError(
        f"expected {name} of {owner} as {asked}, got {shortened(value)}{'; write a tuple of them' if tupled else ''}"
    )


def shortened(value: Any) -> str:
    """A value as a message shows it, on one line: a class by its name."""
    if inspect.isclass(value):
        return short(value)
    return textwrap.shorten(repr(value), LONGEST, placeholder=" ...")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value has the type and lies in the range of an annotation.

    Numbers, texts, choices, None, callables, and unions and tuples of them are looked at; of anything else only the
    class, and where an annotation names no class at run time (a protocol, a type variable) every value fits. A number
    is finite unless its `Range` says otherwise; true and false are no numbers.
    """
    origin = get_origin(hint)
    if origin is Annotated:
        return _fits_annotated(value, *get_args(hint))
    if origin in (Union, types.UnionType):
        return any(fits(value, part) for part in get_args(hint))
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(hint))
    if origin is tuple:
        return _fits_tuple(value, get_args(hint))
    if origin is Sequence:
        items = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        return items and all(fits(item, get_args(hint)[0]) for item in value)
    if origin is Callable:
        return callable(value)
    return _fits_class(value, origin or hint)


def _fits_annotated(value: Any, base: Any, *notes: Any) -> bool:
    ranges = _ranges(notes)
    if not ranges:
        return fits(value, base)
    kinds = {int: int, float: int | float}
    return isinstance(value, kinds[base]) and not isinstance(value, bool) and all(value in span for span in ranges)


def _fits_tuple(value: Any, parts: tuple[Any, ...]) -> bool:
    if not isinstance(value, tuple):
        return False
    if len(parts) == 2 and parts[1] is Ellipsis:
        return all(fits(item, parts[0]) for item in value)
    return len(value) == len(parts) and all(fits(item, part) for item, part in zip(value, parts, strict=True))


def _fits_class(value: Any, hint: Any) -> bool:
    if hint is None or hint is type(None):
        return value is None
    if hint in (int, float):
        return _fits_annotated(value, hint, Range())
    if hint is Any or not inspect.isclass(hint) or getattr(hint, "_is_protocol", False):
        return True
    return isinstance(value, hint)


def describe(hint: Any) -> str:
    """An annotation in the words of an error message: "a whole number of at least 1"."""
    origin = get_origin(hint)
    if origin is Annotated:
        base, *notes = get_args(hint)
        return " ".join([describe(base), *(str(span) for span in _ranges(notes) if str(span))])
    if origin in (Union, types.UnionType):
        return " or ".join(describe(part) for part in get_args(hint))
    if origin is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if origin is tuple:
        return _describe_tuple(get_args(hint))
    if origin is Sequence:
        return f"several values, each {describe(get_args(hint)[0])}"
    if origin is Callable:
        return "a function"
    named = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "none"}
    return named.get(hint, getattr(hint, "__name__", str(hint)))


def _describe_tuple(parts: tuple[Any, ...]) -> str:
    words = [describe(part) for part in parts if part is not Ellipsis]
    if len(set(words)) > 1:
        return f"({', '.join(words)})"
    return f"{'several values' if Ellipsis in parts else f'{len(words)} values'}, each {words[0]}"


def _ranges(notes: Iterable[Any]) -> list[Range]:
    return [note for note in notes if isinstance(note, Range)]
