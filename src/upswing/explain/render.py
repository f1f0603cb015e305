"""Pages for a terminal, as plain text, as Markdown and as JSON values."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from upswing.explain.flow import flow_rows
from upswing.explain.limits import filled
from upswing.explain.pages import Equation, Flow, Page, Part, group_of, summary, topics
from upswing.explain.source import labels
from upswing.explain.text import NAME, Paragraph

WIDTH = 100  # cells; longer lines are hard to read
DIM = "color(244)"  # a grey that is readable on black and on white
MARK = "bold yellow"

Numbers = Mapping[str, str]


def render(page: Page, numbers: Numbers | None = None) -> RenderableType:
    """`page` for a terminal; `numbers` are a run's own, shown last."""
    blocks: list[RenderableType] = [_head(page)]
    for part in page.parts:
        blocks.append(_block(part.heading, _FORMS[part.form](part, page)))
    if page.kind == "rules":
        blocks.append(Padding(Paragraph(_window(page.lang), DIM), (1, 0, 0, 2)))
    if numbers is not None:
        blocks.append(_block(labels(page.lang)["part"]["numbers"], _rows(tuple(numbers.items())), MARK))
    return Constrain(Group(*blocks), WIDTH)


def listing(lang: str) -> RenderableType:
    """Every topic with a line about it, by group, for a terminal."""
    said = labels(lang)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    last = None
    for topic in topics():
        if (group := group_of(topic)) != last:
            table.add_row(*([] if last is None else ["", ""]))
            table.add_row(Text(said["group"][group], "bold"), "")
            last = group
        table.add_row(Text("  " + topic, NAME), Paragraph(summary(topic, lang)))
    foot = Paragraph(said["text"]["more"] + (" " if lang == "en" else "") + said["text"]["read_run"], DIM)
    return Constrain(Group(table, Padding(foot, (1, 0, 0, 0))), WIDTH)


def plain(renderable: RenderableType, width: int = WIDTH) -> str:
    """What `render` or `listing` made, as text without colours."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False, highlight=False)
    console.print(renderable)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def markdown(page: Page, numbers: Numbers | None = None) -> str:
    """`page` as Markdown."""
    head = f"# `{page.topic}` {page.name + ' ' if page.name else ''}· {page.title}"
    blocks = [head, f"*{page.group}*"]
    blocks += [f"## {part.heading}\n\n{_markdown_body(part, page)}" for part in page.parts]
    if page.kind == "rules":
        blocks.append(f"*{_window(page.lang)}*")
    if numbers is not None:
        blocks.append(f"## {labels(page.lang)['part']['numbers']}\n\n{_markdown_table((), tuple(numbers.items()))}")
    return "\n\n".join(blocks) + "\n"


def as_json(page: Page, numbers: Numbers | None = None) -> dict[str, Any]:
    """`page` as JSON values: its parts by key, and a run's own numbers."""
    parts = {part.key: vars(part.body) if isinstance(part.body, Flow | Equation) else part.body for part in page.parts}
    about = {name: getattr(page, name) for name in ("topic", "kind", "lang", "name", "title", "summary", "group")}
    return about | {"parts": parts, "related": page.related, "numbers": None if numbers is None else dict(numbers)}


def _window(lang: str) -> str:
    return filled(labels(lang)["text"]["window"], lang)


def _head(page: Page) -> RenderableType:
    name = f" {page.name}" if page.name else ""
    left = Text.assemble((page.topic, f"bold {NAME}"), (name, "bold"), "  ", (page.title, "bold"))
    row = Table.grid(expand=True)
    row.add_column(ratio=1)
    row.add_column(justify="right", no_wrap=True)
    row.add_row(left, Text(page.group, DIM))
    return row


def _block(heading: str, body: RenderableType, style: str = "bold") -> RenderableType:
    return Group(Text(""), Text(heading, style), Padding(body, (0, 0, 0, 2)))


