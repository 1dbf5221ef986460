"""Numbers of one comparison row as text: rates in percent, distances as plain decimals."""

from __future__ import annotations

from vauban.report.shared import format as fmt
from vauban.statistics.compare import ComparisonRow
from vauban.statistics.intervals import Interval


def number_text(number: float | None, row: ComparisonRow) -> str:
    """A number in the unit of its row."""
    if number is None:
        return fmt.DASH
    return fmt.percent(number) if row["unit"] == "rate" else fmt.decimal(number)


def printed_number(row: ComparisonRow) -> str:
    """The paper's number; a distance with the digits that the paper gives it."""
    as_printed = row["unit"] == "distance" and row["raw"] and not source_quote(row)
    return row["raw"].strip() if as_printed else number_text(row["printed"], row)


def source_quote(row: ComparisonRow) -> str:
    """The characters of the source where they say anything else than the number; "" where they agree."""
    quote = row["raw"].strip()
    try:
        number = float(quote.removesuffix("%").strip().replace(",", "."))
    except ValueError:
        return quote
    readings = [number] if row["unit"] == "distance" else [number / 100]
    if not quote.endswith("%"):
        readings.append(number)  # some papers print a rate as a fraction
    same = row["printed"] is not None and any(abs(reading - row["printed"]) < 1e-9 for reading in readings)
    return "" if same else quote


def our_number(row: ComparisonRow) -> str:
    """Our number with its interval and the number of images."""
    return fmt.DASH if row["ours"] is None else f"{number_text(row['ours'], row)} {interval_and_count(row)}"


def interval_and_count(row: ComparisonRow) -> str:
    """The interval of our number and the number of images: `[12.0-15.0 %], n = 400`."""
    interval = our_interval(row)
    return f"{interval}{', ' if interval else ''}n\u00a0=\u00a0{fmt.count(row['n'])}"


def our_interval(row: ComparisonRow) -> str:
    """The 95 % interval of our number in brackets; "" where it has none."""
    low, high = row["low"], row["high"]
    if low is not None and row["unit"] == "distance":
        return f"[{fmt.decimal(low)}–{fmt.INFINITY if high is None else fmt.decimal(high)}]"
    if low is not None and high is not None:
        return f"[{fmt.percent_range(Interval(low, high))}]"
    return ""


def training_spread(row: ComparisonRow) -> str:
    """The lowest and the highest number of several trainings: `3 trainings 81.0-86.5 %`; "" where it has not several."""
    trained, values = row.get("trainings", 1), row["per_seed"]
    if trained < 2 or not values:
        return ""
    seeds = len(values) // trained
    means = [sum(values[k : k + seeds]) / seeds for k in range(0, len(values), seeds)]
    low, high = min(means), max(means)
    text = (
        fmt.percent_range(Interval(low, high)) if row["unit"] == "rate" else f"{fmt.decimal(low)}–{fmt.decimal(high)}"
    )
    return f"{trained}\u00a0trainings {text}"


def difference_text(row: ComparisonRow) -> str:
    """Ours minus the paper's with its sign: percentage points, or a distance."""
    return fmt.DASH if row["difference"] is None else _signed(row["difference"], row)


def difference_interval(row: ComparisonRow) -> str:
    """The interval of the difference in brackets; "" where it has none."""
    low, high = row["diff_low"], row["diff_high"]
    if low is None or (high is None and row["unit"] == "rate"):
        return ""
    return f"[{_signed(low, row)}, {fmt.INFINITY if high is None else _signed(high, row)}]"


def _signed(number: float, row: ComparisonRow) -> str:
    text = f"{100 * abs(number):.1f}" if row["unit"] == "rate" else fmt.decimal(abs(number))
    if float(text) == 0:
        return text
    return ("+" if number > 0 else "−") + text
