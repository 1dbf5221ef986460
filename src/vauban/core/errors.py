"""Errors that a user can act on: a message says in one line what was expected, what came, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class VaubanError(Exception):
    """Base of every error that is the caller's to fix; the command line prints it in one line and exits with 2."""


class ContractError(VaubanError):
    """An input breaks a public contract (shape, type, range, label)."""


class NoGradient(ContractError):  # noqa: N818
    """A network cannot be differentiated at its input: a fact about the model that shows only when an attack asks."""


class AccessError(VaubanError):
    """An attack asked for something the threat does not grant."""


class BudgetSpent(VaubanError):  # noqa: N818 - a signal to the loop rather than a mistake
    """A call would exceed the query budget of the threat."""


class MissingExtra(VaubanError):  # noqa: N818
    """An optional dependency is not installed.

    Args:
        package: The module that could not be imported.
        extra: The extra of vauban that brings it.
        purpose: What needs it, as the subject of the message.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self.package = package
        super().__init__(f"{purpose} needs the package {package!r}; install it with: pip install 'vauban[{extra}]'")


class UnknownName(VaubanError):  # noqa: N818
    """A name that is not registered.

    Args:
        kind: The kind of the named thing, as the message calls it.
        name: The name that was asked for.
        known: The names there are; the message suggests the nearest of them, or lists all where none is near.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(names)}"
        super().__init__(f"unknown {kind} {name!r}; {hint}")
