"""The numbers of one row of a reproduction as text: rates in percent, distances as plain decimals."""

from __future__ import annotations

from vauban.report.shared import format as fmt
from vauban.statistics.compare import ComparisonRow
from vauban.statistics.intervals import Interval


def value(number: float | None, row: ComparisonRow) -> str:
    """A number in the unit of its row."""
    if number is None:
        return fmt.DASH
    return fmt.percent(number) if row["unit"] == "rate" else fmt.decimal(number)


def printed(row: ComparisonRow) -> str:
    """The paper's number; a distance with the digits that the paper gives it."""
    return (
        row["raw"].strip() if row["unit"] == "distance" and row["raw"] and not raw(row) else value(row["printed"], row)
    )


def raw(row: ComparisonRow) -> str:
    """The characters found in the source, where they say anything else than the number."""
    found = row["raw"].strip()
    try:
        number = float(found.removesuffix("%").strip().replace(",", "."))
    except ValueError:
        return found
    readings = [number] if row["unit"] == "distance" else [number / 100]
    if not found.endswith("%"):
        readings.append(number)  # some papers print a rate as a fraction
    same = row["printed"] is not None and any(abs(reading - row["printed"]) < 1e-9 for reading in readings)
    return "" if same else found


def measured(row: ComparisonRow) -> str:
    """Our number with its interval and the number of images."""
    return fmt.DASH if row["ours"] is None else f"{value(row['ours'], row)} {within(row)}"


def within(row: ComparisonRow) -> str:
    """The interval of our number and the number of images."""
    interval = limits(row)
    return f"{interval}{', ' if interval else ''}n\u00a0=\u00a0{fmt.count(row['n'])}"


def limits(row: ComparisonRow) -> str:
    """The interval of our number."""
    low, high = row["low"], row["high"]
    if low is not None and row["unit"] == "distance":
        return f"[{fmt.decimal(low)}–{fmt.INFINITY if high is None else fmt.decimal(high)}]"
    if low is not None and high is not None:
        return f"[{fmt.percent_range(Interval(low, high))}]"
    return ""


def points(row: ComparisonRow) -> str:
    """Ours minus the paper's: percentage points, or a distance."""
    return fmt.DASH if row["difference"] is None else _signed(row["difference"], row)


def points_range(row: ComparisonRow) -> str:
    """The interval of the difference."""
    low, high = row["diff_low"], row["diff_high"]
    if low is None or (high is None and row["unit"] == "rate"):
        return ""
    return f"[{_signed(low, row)}, {fmt.INFINITY if high is None else _signed(high, row)}]"


def _signed(number: float, row: ComparisonRow) -> str:
    text = f"{100 * abs(number):.1f}" if row["unit"] == "rate" else fmt.decimal(abs(number))
    if float(text) == 0:
        return text
    return ("+" if number > 0 else "−") + text
