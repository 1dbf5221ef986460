"""The field that figures are drawn in, and what is drawn there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vauban.report.shared.axes import Axis

WIDTH, HEIGHT = 460, 310
LEFT, RIGHT, TOP, BOTTOM = 48, 444, 28, 268  # of the field in which lines and dots are drawn

Point = tuple[float, float]


@dataclass(frozen=True)
class PlottedLine:
    """A line as SVG: its name, its colour among eight, its dash, its path, and the points that are marked. In a scatter the
    points alone."""

    name: str
    colour: int
    dash: str
    path: str
    dots: tuple[Point, ...]


@dataclass(frozen=True)
class Figure:
    """What is drawn, in pixels. words: the figure for those who cannot see it. diagonal: the ends of a scatter's line of
    equal values."""

    title: str
    caption: str
    x_label: str
    y_label: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    curves: tuple[PlottedLine, ...]
    words: str
    diagonal: tuple[Point, Point] | None = None

    @property
    def drawn(self) -> list[PlottedLine]:
        """Dashed lines over solid ones: where two coincide, both are seen."""
        return sorted(self.curves, key=lambda curve: bool(curve.dash))


def placed(line: Sequence[Point], x: Axis, y: Axis) -> tuple[Point, ...]:
    """The pixels of points."""
    return tuple((round(x.at(a), 1), round(y.at(b), 1)) for a, b in line)
