"""Goals by name: `untargeted`, `least-likely`, `random-wrong`, `targeted:3`."""

from __future__ import annotations

from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError, UnknownName, short
from vauban.core.goals import Goal, LeastLikely, RandomWrong, Targeted, Untargeted
from vauban.words.named import instance


@named_arguments
def load(word: str | Goal) -> Goal:
    """The goal of that name, or a goal unchanged. Raises UnknownName."""
    if not isinstance(word, str):
        goal = instance(word, "a goal or its name, such as targeted:3", defaults=True)
        if not hasattr(goal, "resolve"):
            raise ContractError(f"expected a goal or its name, such as targeted:3, got {short(goal)}")
        made: Goal = goal
        return made
    head, _, rest = word.partition(":")
    simple: dict[str, Goal] = {"untargeted": Untargeted(), "least-likely": LeastLikely(), "random-wrong": RandomWrong()}
    if head in simple and not rest:
        return simple[head]
    if head == "targeted" and rest.isdigit():
        return Targeted(int(rest))
    raise UnknownName("goal", word, [*simple, "targeted:<class>"])
