"""Drawn lines: the pixels of known points, steps, ticks, and what those who cannot see them are told."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vauban.core.errors import ContractError
from vauban.report.reproduction.figure_layout import BOTTOM, LEFT, RIGHT, TOP
from vauban.report.reproduction.figures import draw_figure
from vauban.report.shared.axes import Axis, rounded_up, tick_step


def line_figure(*series, stepped=False):
    lines = [{"name": f"line {k}", "x": x, "y": y} for k, (x, y) in enumerate(series)]
    return {"title": "T", "caption": "c", "x_label": "D", "y_label": "P", "step": stepped, "series": lines}


def scatter_figure(x, y):
    dots = [{"name": "images", "x": x, "y": y}]
    return {"kind": "scatter", "title": "T", "caption": "c", "x_label": "a", "y_label": "b", "series": dots}


def test_dots_have_one_scale_on_both_axes_and_the_diagonal_joins_corners():
    drawn = draw_figure(scatter_figure([0.0, 2.0, 10.0, 0.0], [0.0, 10.0, 5.0, 0.0]))
    (curve,) = drawn.curves
    across, up = (lambda v: LEFT + v / 10 * (RIGHT - LEFT)), (lambda v: BOTTOM - v / 10 * (BOTTOM - TOP))
    assert curve.dots == ((LEFT, BOTTOM), (across(2), up(10)), (across(10), up(5)), (LEFT, BOTTOM))
    assert curve.path == ""
    assert drawn.diagonal == ((LEFT, BOTTOM), (RIGHT, TOP))
    assert [text for _, text in drawn.x_ticks] == [text for _, text in drawn.y_ticks]
    assert drawn.description == "b against a. images: 1 below the diagonal, 1 above it, 2 on it."


@pytest.mark.parametrize("values", [[], [0.0]])
def test_dots_at_the_origin_or_none_have_axes_from_0(values):
    drawn = draw_figure(scatter_figure(values, values))
    assert drawn.curves[0].dots == ((LEFT, BOTTOM),) * len(values)
    assert (drawn.x_ticks[0], drawn.x_ticks[-1]) == ((LEFT, "0"), (RIGHT, "1"))


def test_a_figure_without_a_kind_is_one_of_lines():
    given = line_figure(([0.0, 1.0], [1.0, 2.0]))
    assert draw_figure(given) == draw_figure(given | {"kind": "lines"})
    assert draw_figure(given).diagonal is None


@pytest.mark.parametrize("kind", ["pie", ["lines"], None])
def test_an_unknown_kind_is_refused(kind):
    with pytest.raises(ContractError, match=r"expected a kind among lines, scatter, got .*run it again"):
        draw_figure(line_figure() | {"kind": kind})


def test_a_step_keeps_its_value_up_to_the_next_point():
    drawn = draw_figure(line_figure(([0.0, 1.0, 2.0], [0.0, 0.5, 0.5]), stepped=True))
    middle, half = (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2
    (curve,) = drawn.curves
    assert curve.path == f"M{LEFT:.1f} {BOTTOM:.1f}H{middle:.1f}V{half:.1f}H{RIGHT:.1f}"
    assert curve.dots == ()
    assert [text for _, text in drawn.y_ticks] == ["0\u00a0%", "25\u00a0%", "50\u00a0%", "75\u00a0%", "100\u00a0%"]
    assert drawn.description == "P against D. line 0: 0.0\u00a0% at 0 to 50.0\u00a0% at 2."


def test_a_long_step_curve_is_drawn_with_what_a_screen_can_tell_apart():
    n = 20000
    drawn = draw_figure(line_figure(([k / n for k in range(n)], [k / n for k in range(n)]), stepped=True))
    assert drawn.curves[0].path.count("V") <= 10 * (BOTTOM - TOP) + 1


def test_points_of_a_sweep_are_marked_at_their_place():
    drawn = draw_figure(line_figure(([20.0, 60.0, 100.0], [0.0, 5.0, 10.0])))
    middle, half = (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2
    assert drawn.curves[0].dots == ((LEFT, BOTTOM), (middle, half), (RIGHT, TOP))


def test_a_path_in_a_plane_has_one_unit_in_both_directions():
    drawn = draw_figure(line_figure(([0.0, 1.0, 0.0], [0.0, 1.0, 4.0])))
    (a, b), (c, d), _ = drawn.curves[0].dots
    assert c - a == pytest.approx(b - d, abs=0.11)


def test_doubling_parameters_have_a_logarithmic_axis_that_says_so():
    drawn = draw_figure(line_figure(([1.0, 10.0, 100.0], [0.1, 0.2, 0.3])))
    assert drawn.x_label == "D (logarithmic)"
    xs = [x for x, _ in drawn.curves[0].dots]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1])
    assert draw_figure(line_figure(([1.0, 60.0, 100.0], [0.1, 0.2, 0.3]))).x_label == "D"


def test_neighbours_differ_in_colour_and_dash_and_dashes_lie_over_solids():
    drawn = draw_figure(line_figure(*[([0.0, 1.0], [k, k]) for k in range(8)]))
    assert len({curve.colour for curve in drawn.curves}) == 8
    assert all(a.dash != b.dash for a, b in zip(drawn.curves, drawn.curves[1:], strict=False))
    assert [curve.dash for curve in drawn.drawn][:2] == ["", ""]


def test_a_line_without_points_is_named():
    drawn = draw_figure(line_figure(([], []), ([0.0, 1.0], [1.0, 2.0])))
    assert drawn.curves[0].path == ""
    assert "line 0: no points." in drawn.description
    assert draw_figure(line_figure()).curves == ()


@pytest.mark.parametrize("series", [([0.0], []), ([0.0], [float("nan")]), ([0.0], ["1"]), (None, [1.0])])
def test_a_line_that_is_no_list_of_points_is_refused(series):
    with pytest.raises(ContractError, match=r"figure 'T', line 'line 0'.*run it again"):
        draw_figure(line_figure(series))


def test_a_figure_without_a_field_is_refused():
    with pytest.raises(ContractError, match="got none of step, series"):
        draw_figure({"title": "", "caption": "", "x_label": "", "y_label": ""})


@pytest.mark.parametrize(
    ("top", "end"), [(5.8, 6.0), (0.53, 0.6), (1.0, 1.0), (12.89, 15.0), (0.3, 0.3), (230.0, 250.0)]
)
def test_an_axis_ends_at_a_round_number(top, end):
    assert rounded_up(top) == end


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_few_round_and_inside(low, span):
    axis = Axis(low, low + span, 0, 400)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 7
    assert all(-1e-3 <= at <= 400 + 1e-3 for at, _ in ticks)
    assert re.fullmatch(r"[125]e.*|[125]\.0+e.*", f"{tick_step(span):e}")
