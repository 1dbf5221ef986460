"""Claims of a paper: sentences of its text, each with the cells that must be larger than others for it to hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np

from vauban.reproduce.declarations import Setting
from vauban.statistics.difference import difference
from vauban.statistics.estimates import Estimate
from vauban.statistics.intervals import Interval

FEW = 20  # images: nothing is said on fewer
Answer = Literal["holds", "does not hold", "within noise", "cannot be told here"]
"""Every comparison has its direction with 95 %; one has the opposite; else not to be told from chance; a cell is missing,
has fewer than FEW images, or rests on networks that stand in for the paper's (then `seen` says what was seen)."""


@dataclass(frozen=True)
class Larger:
    """The cell labelled `cell` is larger than the one labelled `than`; either may be a number.

    Attributes:
        by: By at least so much; negative: smaller by no more.
        times: Than so many times the other.
    """

    cell: str | float
    than: str | float
    by: float = 0.0
    times: float = 1.0


@dataclass(frozen=True)
class CurveAbove:
    """A curve lies above another where the two have an x in common, in the mean over the points of the other.

    Between its points the first curve is straight. Points share their images, so that the half width of the mean is at most
    the mean of theirs, which is taken; the sampling of x is not in it.

    Attributes:
        name, than: What the two are called.
        curve, other: Labels of the cells of x and of y, a pair for each point, in any order.
    """

    name: str
    than: str
    curve: tuple[tuple[str, str], ...]
    other: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one of several comparisons holds."""

    needs: tuple[Larger | CurveAbove, ...]


Need = Larger | CurveAbove | AnyOf


@dataclass(frozen=True)
class Claim:
    """A sentence that a paper claims.

    Attributes:
        text: The claim, in our words.
        source: Where it stands: "section 4.2".
        needs: The comparisons that it says; all must hold. Empty: nothing here is measured that bears on it.
        why: What is to know about the comparison.
    """

    text: str
    source: str
    needs: tuple[Need, ...]
    why: str = ""


class AnsweredClaim(TypedDict):
    """A claim with its answer, as `reproduction.json` holds it.

    `seen` is the answer that the numbers give whatever stands in for the paper's networks; `comparisons` the words and the
    intervals that it rests on.
    """

    text: str
    source: str
    why: str
    answer: Answer
    seen: Answer
    comparisons: list[str]


def answered(claim: Claim, numbers: Mapping[str, Estimate], setting: Setting) -> AnsweredClaim:
    """The claim with what the cells say.

    Args:
        claim: The claim.
        numbers: The number of every cell that has one, by its label.
        setting: Whether networks and data are the paper's.
    """
    told = [_compared(need, numbers) for need in claim.needs]
    seen: Answer = "cannot be told here"
    if told and all(limits is not None for limits, _ in told):
        lows, highs = zip(*(limits for limits, _ in told if limits is not None), strict=True)
        seen = "holds" if min(lows) > 0 else "does not hold" if min(highs) < 0 else "within noise"
    return {
        "text": claim.text,
        "source": claim.source,
        "why": claim.why,
        "answer": "cannot be told here" if setting == "stand-in" else seen,
        "seen": seen,
        "comparisons": [words for _, words in told],
    }


def _compared(need: Need, numbers: Mapping[str, Estimate]) -> tuple[Interval | None, str]:
    """The interval of by how much a comparison holds, and the comparison in words; None where it cannot be made."""
    if isinstance(need, AnyOf):
        return _any(need, numbers)
    return _above(need, numbers) if isinstance(need, CurveAbove) else _larger(need, numbers)


def _any(need: AnyOf, numbers: Mapping[str, Estimate]) -> tuple[Interval | None, str]:
    told = [_compared(part, numbers) for part in need.needs]
    limits = [interval for interval, _ in told if interval is not None]
    words = "; or ".join(text for _, text in told)
    if len(limits) < len(told):
        return None, words
    return Interval(max(each.low for each in limits), max(each.high for each in limits)), words


def _above(need: CurveAbove, numbers: Mapping[str, Estimate]) -> tuple[Interval | None, str]:
    name = f"{need.name} above {need.than}"
    first, second = (
        [(_estimate(x, numbers), _estimate(y, numbers)) for x, y in points] for points in (need.curve, need.other)
    )
    ours = sorted(((x.value, y) for x, y in first if x is not None and y is not None), key=lambda point: point[0])
    theirs = [(x.value, y) for x, y in second if x is not None and y is not None]
    if len(ours) < len(first) or len(theirs) < len(second):
        return None, f"{name}: not measured, or on fewer than {FEW} images"
    apart = [difference(_between(ours, x), y) for x, y in theirs if ours[0][0] <= x <= ours[-1][0]]
    if not apart:
        return None, f"{name}: no x in common"
    low, high = (sum(ends) / len(apart) for ends in zip(*((each.low, each.high) for each in apart), strict=True))
    return Interval(
        low, high
    ), f"{name}: mean difference [{low:.3g}, {high:.3g}] at {len(apart)} of {len(theirs)} points"


def _between(curve: Sequence[tuple[float, Estimate]], x: float) -> Estimate:
    """The estimate at x on the straight lines through the points of a curve, sorted, which x lies between."""
    at = [point[0] for point in curve]

    def read(values: Sequence[float]) -> float:
        return float(np.interp(x, at, values))

    low, high = read([y.interval.low for _, y in curve]), read([y.interval.high for _, y in curve])
    return Estimate((read([y.value for _, y in curve]),), Interval(low, high), min(y.n for _, y in curve))


def _larger(need: Larger, numbers: Mapping[str, Estimate]) -> tuple[Interval | None, str]:
    """The interval of cell - times * than - by."""
    first, second = _estimate(need.cell, numbers), _estimate(need.than, numbers)
    second = second if second is None or need.times == 1 else _scaled(second, need.times)
    many = "" if need.times == 1 else f"{need.times:g} times "
    name = f"{need.cell} > {many}{need.than}" + (f" {'+' if need.by > 0 else '-'} {abs(need.by):g}" if need.by else "")
    if first is None or second is None:
        return None, f"{name}: not measured, or on fewer than {FEW} images"
    limits = difference(first, second)
    if math.isnan(limits.low):
        return None, f"{name}: not defined"
    words = f"{name}: {first.value:.3g} against {second.value:.3g}, difference [{limits.low:.3g}, {limits.high:.3g}]"
    return Interval(limits.low - need.by, limits.high - need.by), words


def _scaled(estimate: Estimate, times: float) -> Estimate:
    low, high = (times * end for end in estimate.interval)
    return Estimate(tuple(times * value for value in estimate.per_seed), Interval(low, high), estimate.n)


def _estimate(name: str | float, numbers: Mapping[str, Estimate]) -> Estimate | None:
    if isinstance(name, int | float):
        return Estimate((float(name),), Interval(float(name), float(name)), FEW)
    estimate = numbers.get(name)
    return None if estimate is None or estimate.n < FEW else estimate
