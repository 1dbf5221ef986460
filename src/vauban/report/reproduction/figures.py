"""Figures of a reproduction as drawn lines or dots: no script, so that a page of them is legible anywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from vauban.core.errors import ContractError
from vauban.report.reproduction.figure_layout import BOTTOM, LEFT, RIGHT, TOP, DrawnFigure, DrawnLine, Point, pixels_of
from vauban.report.reproduction.scatter import draw_scatter
from vauban.report.shared import format as fmt
from vauban.report.shared.axes import Axis, rounded_axis, tight_axis

DASHES = ("", "6 3", "2 3", "9 3 2 3")
DOTS = 30  # points of a line that are marked: more would hide it
FIELDS = {
    "lines": ("title", "caption", "x_label", "y_label", "step", "series"),
    "scatter": ("title", "caption", "x_label", "y_label", "series"),
}
"""By kind; the figures of older records, which name none, are lines."""


def draw_figure(given: Mapping[str, Any]) -> DrawnFigure:
    """Draw one figure of `reproduction.json`.

    Args:
        given: Its fields, see `FIELDS`; every series has a `name` and as many finite `x` as `y`.

    Raises:
        ContractError: Its kind is unknown, a field is absent or a series is no list of points.
    """
    kind = given.get("kind", "lines")
    if not isinstance(kind, str) or kind not in FIELDS:
        raise ContractError(f"figure: expected a kind among {', '.join(FIELDS)}, got {kind!r}; run it again")
    absent = [name for name in FIELDS[kind] if name not in given]
    if absent:
        expected = ", ".join(FIELDS[kind])
        raise ContractError(f"figure: expected {expected}, got none of {', '.join(absent)}; run it again")
    points = [_points(given["title"], series) for series in given["series"]]
    return draw_scatter(given, points) if kind == "scatter" else _draw_lines(given, points)


def _draw_lines(given: Mapping[str, Any], lines: Sequence[Sequence[Point]]) -> DrawnFigure:
    every = [point for line in lines for point in line]
    stepped = bool(given["step"])
    x, y = _axes(lines, every or [(0.0, 0.0), (1.0, 1.0)], stepped)
    named = [(series["name"], line) for series, line in zip(given["series"], lines, strict=True)]
    curves = [
        DrawnLine(name, at % 8, DASHES[at % len(DASHES)], _path(line, x, y, stepped), _dots(line, x, y, stepped))
        for at, (name, line) in enumerate(named)
    ]
    y_ticks = [(y.pixel(v / 4), f"{25 * v}\u00a0%") for v in range(5)] if stepped else y.ticks()
    sentences = [_description(name, line, stepped) for name, line in named]
    return DrawnFigure(
        given["title"],
        given["caption"],
        given["x_label"] + (" (logarithmic)" if x.logarithmic else ""),
        given["y_label"],
        tuple(x.ticks()),
        tuple(y_ticks),
        tuple(curves),
        f"{given['y_label']} against {given['x_label']}. {' '.join(sentences)}",
    )


def _points(title: str, series: Mapping[str, Any]) -> list[Point]:
    x, y = series.get("x"), series.get("y")
    if not (
        isinstance(x, list)
        and isinstance(y, list)
        and len(x) == len(y)
        and all(isinstance(v, int | float) and math.isfinite(v) for v in [*x, *y])
    ):
        raise ContractError(
            f"figure {title!r}, line {series.get('name')!r}: expected as many finite x as y, got others; run it again"
        )
    return list(zip(x, y, strict=True))


def _axes(lines: Sequence[Sequence[Point]], every: Sequence[Point], stepped: bool) -> tuple[Axis, Axis]:
    """A share goes from 0 to 1. A line that turns back is a path in a plane, whose directions have one unit."""
    xs, ys = [p[0] for p in every], [p[1] for p in every]
    if stepped:
        return tight_axis([0.0, *xs], LEFT, RIGHT), Axis(0, 1, BOTTOM, TOP)
    if any(b[0] < a[0] for line in lines for a, b in pairwise(line)):
        scale = max((max(xs) - min(xs)) / (RIGHT - LEFT), (max(ys) - min(ys)) / (BOTTOM - TOP)) * 1.08 or 1.0
        return _centred(xs, LEFT, RIGHT, scale), _centred(ys, BOTTOM, TOP, scale)
    return tight_axis(xs, LEFT, RIGHT), rounded_axis(ys, BOTTOM, TOP)


def _centred(values: Sequence[float], start: float, end: float, scale: float) -> Axis:
    middle, half = (min(values) + max(values)) / 2, abs(end - start) / 2 * scale
    return Axis(middle - half, middle + half, start, end)


def _path(line: Sequence[Point], x: Axis, y: Axis, stepped: bool) -> str:
    """A step keeps its value up to the next point; points that no screen could tell apart are left out."""
    parts: list[str] = []
    last = ("", "")
    for at, point in enumerate(line):
        px, py = f"{x.pixel(point[0]):.1f}", f"{y.pixel(point[1]):.1f}"
        end = at == len(line) - 1
        if not parts:
            parts.append(f"M{px} {py}")
        elif stepped and (py != last[1] or end):
            parts.append(f"H{px}" + (f"V{py}" if py != last[1] else ""))
        elif not stepped and (px, py) != last:
            parts.append(f"L{px} {py}")
        last = px, py
    return "".join(parts)


def _dots(line: Sequence[Point], x: Axis, y: Axis, stepped: bool) -> tuple[Point, ...]:
    return () if stepped or len(line) > DOTS else pixels_of(line, x, y)


def _description(name: str, line: Sequence[Point], stepped: bool) -> str:
    if not line:
        return f"{name}: no points."
    ends = [f"{fmt.percent(y) if stepped else f'{y:.4g}'} at {x:.4g}" for x, y in (line[0], line[-1])]
    return f"{name}: {' to '.join(dict.fromkeys(ends))}."
