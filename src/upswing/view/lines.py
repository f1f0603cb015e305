"""Lines of styled text, side by side or one below the other: the little that the views need of layout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.text import Text

DIM, STRONG, ACCENT = "color(244)", "bold", "bold cyan"  # a grey that is readable on black and on white
GOOD, ODD = "green", "color(172)"
QUIET = "color(66)"
TRACK = "color(240)"


def line(*parts: str | tuple[str, str]) -> Text:
    """One line made of texts, or pairs of a text and its style."""
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def spread(left: Text, right: Text, width: int) -> Text:
    """`left` and `right` at the two ends of a line of `width`; `right` is left out where there is no room."""
    gap = width - left.cell_len - right.cell_len
    return Text.assemble(left, " " * gap, right, no_wrap=True) if gap >= 2 else fitted(left, width)


def fitted(text: Text, width: int) -> Text:
    """`text` with at most `width` cells, an ellipsis at its end where it was cut."""
    if text.cell_len > width:
        text = text.copy()
        text.truncate(width, overflow="ellipsis")
    return text


def beside(left: Sequence[Text], right: Sequence[Text], width: int, gap: int = 3) -> list[Text]:
    """Two blocks of lines next to each other; `width` is the left one's."""
    rows = []
    for a, b in zip_longest(left, right, fillvalue=Text("")):
        a = fitted(a, width)
        rows.append(Text.assemble(a, " " * (width - a.cell_len + gap), b, no_wrap=True))
    return rows


def padded(text: str, width: int, right: bool = False) -> str:
    """`text` filled with spaces to `width` cells (a Chinese character takes two), or cut with an ellipsis."""
    size = cell_len(text)
    if size > width:
        while cell_len(text) > width - 1:
            text = text[:-1]
        text += "…"
        size = cell_len(text)
    fill = " " * (width - size)
    return fill + text if right else text + fill


def joined(parts: Iterable[str], separator: str = " · ") -> str:
    """The parts that are not empty, with a separator between them."""
    return separator.join(part for part in parts if part)


def bar(shares: Sequence[tuple[float, str]], width: int) -> list[tuple[str, str]]:
    """Parts of a line: `shares` of `width` cells, each in its style; they add up to at most 1."""
    parts, filled, total = [], 0, 0.0
    for share, style in shares:
        total += share
        upto = min(width, round(total * width))
        parts.append(("━" * (upto - filled), style))
        filled = upto
    return [*parts, ("━" * (width - filled), TRACK)]
