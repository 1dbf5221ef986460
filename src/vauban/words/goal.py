"""Goals by name: `untargeted`, `least-likely`, `random-wrong`, `targeted:3`."""

from __future__ import annotations

from vauban.core.errors import UnknownName
from vauban.core.goals import Goal, LeastLikely, RandomWrong, Targeted, Untargeted


def load(word: str | Goal) -> Goal:
    """The goal of that name, or a goal unchanged. Raises UnknownName."""
    if not isinstance(word, str):
        return word
    head, _, rest = word.partition(":")
    simple: dict[str, Goal] = {"untargeted": Untargeted(), "least-likely": LeastLikely(), "random-wrong": RandomWrong()}
    if head in simple and not rest:
        return simple[head]
    if head == "targeted" and rest.isdigit():
        return Targeted(int(rest))
    raise UnknownName("goal", word, [*simple, "targeted:<class>"])
