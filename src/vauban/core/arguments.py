"""Arguments of public functions and classes: a wrong name, one too many or one that lacks is told in one line."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, Self, TypeVar

from vauban.core.errors import ContractError, UnknownName

P = ParamSpec("P")
R = TypeVar("R")


def named_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: a call whose arguments do not fit raises UnknownName or ContractError in place of TypeError."""
    signature = inspect.signature(function)
    name = function.__qualname__.removesuffix(".__init__")
    method = next(iter(signature.parameters), "") in ("self", "cls")

    @functools.wraps(function)
    def called(*args: P.args, **given: P.kwargs) -> R:
        check_call(name, signature, args, given, bound=int(method))
        return function(*args, **given)

    return called


class NamedArguments:
    """Base of classes whose calls are checked as those of `named_arguments`.

    A call without any argument is left to `__init__`: copies and pickles begin so.
    """

    def __new__(cls, *args: Any, **given: Any) -> Self:
        if args or given:
            check_call(cls.__name__, inspect.signature(cls.__init__), (None, *args), given, bound=1)
        return super().__new__(cls)


def check_call(
    name: str, signature: inspect.Signature, args: tuple[Any, ...], given: Mapping[str, Any], bound: int = 0
) -> None:
    """Check that a call fits a signature.

    Args:
        name: What is called, as the message says it.
        signature: Its signature.
        args: Arguments by position.
        given: Arguments by name.
        bound: How many of the first parameters the caller does not write: `self`.

    Raises:
        UnknownName: There is no argument of a name; it says which there are.
        ContractError: There are too many by position, one comes twice, or one lacks.
    """
    try:
        signature.bind(*args, **given)
        return
    except TypeError as error:
        reason = str(error)
    parameters = list(signature.parameters.values())[bound:]
    known = [p.name for p in parameters if p.kind not in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    for key in given:
        if key not in known:
            raise UnknownName(f"parameter of {name}:", key, known)
    by_position = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(args) - bound > len(by_position):
        raise ContractError(
            f"expected at most {len(by_position)} arguments of {name} without a name, got {len(args) - bound}; write "
            f"{name}({', '.join(f'{key}=...' for key in known)})"
        )
    taken = {*by_position[: len(args) - bound], *given}
    empty = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    lacking = [key for key in empty if key not in taken]
    if lacking:
        raise ContractError(
            f"expected {', '.join(lacking)} of {name}, got none; write {name}({', '.join(f'{key}=...' for key in empty)})"
        )
    raise ContractError(f"{name}: {reason}; write each argument once")
