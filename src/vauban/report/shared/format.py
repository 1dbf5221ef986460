"""Numbers as text: percent with one decimal, budgets as the field writes them, infinity as a sign."""

from __future__ import annotations

import math
import re

from vauban.core import errors
from vauban.core.errors import plain
from vauban.statistics.estimates import Estimate
from vauban.statistics.intervals import Interval

DASH, INFINITY = "–", "∞"
NORM_NAMES = {"l0": "L0", "l1": "L1", "l2": "L2", "linf": "L∞"}


def markdown_text(text: str) -> str:
    """A text of unknown origin as a field of a Markdown table, without markup of its own."""
    flat = plain(re.sub(r"[ \t\r\n]+", " ", text)).replace("&", "&amp;").replace("<", "&lt;")
    # An underscore inside a word and a bracket that opens no link are text already.
    return re.sub(r"[\\|`*]|(?<!\w)_|_(?!\w)|\](?=\()", r"\\\g<0>", flat)


def norm_name(norm: str) -> str:
    """The usual sign of a norm."""
    return NORM_NAMES.get(norm, norm)


def percent(value: float) -> str:
    """One decimal; a non-breaking space before the sign."""
    return DASH if math.isnan(value) else f"{100 * value:.1f}\u00a0%"


def percent_range(interval: Interval) -> str:
    """An interval of a rate, as `1.5-6.2 %` with an en dash."""
    return f"{100 * interval.low:.1f}–{100 * interval.high:.1f}\u00a0%"


def rate(value: Estimate) -> str:
    """A rate with its interval in brackets."""
    return DASH if value.n == 0 else f"{percent(value.value)} [{percent_range(value.interval)}]"


def distance(value: float, norm: str) -> str:
    """A distance with three digits; an L-infinity one on the 8-bit pixel grid as a fraction of 255.

    Args:
        value: The distance in pixels of [0,1]; a number of components for L0.
        norm: `l0`, `l1`, `l2` or `linf`.
    """
    if math.isnan(value):
        return DASH
    if math.isinf(value):
        return INFINITY
    steps = value * 255
    if norm == "linf" and 0 < steps < 64.5 and abs(steps - round(steps)) < 1e-4:
        return f"{round(steps)}/255"
    return f"{value:.0f}" if norm == "l0" else f"{value:.3g}"


def decimal(value: float) -> str:
    """A distance beside others of its table: two decimals, three below one, two digits below a hundredth."""
    if 0 < abs(value) < 0.0095:
        return f"{value:.2g}"
    return f"{value:.3f}" if 0 < abs(value) < 0.9995 else f"{value:.2f}" if value else "0"


def budget(norm: str, eps: float | None) -> str:
    """The limit of an attack (`L∞ ≤ 8/255`); that it minimises the norm where `eps` is None."""
    return f"minimal {norm_name(norm)}" if eps is None else f"{norm_name(norm)} ≤ {distance(eps, norm)}"


def count(value: float) -> str:
    """A mean count per sample: an integer where it is one or large, with thin separators of thousands."""
    if math.isnan(value):
        return DASH
    return f"{value:,.0f}".replace(",", "\u202f") if value >= 100 or value == round(value) else f"{value:.1f}"


def plural(n: float, word: str, shown: str | None = None) -> str:
    """`core.errors.plural` with the count as `count` writes it."""
    return errors.plural(n, word, count(n) if shown is None else shown)


def seconds(value: float) -> str:
    """A duration given in seconds, in seconds, minutes or hours."""
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def enumeration(names: list[str]) -> str:
    """Names as a phrase: `a, b and c`."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
