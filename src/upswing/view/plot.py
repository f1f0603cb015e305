"""Curves drawn with characters: a chart in Braille dots, and sparklines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from rich.text import Text

from upswing.view.numbers import tick

Point = tuple[float, float]

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # [row][column] of a Braille cell
_BLOCKS = "▁▂▃▄▅▆▇█"

LINE, MARK, AXIS = "bold cyan", "color(172)", "color(244)"


def chart(line: Sequence[Point], marks: Sequence[Point], x_max: float, width: int, height: int) -> list[Text]:
    """A chart of `height` rows and `width` cells: `line` in dots, `marks` as points, axes with numbers.

    The horizontal axis always spans 0 to `x_max`, so that the curve grows with the progress.
    """
    values = [y for _, y in (*line, *marks) if math.isfinite(y)]
    low, high, step = nice_range(min(values, default=0.0), max(values, default=1.0), max(2, (height - 2) // 2 - 1))
    labels = _y_labels(low, high, step, height - 2)
    gutter = max((len(label) for label in labels.values()), default=0)
    columns = width - gutter - 2
    cells = _dots(line, x_max, low, high, columns, height - 2)
    points = _cells(marks, x_max, low, high, columns, height - 2)
    rows = []
    for row in range(height - 2):
        text = Text(f"{labels.get(row, ''):>{gutter}} {'┤' if row in labels else '│'}", style=AXIS, no_wrap=True)
        for style, part in _runs(row, columns, cells, points):
            text.append(part, style)
        rows.append(text)
    return [*rows, *_x_axis(x_max, gutter, columns)]


def nice_range(low: float, high: float, n_ticks: int) -> tuple[float, float, float]:
    """A range that holds [low, high] tightly and moves in leaps, and the distance of its ticks, a round number."""
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5 * max(1.0, abs(low) * 0.1), high + 0.5 * max(1.0, abs(high) * 0.1)
    step = nice_step((high - low) / n_ticks)
    leap = step / 5
    return math.floor(low / leap + 1e-9) * leap, math.ceil(high / leap - 1e-9) * leap, step


def nice_step(rough: float) -> float:
    """The smallest of 1, 2, 5 × 10^k that is at least `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def sparkline(values: Sequence[float], width: int) -> str:
    """The last trend of `values` as at most `width` blocks, from their own lowest to their own highest."""
    shown = _resample([value for value in values if math.isfinite(value)], width)
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    if high - low <= 1e-12 * max(1.0, abs(high)):
        return _BLOCKS[3] * len(shown)
    return "".join(_BLOCKS[min(7, int(8 * (value - low) / (high - low)))] for value in shown)


def _resample(values: Sequence[float], width: int) -> list[float]:
    """`values`, or their means over `width` equal stretches when there are more."""
    if len(values) <= width:
        return list(values)
    edges = [len(values) * i // width for i in range(width + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]


def _y_labels(low: float, high: float, step: float, rows: int) -> dict[int, str]:
    """Labels of the round numbers between `low` and `high`, by row, 0 being the top."""
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return {_scaled(high - i * step, high - low, rows): tick(i * step, step) for i in range(first, last + 1)}


def _dots(line: Sequence[Point], x_max: float, low: float, high: float, columns: int, rows: int) -> dict:
    """Braille dot masks by (row, column), neighbours of the line joined."""
    cells: dict[tuple[int, int], int] = {}
    previous: tuple[int, int] | None = None
    for x, y in line:
        if not math.isfinite(y):
            previous = None
            continue
        at = _scaled(x, x_max, 2 * columns), _scaled(high - y, high - low, 4 * rows)
        for column, row in _between(previous or at, at):
            key = row // 4, column // 2
            cells[key] = cells.get(key, 0) | _DOTS[row % 4][column % 2]
        previous = at
    return cells


def _cells(marks: Sequence[Point], x_max: float, low: float, high: float, columns: int, rows: int) -> set:
    return {(_scaled(high - y, high - low, rows), _scaled(x, x_max, columns)) for x, y in marks if math.isfinite(y)}


def _scaled(value: float, span: float, cells: int) -> int:
    """The cell among `cells` in which `value` of [0, span] falls."""
    return max(0, min(cells - 1, round(value / span * (cells - 1)))) if span > 0 else 0


def _between(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """The cells of a straight line from `start` to `end`, both included."""
    n = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    if n == 0:
        return [end]
    return [
        (round(start[0] + (end[0] - start[0]) * i / n), round(start[1] + (end[1] - start[1]) * i / n))
        for i in range(n + 1)
    ]


def _runs(row: int, columns: int, cells: dict, points: set) -> list[tuple[str, str]]:
    """The row's characters, those of one style joined."""
    runs: list[tuple[str, str]] = []
    for column in range(columns):
        if (row, column) in points:
            style, char = MARK, "●"
        elif (row, column) in cells:
            style, char = LINE, chr(0x2800 + cells[row, column])
        else:
            style, char = "", " "
        if runs and runs[-1][0] == style:
            runs[-1] = style, runs[-1][1] + char
        else:
            runs.append((style, char))
    return runs


def _x_axis(x_max: float, gutter: int, columns: int) -> list[Text]:
    """The horizontal axis and its numbers."""
    step = nice_step(x_max / max(2, columns // 14))
    rule, labels = ["─"] * columns, [" "] * (columns + gutter + 2)
    value = 0.0
    while value <= x_max * (1 + 1e-9):
        at = _scaled(value, x_max, columns)
        label = tick(value, step)
        start = min(gutter + 2 + max(0, at - len(label) // 2), len(labels) - len(label))
        if all(char == " " for char in labels[max(0, start - 1) : start + len(label) + 1]):
            labels[start : start + len(label)] = list(label)
            rule[at] = "┴"
        value += step
    line = Text(" " * gutter + " ╰" + "".join(rule), style=AXIS, no_wrap=True)
    return [line, Text("".join(labels).rstrip(), style=AXIS, no_wrap=True)]


def lines_chart(lines: Sequence[tuple[str, Sequence[Point]]], x_max: float, width: int, height: int) -> list[Text]:
    """A chart of `height` rows and `width` cells with several lines, each (style, points); the last is in front."""
    values = [y for _, line in lines for _, y in line if math.isfinite(y)]
    low, high, step = nice_range(min(values, default=0.0), max(values, default=1.0), max(2, (height - 2) // 2 - 1))
    labels = _y_labels(low, high, step, height - 2)
    gutter = max((len(label) for label in labels.values()), default=0)
    columns = width - gutter - 2
    layers = [(style, _dots(line, x_max, low, high, columns, height - 2)) for style, line in lines]
    rows = []
    for row in range(height - 2):
        text = Text(f"{labels.get(row, ''):>{gutter}} {'┤' if row in labels else '│'}", style=AXIS, no_wrap=True)
        for column in range(columns):
            style = next((style for style, cells in reversed(layers) if (row, column) in cells), "")
            mask = 0
            for _, cells in layers:
                mask |= cells.get((row, column), 0)
            text.append(chr(0x2800 + mask) if mask else " ", style)
        rows.append(text)
    return [*rows, *_x_axis(x_max, gutter, columns)]
