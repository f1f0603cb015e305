"""Numbers, durations and counts as short texts that keep their width while they change."""

from __future__ import annotations

import math

UNKNOWN = "–"


def number(value: float | None) -> str:
    """`value` in at most about seven characters: 500.0, −0.0123, 2.5e−07, 1.25M; a dash where there is none."""
    if value is None or math.isnan(value):
        return UNKNOWN
    size = abs(value)
    if math.isinf(size):
        return "∞" if value > 0 else "−∞"
    if size >= 1e9:
        text = f"{value:.2e}"
    elif size >= 1e6:
        text = f"{value / 1e6:.2f}M"
    elif size >= 1e3:
        text = f"{value:,.0f}"
    elif size >= 100:
        text = f"{value:.1f}"
    elif size >= 1:
        text = f"{value:.2f}"
    elif size >= 1e-3 or size == 0:
        text = f"{value:.4f}" if size else "0"
    else:
        text = f"{value:.1e}"
    return text.replace("-", "−")


def tick(value: float, step: float) -> str:
    """`value` as an axis label, where ticks are `step` apart: 500, 0.25, 40k, 1.5M."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * unit or (abs(value) >= unit and (unit > 1e3 or step % unit == 0)):
            return _plain(value / unit, step / unit) + letter
    return _plain(value, step)


def _plain(value: float, step: float) -> str:
    decimals = max(0, min(6, -math.floor(math.log10(step) + 1e-9))) if step > 0 else 0
    text = f"{value:.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return ("0" if text == "-0" else text).replace("-", "−")


def count(value: float) -> str:
    """A whole number with thousands separated: 1,024,000."""
    return f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Steps per second: whole above ten, with one decimal below."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return count(value) if value >= 10 else f"{value:.1f}"


def percent(share: float) -> str:
    """A share as whole per cents."""
    return f"{100 * share:.0f} %"


def duration(seconds: float | None) -> str:
    """A duration with its two largest units: 0.8 s, 42 s, 3 min 05 s, 2 h 07 min, 3 d 4 h."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
