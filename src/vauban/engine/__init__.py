"""Engine: the oracle, the attack loop, combinators and the verdict."""

from vauban.engine.attack import Attack
from vauban.engine.bisection import Bisection
from vauban.engine.combine import Cascade, Restarts, StopInside
from vauban.engine.iterate import Point, Steps, iterate
from vauban.engine.oracle import Oracle
from vauban.engine.result import Result
from vauban.engine.threat import BoundThreat
from vauban.engine.verdict import Verdict, judge

__all__ = [
    "Attack",
    "Bisection",
    "BoundThreat",
    "Cascade",
    "Oracle",
    "Point",
    "Restarts",
    "Result",
    "Steps",
    "StopInside",
    "Verdict",
    "iterate",
    "judge",
]
