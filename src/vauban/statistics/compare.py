"""A paper's number beside ours: the interval of the difference, and why the two differ. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from vauban.core.errors import ContractError
from vauban.statistics.intervals import Interval, wilson

Reason = Literal[
    "not scored", "different setting", "compatible", "smaller scale", "ambiguous text", "real disagreement"
]
REASONS: tuple[Reason, ...] = (
    "real disagreement",
    "ambiguous text",
    "smaller scale",
    "compatible",
    "different setting",
    "not scored",
)
"""Every reason class, the gravest first."""
Unit = Literal["rate", "distance"]
UNITS: tuple[Unit, ...] = ("rate", "distance")
"""A share or mean of numbers in [0,1]; a length, any finite number of at least 0."""
SPREADLESS = " The paper prints no spread of this distance: only the noise of ours is counted."


class ComparedNumber(TypedDict):
    """One number of a reproduction as `reproduction.json` holds it; None stands for what does not exist."""

    key: dict[str, str]
    label: str
    metric: str
    unit: Unit
    printed: float | None
    certain: bool
    raw: str
    note: str
    printed_n: int
    ours: float | None
    n: int
    low: float | None
    high: float | None
    per_seed: list[float]
    difference: float | None
    diff_low: float | None
    diff_high: float | None
    reason: Reason
    why: str


class ComparisonRow(ComparedNumber, total=False):
    """The same with what records of earlier versions have not.

    Attributes:
        trainings: Over how many trainings `per_seed` runs, seed by seed within each; absent for one.
    """

    trainings: int


def two_sample(ours: float, n: int, printed: float, printed_n: int, level: float = 0.95) -> Interval:
    """Interval of `ours - printed`, two rates over independent samples of `n` and `printed_n` images.

    Newcombe's hybrid score interval, Statistics in Medicine 17 (1998) 873, method 10: with Wilson limits l, u of each
    rate p, low = d - sqrt((p1 - l1)^2 + (u2 - p2)^2) and high = d + sqrt((u1 - p1)^2 + (p2 - l2)^2), d = p1 - p2.
    Rates over seeds and means of numbers in [0,1] are welcome: their variance is at most the binomial one, so the
    interval is then conservative; so it is where both rates are over the same images, since no printed table says which
    image was right.

    Args:
        ours: A rate in [0,1].
        n: How many images it is over; 0 knows nothing of the rate.
        printed: The other rate.
        printed_n: How many images that is over.
        level: The probability that the interval holds the difference.

    Raises:
        ContractError: A rate outside [0,1], or a negative n.
    """
    return difference(ours, _limits("ours", ours, n, level), printed, _limits("printed", printed, printed_n, level))


def difference(ours: float, ours_in: Interval, printed: float, printed_in: Interval) -> Interval:
    """Square-and-add limits of `ours - printed` from the limits of each (Zou, Donner, Stat. Med. 27, 2008, 1693)."""
    d = ours - printed
    return Interval(
        d - math.hypot(ours - ours_in.low, printed_in.high - printed),
        d + math.hypot(ours_in.high - ours, printed - printed_in.low),
    )


def compare(
    *,
    key: Mapping[str, str],
    label: str,
    metric: str,
    per_seed: Sequence[float],
    n: int,
    printed: float | None,
    printed_n: int,
    setting: Literal["same", "stand-in"],
    certain: bool = True,
    raw: str = "",
    note: str = "",
    smaller: str = "",
    ambiguous: str = "",
    interval: Interval | None = None,
    unit: Unit = "rate",
) -> ComparisonRow:
    """The row of one number beside what the paper prints.

    A mean (target confidence) is printed without its variance: the paper's part of the noise is then the binomial one, the
    largest that numbers in [0,1] can have. The variance of a printed distance is unknown: the interval of the difference
    is ours shifted by the printed number, and `why` says so. Nothing measured, nothing printed, or printed illegibly is
    not scored. A limit that is infinite becomes None.

    Args:
        key, label, metric: Which number it is.
        per_seed: Ours with each seed, each over the same n images; empty where nothing is measured, as for a distance
            that is infinite or that no image has.
        n, printed_n: How many images ours and the paper's are over; n < printed_n counts as a smaller scale.
        printed: The paper's number, None where it prints none.
        setting: Whether networks and data are the paper's.
        certain: False where the print is illegible.
        raw, note: The print as it stands, and a remark on it.
        smaller: What else than images is less than in the paper ("1 of 5 seeds").
        ambiguous: What the text leaves open.
        interval: 95 % limits of ours; Wilson's of a rate where None.
        unit: "rate" for numbers in [0,1], "distance" for finite ones of at least 0.

    Raises:
        ContractError: A rate outside [0,1], a distance that is negative, not finite or without an interval, an unknown
            setting or unit.
    """
    if unit not in UNITS:
        raise ContractError(
            f"unit: expected {' or '.join(map(repr, UNITS))}, got {unit!r}; name what the metric measures"
        )
    if setting not in ("same", "stand-in"):
        raise ContractError(f"setting: expected 'same' or 'stand-in', got {setting!r}; see the scale of the experiment")
    ours = math.fsum(per_seed) / len(per_seed) if per_seed else None
    if unit == "distance":
        for value in per_seed:
            _point("ours", value)
        if per_seed and interval is None:
            raise ContractError(
                f"{label or metric}: expected the interval of a distance, got none; give its 95 % limits"
            )
    ours_in = interval if interval or ours is None else _limits("ours", ours, n)
    printed_in = None
    if printed is not None:
        printed_in = _limits("printed", printed, printed_n) if unit == "rate" else _point("printed", printed)
    gap = None
    if ours is not None and ours_in and printed is not None and printed_in:
        gap = difference(ours, ours_in, printed, printed_in)
    if n < printed_n:
        smaller = f"{n} of the paper's {printed_n} images" + (f", {smaller}" if smaller else "")
    reason, why = _reason(gap, ours, printed, certain, setting, smaller, ambiguous, note)
    if unit == "distance" and reason not in ("not scored", "different setting"):
        why += SPREADLESS
    low, high = _finite(ours_in)
    diff_low, diff_high = _finite(gap)
    return ComparisonRow(
        key=dict(key),
        label=label,
        metric=metric,
        unit=unit,
        printed=printed,
        certain=certain,
        raw=raw,
        note=note,
        printed_n=printed_n,
        ours=ours,
        n=n,
        low=low,
        high=high,
        per_seed=list(per_seed),
        difference=None if ours is None or printed is None else ours - printed,
        diff_low=diff_low,
        diff_high=diff_high,
        reason=reason,
        why=why,
    )


def _reason(
    gap: Interval | None,
    ours: float | None,
    printed: float | None,
    certain: bool,
    setting: str,
    smaller: str,
    ambiguous: str,
    note: str,
) -> tuple[Reason, str]:
    if ours is None:
        return "not scored", "Nothing was measured here at this scale."
    if not certain:
        return "not scored", f"The print is damaged{': ' + note.rstrip('.') if note else ''}."
    if printed is None or gap is None:
        return "not scored", "The paper prints no such number."
    if setting == "stand-in":
        return (
            "different setting",
            "Other networks or data stand in for the paper's: whatever the difference, it neither confirms nor refutes.",
        )
    if gap.low <= 0 <= gap.high:
        return "compatible", "The interval of the difference contains zero: chance alone may explain it."
    if smaller:
        return "smaller scale", f"The difference exceeds chance, but this run is smaller than the paper's: {smaller}."
    if ambiguous:
        return "ambiguous text", f"The difference exceeds chance, but the text leaves open: {ambiguous.rstrip('.')}."
    return "real disagreement", "Same setting, scale and text, and the difference exceeds chance."


def _limits(whose: str, rate: float, n: int, level: float = 0.95) -> Interval:
    if not 0 <= rate <= 1:
        raise ContractError(f"{whose}: expected a rate in [0,1], got {rate}; percentages are divided by 100")
    return wilson(min(rate * n, n), n, level)


def _point(whose: str, value: float) -> Interval:
    """A distance as an interval without width."""
    if not 0 <= value < math.inf:
        raise ContractError(
            f"{whose}: expected a finite distance of at least 0, got {value}; leave out what is not finite"
        )
    return Interval(value, value)


def _finite(interval: Interval | None) -> tuple[float | None, float | None]:
    """Both limits as JSON can hold them."""
    if interval is None:
        return None, None
    low, high = (limit if math.isfinite(limit) else None for limit in interval)
    return low, high
