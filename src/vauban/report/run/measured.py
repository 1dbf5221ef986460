"""Measurements of networks: a line for each metric, with its mean, its interval and what is to be said of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vauban.core.errors import plural
from vauban.report.run.metric_values import ARROWS
from vauban.report.shared import format as fmt
from vauban.statistics.estimates import Conditional, conditional_mean
from vauban.store.job_rows import JobRows

HEADS = (
    "network",
    "data",
    "images made by",
    "metric",
    "mean",
    "95 % interval",
    "unit",
    "images with a value",
    "better",
)


@dataclass(frozen=True)
class MeasuredView:
    """The measurements of a run as a page shows them: heads, lines, and doubts."""

    heads: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    doubts: tuple[str, ...]


def measured_view(measurements: Sequence[JobRows]) -> MeasuredView | None:
    """Those that have rows, by network, data, attack and metric; None for none."""
    shown = in_order([rows for rows in measurements if len(rows.columns["id"]) or rows.failures])
    if not shown:
        return None
    lines = tuple(measured_line(rows) for rows in shown)
    return MeasuredView(HEADS, lines, tuple(doubt for rows in shown for doubt in doubts_of(rows)))


def in_order(measurements: Sequence[JobRows]) -> list[JobRows]:
    """By network, data, attack and metric."""
    return sorted(
        measurements, key=lambda rows: [str(rows.meta[k]) for k in ("model", "defence", "data", "attack", "metric")]
    )


def mean_of(columns: Mapping[str, np.ndarray[Any, Any]]) -> Conditional:
    """The mean over the images that have a value, with their share."""
    values = np.asarray(columns["value"], float)
    return conditional_mean(values, ~np.isnan(values))


def network_of(rows: JobRows) -> str:
    """The network, with its defence."""
    model, defence = str(rows.meta["model"]), str(rows.meta["defence"])
    return model if defence == "none" else f"{model} behind {defence}"


def measured_words(rows: JobRows) -> list[str]:
    """Network, data, attack and metric."""
    attack = rows.meta["attack"]
    made = [] if attack is None else [f"images made by {attack}"]
    return [network_of(rows), str(rows.meta["data"]), *made, str(rows.meta["metric"])]


def measured_line(rows: JobRows) -> tuple[str, ...]:
    """The fields of a line, in the order of the heads."""
    meta, n = rows.meta, len(rows.columns["id"])
    mean, unit, attack = mean_of(rows.columns), str(meta["unit"]), meta["attack"]
    known = n > 0 and not math.isnan(mean.value)
    low, high = (fmt.INFINITY if math.isinf(end) else f"{end:.4g}" for end in mean.interval)
    return (
        network_of(rows),
        str(meta["data"]),
        "–" if attack is None else str(attack),
        str(meta["metric"]),
        f"{mean.value:.4g}" if known else fmt.DASH,
        f"{low} to {high}" if known else fmt.DASH,
        "" if unit == "1" else unit,
        f"{round(mean.p_suc * n)} of {plural(n, 'image')}" if n else fmt.DASH,
        ARROWS.get(str(meta["direction"]), ""),
    )


def doubts_of(rows: JobRows) -> list[str]:
    """Why the rows of a metric cannot be relied on, each with the metric."""
    n, told = len(rows.columns["id"]), []
    if not rows.complete:
        told.append(f"{n} of {plural(int(rows.meta['n']), 'image')}; run the same command again to finish")
    told += [f"failed batch {line['index']}: {line.get('error')}" for line in rows.failures]
    if rows.changed:
        told.append(f"made by code that has changed since: {', '.join(rows.changed)}")
    return [f"{network_of(rows)} · {rows.meta['metric']}: {text}" for text in told]


def measured_table(measurements: Sequence[JobRows]) -> str:
    """The table in Markdown; what is the same on every line stands above it."""
    lines = [measured_line(rows) for rows in measurements]
    same = [i for i in range(3) if len({line[i] for line in lines}) == 1]
    above = " · ".join(
        f"images made by {lines[0][i]}" if i == 2 else lines[0][i] for i in same if lines[0][i] != fmt.DASH
    )
    shown = [[field for i, field in enumerate(line) if i not in same] for line in (HEADS, *lines)]
    body = ["| " + " | ".join(map(fmt.markdown_text, line)) + " |" for line in shown]
    told = [doubt for rows in measurements for doubt in doubts_of(rows)]
    table = [body[0], "|" + " --- |" * len(shown[0]), *body[1:]]
    return "\n".join([*([above, ""] if above else []), *table, *(["", *told] if told else []), ""])
