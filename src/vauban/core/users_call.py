"""Call of a class or a function of a user's file with the parameters of a text; what fails is told by file and function."""

from __future__ import annotations

import functools
import inspect
import re
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vauban.core.errors import ContractError, UnknownName, VaubanError, short


def call_users(text: str, made: Callable[..., Any], given: Mapping[str, Any], *args: Any) -> Any:
    """What a user's class or function makes of parameters.

    Args:
        text: The text that names it, `file.py:name:width=3`.
        made: The class or the function.
        given: Its parameters by name.
        args: Its first arguments, which no text gives.

    Raises:
        UnknownName: There is no parameter of a name; it says which there are.
        ContractError: A parameter lacks, or the user's code raised an error; it says on which line of the file.
    """
    named = re.match(r".*?\.py:[^:]+", text)
    name = text if named is None else named[0]
    if not (inspect.isclass(made) or inspect.isroutine(made) or isinstance(made, functools.partial)):
        raise ContractError(f"expected a class or a function to take the parameters of {text!r}, got {short(made)}")
    _check(name, made, given, len(args))
    try:
        return made(*args, **given)
    except VaubanError:
        raise
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), "")
        at = _line(error, name.partition(".py:")[0] + ".py")
        raise ContractError(f"{name} cannot be made: {type(error).__name__}: {reason}{at}") from error


def _check(name: str, made: Callable[..., Any], given: Mapping[str, Any], first: int) -> None:
    try:
        parameters = list(inspect.signature(made).parameters.values())[first:]
    except (TypeError, ValueError):  # a builtin without a signature
        return
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    known = [p.name for p in parameters if p.kind not in (*several, inspect.Parameter.POSITIONAL_ONLY)]
    for key in given if all(p.kind is not inspect.Parameter.VAR_KEYWORD for p in parameters) else ():
        if key not in known:
            raise UnknownName(f"parameter of {name}:", key, known)
    empty = [p.name for p in parameters if p.default is p.empty and p.kind not in several]
    if lacking := [key for key in empty if key not in given]:
        values = ",".join(f"{key}=..." for key in empty)
        raise ContractError(f"expected {', '.join(lacking)} of {name}, got none; write {name}:{values}")


def _line(error: Exception, file: str) -> str:
    """Where in the user's file an error was raised; nothing where it came from no line of it."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).name == Path(file).name
    ]
    return f" (line {lines[-1]})" if lines else ""
