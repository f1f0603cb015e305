"""What rich prints as an SVG picture of a terminal that looks the same in every viewer.

Each character is centred in its own cell, and blocks, bars and Braille dots are drawn as shapes: nothing depends on
which font a viewer has, or on how wide it takes a Chinese character to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme

CELL_WIDTH, LINE_HEIGHT, FONT_SIZE = 8.4, 19.0, 14.0  # pixels
MARGIN, TITLE_HEIGHT = 16.0, 34.0
_STROKES = {"│": "up down", "─": "left right", "┤": "up down left", "┴": "left right up"}
_STROKES |= {"╭": "down right", "╮": "down left", "╰": "up right", "╯": "up left"}
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Noto Sans Mono CJK SC', monospace"
INK, PAPER, FRAME = "#d6dae1", "#14181f", "#2b313c"
_NORMAL = [(58, 64, 75), (248, 113, 113), (74, 222, 128), (250, 204, 21), (96, 165, 250), (217, 130, 240)]
_NORMAL += [(45, 212, 218), (214, 218, 225)]
THEME = TerminalTheme((20, 24, 31), (214, 218, 225), _NORMAL, _NORMAL)
_BRAILLE_DOTS = (
    (0, 0, 0x01),
    (0, 1, 0x02),
    (0, 2, 0x04),
    (1, 0, 0x08),
    (1, 1, 0x10),
    (1, 2, 0x20),
    (0, 3, 0x40),
    (1, 3, 0x80),
)


def picture(printed: RenderableType, width: int, title: str) -> str:
    """An SVG document: what rich prints for `printed`, in a window of `width` cells that is called `title`."""
    console = Console(width=width, color_system="truecolor", force_terminal=True, legacy_windows=False)
    rows = console.render_lines(printed, pad=False)
    while rows and not "".join(segment.text for segment in rows[-1]).strip():
        rows.pop()
    columns = width * CELL_WIDTH
    wide, high = columns + 2 * MARGIN, len(rows) * LINE_HEIGHT + TITLE_HEIGHT + MARGIN
    body = "\n".join(shape for i, row in enumerate(rows) for shape in _row(row, TITLE_HEIGHT + i * LINE_HEIGHT))
    buttons = "".join(f'<circle cx="{MARGIN + 4 + 18 * i:g}" cy="17" r="5"/>' for i in range(3))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}" role="img" '
        f'aria-label="{escape(title)}">\n'
        f'<rect width="{wide:g}" height="{high:g}" rx="9" fill="{PAPER}"/>\n'
        f'<g fill="{FRAME}">{buttons}</g>\n'
        f'<g font-family="{FONTS}" font-size="{FONT_SIZE:g}" text-anchor="middle" xml:space="preserve">\n'
        f'<text x="{wide / 2:g}" y="21.5" fill="#8b93a1" font-size="13">{escape(title)}</text>\n'
        f"{body}\n</g>\n</svg>\n"
    )


def _row(segments: Sequence[Segment], top: float) -> Iterator[str]:
    """The shapes of one line, each run of one style together."""
    column = 0
    for segment in segments:
        colour, weight = _look(segment.style or Style.null())
        letters: list[tuple[float, str]] = []
        for char in segment.text:
            x, cells = MARGIN + column * CELL_WIDTH, cell_len(char)
            column += cells
            shape = _drawn(char, x, top)
            if shape is not None:
                yield f'<g fill="{colour}">{shape}</g>'
            elif not char.isspace():
                letters.append((x + cells * CELL_WIDTH / 2, char))
        if letters:
            at = " ".join(f"{x:.1f}" for x, _ in letters)
            text = escape("".join(char for _, char in letters))
            yield f'<text x="{at}" y="{top + 14:g}" fill="{colour}"{weight}>{text}</text>'


def _look(style: Style) -> tuple[str, str]:
    """Colour and weight."""
    colour = style.color.get_truecolor(THEME).hex if style.color and not style.color.is_default else INK
    return colour, ' font-weight="bold"' if style.bold else ""


def _drawn(char: str, x: float, top: float) -> str | None:
    """The SVG shapes of a character that is drawn rather than written; None for the others."""
    code = ord(char)
    if 0x2581 <= code <= 0x2588:
        height = (code - 0x2580) / 8 * (LINE_HEIGHT - 4)
        return _rect(x, top + LINE_HEIGHT - 2 - height, CELL_WIDTH, height)
    if char == "━":
        return _rect(x, top + LINE_HEIGHT / 2 - 1.5, CELL_WIDTH, 3)
    if char == "●":
        return f'<circle cx="{x + CELL_WIDTH / 2:.1f}" cy="{top + LINE_HEIGHT / 2:.1f}" r="3.4"/>'
    if 0x2800 <= code <= 0x28FF:
        across, down = CELL_WIDTH / 2, LINE_HEIGHT / 4
        return "".join(
            f'<circle cx="{x + (i + 0.5) * across:.1f}" cy="{top + (j + 0.5) * down:.1f}" r="1.35"/>'
            for i, j, bit in _BRAILLE_DOTS
            if (code - 0x2800) & bit
        )
    if char in _STROKES:
        return _strokes(_STROKES[char], x, top)
    return None


def _strokes(towards: str, x: float, top: float) -> str:
    """Lines from the middle of a cell to its edges, so that axes and frames have no gaps."""
    middle_x, middle_y = x + CELL_WIDTH / 2 - 0.5, top + LINE_HEIGHT / 2 - 0.5
    ends = {
        "up": (middle_x, top, 1, LINE_HEIGHT / 2 + 0.5),
        "down": (middle_x, middle_y, 1, LINE_HEIGHT / 2 + 0.5),
        "left": (x, middle_y, CELL_WIDTH / 2 + 0.5, 1),
        "right": (middle_x, middle_y, CELL_WIDTH / 2 + 0.5, 1),
    }
    return "".join(_rect(*ends[side]) for side in towards.split())


def _rect(x: float, y: float, width: float, height: float) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
