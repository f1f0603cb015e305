"""Showing a training while it runs: a live picture in a terminal, plain lines elsewhere. Reads records, never torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console

from upswing.view.live import LiveView
from upswing.view.plain import PlainView, QuietView, SilentView

View = LiveView | PlainView

SMALLEST = (60, 18)  # columns and rows that the live view needs

__all__ = ["LiveView", "PlainView", "QuietView", "SilentView", "View", "make_view"]


def make_view(env: str, notices: Sequence[str], stream: TextIO, lang: str, plain: bool = False) -> View:
    """The view that suits `stream`: live in a terminal that is large enough and can move its cursor, else plain."""
    console = Console(file=stream, highlight=False)
    able = console.is_terminal and not console.is_dumb_terminal and console.encoding.startswith("utf")
    large = console.width >= SMALLEST[0] and console.height >= SMALLEST[1]
    if able and large and not plain:
        return LiveView(env, notices, lang, console)
    return PlainView(env, notices, lang, stream)
