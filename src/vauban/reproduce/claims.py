"""Claims of a paper: sentences of its text, each with the cells that must be larger than others for it to hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

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
    """The cell labelled `cell` is larger than the one labelled `than`, or than a number.

    Attributes:
        by: By at least so much; negative: smaller by no more.
    """

    cell: str
    than: str | float
    by: float = 0.0


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
    needs: tuple[Larger, ...]
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


def _compared(need: Larger, numbers: Mapping[str, Estimate]) -> tuple[Interval | None, str]:
    """The interval of cell - than - by, and the comparison in words; None where it cannot be made."""
    first, second = _estimate(need.cell, numbers), _estimate(need.than, numbers)
    name = f"{need.cell} > {need.than}" + (f" {'+' if need.by > 0 else '-'} {abs(need.by):g}" if need.by else "")
    if first is None or second is None:
        return None, f"{name}: not measured, or on fewer than {FEW} images"
    limits = difference(first, second)
    if math.isnan(limits.low):
        return None, f"{name}: not defined"
    words = f"{name}: {first.value:.3g} against {second.value:.3g}, difference [{limits.low:.3g}, {limits.high:.3g}]"
    return Interval(limits.low - need.by, limits.high - need.by), words


def _estimate(name: str | float, numbers: Mapping[str, Estimate]) -> Estimate | None:
    if isinstance(name, int | float):
        return Estimate((float(name),), Interval(float(name), float(name)), FEW)
    estimate = numbers.get(name)
    return None if estimate is None or estimate.n < FEW else estimate
