"""A figure of dots about a diagonal: one value of each image against another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vauban.report.reproduction.plot_area import BOTTOM, LEFT, RIGHT, TOP, Figure, PlottedLine, Point, placed
from vauban.report.shared.axes import spanned


def scatter(given: Mapping[str, Any], sets: Sequence[Sequence[Point]]) -> Figure:
    """Both axes have the same ends, so that the diagonal joins two corners."""
    values = [value for points in sets for point in points for value in point]
    values = values if any(values) else [0.0, 1.0]  # dots at the origin alone would have it in the middle
    x, y = spanned(values, LEFT, RIGHT), spanned(values, BOTTOM, TOP)
    named = [(one["name"], points) for one, points in zip(given["series"], sets, strict=True)]
    said = [_words(name, points) for name, points in named]
    return Figure(
        given["title"],
        given["caption"],
        given["x_label"],
        given["y_label"],
        tuple(x.ticks()),
        tuple(y.ticks()),
        tuple(PlottedLine(name, at % 8, "", "", placed(points, x, y)) for at, (name, points) in enumerate(named)),
        f"{given['y_label']} against {given['x_label']}. {' '.join(said)}",
        ((LEFT, BOTTOM), (RIGHT, TOP)),
    )


def _words(name: str, points: Sequence[Point]) -> str:
    if not points:
        return f"{name}: no points."
    below, above = sum(y < x for x, y in points), sum(y > x for x, y in points)
    return f"{name}: {below} below the diagonal, {above} above it, {len(points) - below - above} on it."
