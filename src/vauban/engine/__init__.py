"""The engine: the door to the model, the loop, the combinators, the verdict and the training loop."""

from vauban.engine.ask import Ask
from vauban.engine.combine import Cascade, Restarts, Search, Within
from vauban.engine.iterate import Attack, Point, Steps, iterate, run
from vauban.engine.result import Result
from vauban.engine.threat import Threat
from vauban.engine.verdict import Verdict, judge

__all__ = [
    "Ask", "Attack", "Cascade", "Point", "Restarts", "Result", "Search", "Steps", "Threat", "Verdict", "Within", "iterate",
    "judge", "run",
]  # fmt: skip
