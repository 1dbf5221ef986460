"""Layout of a drawn figure: the size of its canvas, the lines and dots on it, its labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vauban.report.shared.axes import Axis

WIDTH, HEIGHT = 460, 310  # of the canvas, in pixels
LEFT, RIGHT, TOP, BOTTOM = 48, 444, 28, 268  # of the part of the canvas in which lines and dots are drawn

Point = tuple[float, float]


@dataclass(frozen=True)
class DrawnLine:
    """A line as SVG; in a scatter its dots alone.

    Attributes:
        name: Its name in the key.
        colour: Its colour, 0 to 7.
        dash: Its `stroke-dasharray`, "" for a solid line.
        path: Its `d`, "" where there is none.
        dots: The points that are marked, in pixels.
    """

    name: str
    colour: int
    dash: str
    path: str
    dots: tuple[Point, ...]


@dataclass(frozen=True)
class DrawnFigure:
    """A figure, in pixels.

    Attributes:
        title: The title above it.
        caption: The caption below it.
        x_label: The label of the horizontal axis.
        y_label: The label of the vertical axis.
        x_ticks: Pixel and text of each tick of the horizontal axis.
        y_ticks: Pixel and text of each tick of the vertical axis.
        curves: The lines, in the order of the key.
        description: The figure as text, for those who cannot see it.
        diagonal: The ends of a scatter's line of equal values, None elsewhere.
    """

    title: str
    caption: str
    x_label: str
    y_label: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    curves: tuple[DrawnLine, ...]
    description: str
    diagonal: tuple[Point, Point] | None = None

    @property
    def drawn(self) -> list[DrawnLine]:
        """The lines as they are laid over each other: dashed over solid ones, so that both are seen where two coincide."""
        return sorted(self.curves, key=lambda curve: bool(curve.dash))


def pixels_of(points: Sequence[Point], x: Axis, y: Axis) -> tuple[Point, ...]:
    """The pixels of points, to a tenth."""
    return tuple((round(x.pixel(a), 1), round(y.pixel(b), 1)) for a, b in points)
