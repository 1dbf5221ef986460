"""Errors that a user can act on: a message says in one line what was expected, what came, and what to do."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that a terminal obeys in place of showing them; line ends and tabs are none."""


def plain(text: str) -> str:
    """A text of unknown origin for a terminal: control characters as they would be written in Python."""
    return CONTROL.sub(lambda sign: repr(sign[0])[1:-1], text)


def plural(n: float, word: str, shown: str | None = None) -> str:
    """A count with its word: `3 cells`, `1 batch`, `2 queries`; `shown` is the count as text where it is another."""
    if word.endswith("y") and not word.endswith(("ay", "ey", "oy", "uy")):
        many = f"{word[:-1]}ies"
    else:
        many = f"{word}es" if word.endswith(("tch", "s")) else f"{word}s"
    return f"{n if shown is None else shown} {word if n == 1 else many}"


class VaubanError(Exception):
    """Base of every error that is the caller's to fix; the command line prints it in one line and exits with 2."""


class ContractError(VaubanError):
    """An input breaks a public contract (shape, type, range, label)."""


class UnfitNetwork(ContractError):  # noqa: N818
    """A fact about a network that shows only when it is asked; it ends the network's job and not the whole run."""


class NoGradient(UnfitNetwork):
    """A network cannot be differentiated at its input."""


class StateChanged(UnfitNetwork):
    """A network's weights or buffers are not those that the work was planned for."""


class AccessError(VaubanError):
    """An attack asked for something the threat does not grant."""


class BudgetSpent(VaubanError):  # noqa: N818 - a signal to the loop rather than a mistake
    """A call would exceed the query budget of the threat."""


class ServiceFailed(VaubanError):  # noqa: N818
    """A service that a network asks does not answer, or not with what it was declared to answer."""


class QueriesSpent(VaubanError):  # noqa: N818
    """A run would send more images than it may."""


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


def check_installed(package: str, extra: str, purpose: str) -> None:
    """Check, without importing it, that an optional package is there. Raises MissingExtra, whose arguments these are."""
    there = sys.modules.get(package, package) is not None
    if not there or (package not in sys.modules and importlib.util.find_spec(package) is None):
        raise MissingExtra(package, extra, purpose)


class UnknownName(VaubanError):  # noqa: N818
    """A name that is not registered.

    Args:
        kind: The kind of the named thing, as the message calls it.
        name: The name that was asked for.
        known: The names there are; the message suggests the nearest of them, or lists all where none is near.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        if not name.strip() or not names:
            hint = f"expected one of {', '.join(names)}" if names else "there is none"
            super().__init__(f"unknown {kind} {name!r}; {hint}")
            return
        meant = [other for other in MEANT.get(_folded(name), ()) if other in names]
        near = meant or difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        if not near:
            folded = {_folded(other): other for other in names}
            near = [folded[match] for match in difflib.get_close_matches(_folded(name), folded, n=3, cutoff=0.5)]
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(names)}"
        super().__init__(f"unknown {kind} {name!r}; {hint}")


MEANT = {
    "aa": ("autoattack",),
    "ifgsm": ("bim",),
    "iterativefgsm": ("bim",),
    "momentumifgsm": ("mi-fgsm",),
    "carliniwagner": ("cw-l2", "cw-linf", "cw-l0"),
    "cw": ("cw-l2", "cw-linf", "cw-l0"),
    "candw": ("cw-l2", "cw-linf", "cw-l0"),
    "elasticnet": ("ead",),
    "boundaryattack": ("boundary",),
    "decisionbased": ("boundary", "hopskipjump", "rays"),
    "localsearchattack": ("local-search",),
    "singlepixel": ("one-pixel",),
    "hsja": ("hopskipjump",),
    "madry": ("pgd",),
    "saliencymap": ("jsma",),
    "noise": ("random-noise",),
    "crossentropy": ("ce",),
    "whitebox": ("white-box",),
    "blackbox": ("scores-only", "labels-only"),
    "bpda": ("adaptive",),
    "eot": ("adaptive",),
    "squeezing": ("bit-depth",),
    "featuresqueezing": ("bit-depth",),
    "epsilon": ("eps",),
    "iterations": ("steps",),
    "niter": ("steps",),
    "maxiter": ("steps",),
    "nbiter": ("steps",),
    "alpha": ("abs_stepsize",),
    "epsstep": ("abs_stepsize",),
    "stepsize": ("rel_stepsize", "abs_stepsize"),
}
"""Names by which others know a thing, folded, and ours."""


def _folded(name: str) -> str:
    """A name without what spellings differ in."""
    return "".join(sign for sign in str(name).lower() if sign.isalnum())


class ExitCalled(RuntimeError):  # noqa: N818
    """A user's code has asked for the end of the process in the middle of the work."""


@contextmanager
def exits_are_errors() -> Iterator[None]:
    """Code in which a call of `sys.exit`, and any other end of the process but Ctrl-C, is an error like others.

    Also a decorator: for what calls a user's code, so that nothing of it looks like a success.

    Raises:
        ExitCalled: In the place of what is no `Exception`.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as leaving:
        called = "sys.exit" if isinstance(leaving, SystemExit) else type(leaving).__name__
        raise ExitCalled(
            f"expected code that returns, got one that calls {called}({leaving}); raise an error there"
        ) from leaving


def short(thing: object) -> str:
    """A wrong object as a message shows it, in one line: a class by its name, a plain value as written, else its type."""
    if inspect.isclass(thing):
        return f"the class {thing.__name__}; make an object of it: {thing.__name__}(...)"
    if inspect.isroutine(thing):
        return f"the function {thing.__name__}"
    plain = thing is None or isinstance(thing, (bool, int, float, str))
    return repr(thing) if plain else f"an object of type {type(thing).__name__}"
