"""Pictures of a terminal: every character in its cell, whatever it is."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from rich.color import Color
from rich.panel import Panel
from rich.text import Text
from scripts.terminal import CELL_WIDTH, MARGIN, THEME, picture

SVG = "{http://www.w3.org/2000/svg}"


def shapes(printed, width=20, title="a terminal"):
    """The shapes of the lines in the picture of `printed`, without the window around them."""
    root = ElementTree.fromstring(picture(printed, width, title))
    return list(root.findall(f"{SVG}g")[1])[1:]


def cells(text):
    """Where the characters of a text element stand, in cells."""
    return [(float(x) - MARGIN) / CELL_WIDTH for x in text.get("x").split()]


def test_a_chinese_character_stands_in_the_middle_of_two_cells():
    (text,) = shapes(Text("a回b"))
    assert text.text == "a回b"
    assert cells(text) == pytest.approx([0.5, 2.0, 3.5], abs=0.02)


def test_spaces_take_a_cell_and_draw_nothing():
    (text,) = shapes(Text("a  b"))
    assert text.text == "ab"
    assert cells(text) == pytest.approx([0.5, 3.5], abs=0.02)


def test_braille_becomes_dots_and_blocks_become_rectangles():
    (group,) = shapes(Text("\u2847"))  # the four dots on the left
    assert [shape.tag for shape in group] == [f"{SVG}circle"] * 4
    assert len({shape.get("cx") for shape in group}) == 1
    low, high = (float(next(iter(each)).get("height")) for each in shapes(Text("▁█")))
    assert high == pytest.approx(8 * low, abs=0.5)


def test_styles_are_colours_and_weight():
    red, plain = shapes(Text.assemble(("a", "bold red"), "b"))
    assert red.get("fill") == Color.from_rgb(*THEME.ansi_colors[1]).get_truecolor().hex
    assert red.get("font-weight") == "bold" and plain.get("font-weight") is None


def test_frames_have_no_gaps():
    strokes = [shape for group in shapes(Panel("x"), width=8) for shape in group if shape.tag == f"{SVG}rect"]
    boxes = [[float(each.get(name)) for name in ("x", "y", "width", "height")] for each in strokes]
    top = sorted((x, x + width) for x, y, width, height in boxes if height == 1 and y == min(b[1] for b in boxes))
    assert all(following[0] <= end + 0.11 for (_, end), following in pairwise(top))
    assert top[-1][1] - top[0][0] == pytest.approx(7 * CELL_WIDTH, abs=1.1), "from the middle of a corner to the other"


def test_markup_is_escaped_and_blank_lines_at_the_end_are_cut():
    source = picture(Text("<&>\n\n\n"), 20, '"quoted" <title>')
    root = ElementTree.fromstring(source)
    assert root.get("aria-label") == '"quoted" <title>'
    assert next(text.text for text in root.iter(f"{SVG}text") if "&" in text.text) == "<&>"
    assert root.get("viewBox") == ElementTree.fromstring(picture(Text("x"), 20, "")).get("viewBox")