def _text(part: Part, page: Page) -> RenderableType:
    return Paragraph(part.body)


def _aside(part: Part, page: Page) -> RenderableType:
    return Paragraph(part.body, "italic" if page.lang == "en" else "")  # Chinese has no italics


def _equation(part: Part, page: Page) -> RenderableType:
    formula = Text(part.body.text, "green", no_wrap=True, overflow="fold")
    return Group(formula, Paragraph(part.body.where, DIM)) if part.body.where else formula


def _flow(part: Part, page: Page) -> RenderableType:
    picture = Text(no_wrap=True, overflow="crop")
    for row in flow_rows(part.body.stage, page.topic, labels(page.lang)["stage"]):
        picture.append(row.rail, DIM)
        picture.append(row.name + row.mark, MARK if row.mark else "")
        picture.append(row.says + "\n", "" if row.mark else DIM)
    return Group(picture, Paragraph(part.body.sentence))


def _facts(part: Part, page: Page) -> RenderableType:
    return _rows(part.body)


def _rows(rows: tuple[tuple[str, str], ...], style: str = DIM) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for label, value in rows:
        table.add_row(Text(label, style), Paragraph(value))
    return table


def _pairs(part: Part, page: Page) -> RenderableType:
    return _rows(part.body, NAME)


def _table(part: Part, page: Page) -> RenderableType:
    said = labels(page.lang)["text"]
    table = Table(box=SIMPLE_HEAD, header_style=DIM, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column(said["value"])
    table.add_column(said["effect"], ratio=1)
    for value, effect in part.body:
        table.add_row(Paragraph(value, "bold"), Paragraph(effect))
    return table


def _sides(part: Part, page: Page) -> RenderableType:
    said = labels(page.lang)["text"]
    table = Table(box=SIMPLE_HEAD, header_style=DIM, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("")
    table.add_column(Text(said["good"], "green"), ratio=1)
    table.add_column(Text(said["bad"], "red"), ratio=1)
    for side, good, bad in part.body:
        table.add_row(Paragraph(side, "bold"), Paragraph(good), Paragraph(bad))
    return table


def _list(part: Part, page: Page) -> RenderableType:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for number, item in enumerate(part.body, 1):
        table.add_row(Text(f"{number}.", DIM), Paragraph(item))
    return table


_FORMS: dict[str, Callable[[Part, Page], RenderableType]] = {
    "text": _text,
    "aside": _aside,
    "equation": _equation,
    "flow": _flow,
    "facts": _facts,
    "table": _table,
    "sides": _sides,
    "pairs": _pairs,
    "links": _pairs,
    "list": _list,
}


def _markdown_body(part: Part, page: Page) -> str:
    said = labels(page.lang)
    if part.form == "equation":
        where = f"\n\n{part.body.where}" if part.body.where else ""
        return f"```text\n{part.body.text}\n```{where}"
    if part.form == "flow":
        rows = flow_rows(part.body.stage, page.topic, said["stage"])
        return "```text\n" + "\n".join("".join(row) for row in rows) + f"\n```\n\n{part.body.sentence}"
    if part.form == "aside":
        return "\n>\n".join(f"> {paragraph}" for paragraph in part.body.split("\n\n"))
    if part.form == "list":
        return "\n".join(f"{number}. {item}" for number, item in enumerate(part.body, 1))
    if part.form == "table":
        return _markdown_table((said["text"]["value"], said["text"]["effect"]), part.body)
    if part.form == "sides":
        return _markdown_table(("", said["text"]["good"], said["text"]["bad"]), part.body)
    if part.form in ("pairs", "links"):
        return "\n".join(f"- `{name}`: {text}" for name, text in part.body)
    if part.form == "facts":
        return "\n".join(f"- {name}: {text}" for name, text in part.body)
    return part.body


def _markdown_table(head: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> str:
    head = head or ("",) * len(rows[0]) if rows else head
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
