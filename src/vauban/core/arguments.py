"""Arguments of public functions and classes: a wrong name, one too many or one that lacks is told in one line."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, Self, TypeVar

from vauban.core.errors import ContractError, UnknownName

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def named_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: a call whose arguments do not fit raises UnknownName or ContractError in place of TypeError.

    A TypeError from inside a call that fits stays what it is, and a call that succeeds pays nothing.
    """
    signature = inspect.signature(function)
    name = function.__qualname__.removesuffix(".__init__")
    method = next(iter(signature.parameters), "") in ("self", "cls")

    @functools.wraps(function)
    def called(*args: P.args, **given: P.kwargs) -> R:
        try:
            return function(*args, **given)
        except TypeError:
            check_call(name, signature, args, given, bound=int(method))
            raise

    return called


def _blank(cls: type[T]) -> T:
    """An object without its attributes, as copies and pickles begin."""
    return object.__new__(cls)


@functools.lru_cache(maxsize=4096)
def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a function, looked up once: objects with checked parameters are made in loops."""
    return inspect.signature(function)


class NamedArguments:
    """Base of classes whose calls are checked as those of `named_arguments`."""

    def __new__(cls, *args: Any, **given: Any) -> Self:
        check_call(cls.__name__, signature_of(cls.__init__), (None, *args), given, bound=1)
        if inspect.isabstract(cls):
            lacking = ", ".join(sorted(vars(cls)["__abstractmethods__"]))
            raise ContractError(
                f"expected a class that defines {lacking}, got {cls.__name__} itself; derive one from it"
            )
        return super().__new__(cls)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Copies and pickles take the attributes over, without a call that would lack its arguments."""
        return _blank, (type(self),), self.__dict__


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
