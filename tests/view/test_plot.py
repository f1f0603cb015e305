import math
from itertools import pairwise

import pytest

from upswing.view.plot import chart, nice_range, nice_step, sparkline
from upswing.view.series import Series


def drawn(line, marks=(), x_max=100.0, width=40, height=10):
    return [text.plain for text in chart(line, marks, x_max, width, height)]


def dots(rows):
    """The columns and rows, from the top, at which anything is drawn."""
    return [(x, y) for y, row in enumerate(rows[:-2]) for x, c in enumerate(row) if 0x2800 < ord(c) <= 0x28FF]


def test_a_rising_line_goes_from_the_lower_left_to_the_upper_right():
    cells = dots(drawn([(x, x) for x in range(101)]))
    assert min(cells)[1] == 7  # the leftmost dot is in the lowest of 8 rows
    assert max(cells)[1] == 0
    heights = [min(y for x, y in cells if x == column) for column in sorted({x for x, _ in cells})]
    assert heights == sorted(heights, reverse=True)


def test_neighbours_are_joined():
    columns = {x for x, _ in dots(drawn([(0, 0), (100, 1)]))}
    assert columns == set(range(min(columns), max(columns) + 1))


def test_the_axis_spans_the_whole_training_and_the_curve_only_what_is_done():
    rows = drawn([(0, 0), (50, 1)])
    assert rows[-1].split()[0] == "0"
    assert rows[-1].split()[-1] == "100"
    columns = [x for x, _ in dots(rows)]
    assert max(columns) < 0.6 * 40


def test_marks_lie_over_the_line():
    assert sum(row.count("●") for row in drawn([(0, 0), (100, 1)], [(50, 0.5), (100, 1)])) == 2


@pytest.mark.parametrize(
    "values", [[], [3.0], [5.0, 5.0, 5.0], [0.0, 0.0], [-1e-12, 1e-12], [1e9, -1e9], [math.nan, 2.0]]
)
def test_any_values_can_be_drawn(values):
    rows = drawn(list(enumerate(values)))
    assert len(rows) == 10
    assert max(len(row) for row in rows) <= 40


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1200.0, -150.0), (9.1, 499.9), (1e-5, 3e-5)])
def test_a_range_holds_its_values_tightly(low, high):
    a, b, step = nice_range(low, high, 4)
    rounding = 1e-9 * (high - low)
    assert a <= low + rounding
    assert high <= b + rounding
    assert b - a <= (high - low) + 0.41 * step


def test_a_step_is_1_2_or_5():
    assert [nice_step(x) for x in (0.9, 1.0, 1.1, 2.1, 5.1)] == [1, 1, 2, 5, 10]


def test_a_sparkline_shows_the_shape():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([5, 5], 8) == "▄▄"
    assert sparkline([], 8) == ""
    assert len(sparkline(list(range(1000)), 12)) == 12
    assert sparkline([1, math.nan, 2], 8) == "▁█"


def test_a_series_stays_small_and_keeps_its_mean_and_its_end():
    series = Series(limit=64)
    for i in range(10_000):
        series.add(i, 2.0 * i)
    assert 32 <= len(series) <= 65
    xs = [x for x, _ in series.all()]
    assert xs == sorted(xs)
    assert series.all()[-1][0] > 9_800
    gaps = [b - a for a, b in pairwise(xs[:-1])]
    assert max(gaps) <= 2.1 * min(gaps)  # early and late stretches are kept alike
    assert all(y == pytest.approx(2 * x) for x, y in series.all())
    assert series.last == 19_998


def test_a_short_series_is_exact():
    series = Series(limit=64)
    for i in range(10):
        series.add(i, i * i)
    assert series.all() == [(i, i * i) for i in range(10)]
