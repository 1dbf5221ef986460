"""Scatter of dots about a diagonal: one value of each image against another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vauban.report.reproduction.figure_layout import BOTTOM, LEFT, RIGHT, TOP, DrawnFigure, DrawnLine, Point, pixels_of
from vauban.report.shared.axes import rounded_axis


def draw_scatter(given: Mapping[str, Any], point_sets: Sequence[Sequence[Point]]) -> DrawnFigure:
    """Draw dots; both axes have the same ends, so that the diagonal joins two corners.

    Args:
        given: A figure of `reproduction.json`.
        point_sets: The points of each of its series.
    """
    values = [value for points in point_sets for point in points for value in point]
    values = values if any(values) else [0.0, 1.0]  # dots at the origin alone would have it in the middle
    x, y = rounded_axis(values, LEFT, RIGHT), rounded_axis(values, BOTTOM, TOP)
    named = [(series["name"], points) for series, points in zip(given["series"], point_sets, strict=True)]
    sentences = [_description(name, points) for name, points in named]
    return DrawnFigure(
        given["title"],
        given["caption"],
        given["x_label"],
        given["y_label"],
        tuple(x.ticks()),
        tuple(y.ticks()),
        tuple(DrawnLine(name, at % 8, "", "", pixels_of(points, x, y)) for at, (name, points) in enumerate(named)),
        f"{given['y_label']} against {given['x_label']}. {' '.join(sentences)}",
        ((LEFT, BOTTOM), (RIGHT, TOP)),
    )


def _description(name: str, points: Sequence[Point]) -> str:
    if not points:
        return f"{name}: no points."
    below, above = sum(y < x for x, y in points), sum(y > x for x, y in points)
    return f"{name}: {below} below the diagonal, {above} above it, {len(points) - below - above} on it."
