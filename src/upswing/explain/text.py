"""Lines of mixed English and Chinese: broken where both languages allow it, with names of settings and metrics lit up.

Rich breaks lines at spaces only, which leaves Chinese, written without them, ragged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from upswing.explain.pages import topics

NAME = "cyan"  # how names of settings, metrics and rules look

_WIDE = r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\u3000-\u303f]"
_NOT_FIRST = "，。；：、！？）》」』”’％,.;:!?)]}%"  # signs that may not begin a line
_NOT_LAST = "（《「『“‘([{"  # signs that may not end one
_PIECE = re.compile(rf"`[^`]*`|{_WIDE}|[ ]+|(?:(?!{_WIDE})[^ `])+")


@dataclass(frozen=True)
class Paragraph:
    """A text that rich breaks as `wrap` does. Texts between backticks, and known names, look like names."""

    text: str
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for at, paragraph in enumerate(self.text.split("\n\n")):
            if at:
                yield Text("")
            for line in wrap(paragraph, options.max_width):
                yield lit(line, self.style)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        pieces = [cell_len(piece) for piece in _units(self.text)]
        longest = max((cell_len(bare(line)) for line in self.text.split("\n")), default=0)
        smallest = min(max(pieces, default=0), options.max_width)
        return Measurement(smallest, min(longest, options.max_width))


def wrap(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` cells, backticks not counted. Names between backticks stay whole if they fit."""
    lines, line, used = [], "", 0
    for unit in (piece for whole in _units(text) for piece in _fitting(whole, width)):
        size = cell_len(bare(unit.rstrip()))
        if line and used + size > width:
            lines.append(line.rstrip())
            line, used = "", 0
            unit = unit.lstrip()
        line, used = line + unit, used + size + len(unit) - len(unit.rstrip())
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def lit(line: str, style: str = "") -> Text:
    """`line` as rich text, with known names and texts between backticks as names, and without the backticks."""
    result = Text(style=style, no_wrap=True, overflow="crop")
    for at, piece in enumerate(line.split("`")):
        start = len(result)
        result.append(piece, NAME if at % 2 else "")
        if at % 2 == 0:
            for found in _known().finditer(piece):
                result.stylize(NAME, start + found.start(), start + found.end())
    return result


def bare(text: str) -> str:
    """`text` without backticks."""
    return text.replace("`", "")


def _units(text: str) -> Iterator[str]:
    """The pieces of `text` between which a line may be broken; spaces belong to the piece before them."""
    unit = ""
    for piece in _PIECE.findall(text.replace("\n", " ")):
        glued = piece[0] in _NOT_FIRST or piece.isspace() or (unit and unit[-1] in _NOT_LAST)
        if unit and not glued and _may_break(unit[-1], piece[0]):
            yield unit
            unit = ""
        unit += piece
    if unit:
        yield unit


def _fitting(unit: str, width: int) -> Iterator[str]:
    """`unit`, or where it is wider than `width` the words in it, or where a word is, as much of it as fits."""
    if cell_len(bare(unit.rstrip())) <= width:
        yield unit
        return
    named = False
    for word in re.findall(r"\S+\s*", unit):
        opened, named = named, named ^ (word.count("`") % 2 == 1)
        for piece in chop_cells(bare(word), width):
            yield f"`{piece.rstrip()}`{' ' if piece[-1] == ' ' else ''}" if opened or named else piece


def _may_break(before: str, after: str) -> bool:
    """Whether a line may end between two signs: after a space, and beside a Chinese sign."""
    return before == " " or bool(re.match(_WIDE, before)) or bool(re.match(_WIDE, after))


@cache
def _known() -> re.Pattern[str]:
    """Finds the names of topics that are not also ordinary words: those with _ or / in them, and rules' codes."""
    names = {
        name for topic in topics() for name in (topic, topic.rpartition("/")[2]) if re.search(r"[_/]|^[A-Z]\d\d$", name)
    }
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return re.compile(rf"(?<![\w/])(?:{'|'.join(map(re.escape, longest_first))})(?![\w/])")
