"""Small charts as SVG text: a curve over environment steps, a threshold, and the mark where something began."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

import numpy as np

from upswing.view.numbers import tick
from upswing.view.plot import nice_step

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 150, 58, 22, 8
MOST_POINTS = 400


def chart(
    x: np.ndarray,
    y: np.ndarray,
    *,
    limit: float | None = None,
    onset: float | None = None,
    points: Sequence[tuple[float, float]] = (),
    label: str = "",
) -> str:
    """`y` over `x` [U] as an SVG element, with a dashed line at `limit`, a mark at step `onset`, and dots at `points`."""
    x, y = thinned(x, y)
    if not len(x):
        return ""
    values = [*y.tolist(), *(value for _, value in points)]
    low, high = _range(values, limit)
    right = max(float(x[-1]), max((step for step, _ in points), default=0.0)) or 1.0

    def across(step: float) -> float:
        return LEFT + (WIDTH - LEFT - 8) * step / right

    def up(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    parts = [_axes(low, high, right, across, up)]
    if limit is not None and low <= limit <= high:
        parts.append(f'<line class="limit" x1="{LEFT}" x2="{WIDTH - 8}" y1="{up(limit):.1f}" y2="{up(limit):.1f}"/>')
    line = " ".join(f"{across(a):.1f},{up(b):.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    parts.append(f'<polyline class="line" points="{line}"/>')
    if onset is not None:
        at = across(min(onset, right))
        parts.append(
            f'<rect class="since" x="{at:.1f}" y="{TOP}" width="{WIDTH - 8 - at:.1f}" height="{HEIGHT - TOP - BOTTOM}"/>'
        )
        parts.append(f'<line class="onset" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    parts += [
        f'<circle class="dot" cx="{across(a):.1f}" cy="{up(b):.1f}" r="3"/>' for a, b in points if math.isfinite(b)
    ]
    title = f"<title>{escape(label)}</title>" if label else ""
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{title}{"".join(parts)}</svg>'


def thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most MOST_POINTS of the finite points: of each stretch its lowest and its highest, so that spikes stay."""
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    if len(x) <= MOST_POINTS:
        return x, y
    edges = np.linspace(0, len(x), MOST_POINTS // 2 + 1).astype(int)
    picked = sorted({int(a + f(y[a:b])) for a, b in pairwise(edges) for f in (np.argmin, np.argmax)})
    return x[picked], y[picked]


def _range(values: Sequence[float], limit: float | None) -> tuple[float, float]:
    """The range to show: the values without the wildest 1 %, and the limit where it is not far away."""
    low, high = np.quantile(values, [0.005, 0.995])
    if limit is not None and low - 2 * (high - low) <= limit <= high + 2 * (high - low):
        low, high = min(low, limit), max(high, limit)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5 * max(1e-9, abs(low)), high + 0.5 * max(1e-9, abs(high))
    room = 0.06 * (high - low)
    return float(low - room), float(high + room)


def _axes(low: float, high: float, right: float, across, up) -> str:
    """Round numbers up the side and five along the bottom."""
    parts = []
    step = nice_step((high - low) / 4)
    first, last = math.ceil(low / step), math.floor(high / step)
    for value in (k * step for k in range(first, last + 1)):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - 8}" y1="{up(value):.1f}" y2="{up(value):.1f}"/>')
        label = f"{value:.0e}" if 0 < step < 1e-5 else tick(value, step)
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{up(value) + 3.5:.1f}" text-anchor="end">{label}</text>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = share * right
        anchor = "end" if share == 1.0 else "middle"
        text = tick(at, max(right / 4, 1e-9)) if at else "0"
        parts.append(f'<text class="tick" x="{across(at):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{text}</text>')
    return "".join(parts)
