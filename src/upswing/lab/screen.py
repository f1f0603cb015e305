"""A comparison in a terminal: what matters first, then the table, what differs, why, and what the losses say."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from upswing.doctor.texts import fill
from upswing.lab.compare import Comparison
from upswing.lab.texts import comparison_texts
from upswing.lab.verdict import FAILED, SUSPECTED
from upswing.lab.worded import Said, difference_texts, losses, measure_name, notes, row_texts, summary, why
from upswing.view.numbers import number

SOFT, GOOD, BAD = "color(244)", "green", "red"
WIDEST = 118


def print_comparison(comparison: Comparison, console: Console, lang: str) -> None:
    """Print `comparison`."""
    console.print(screen(comparison, lang), width=min(console.width, WIDEST))


def screen(comparison: Comparison, lang: str) -> Group:
    """Everything to print."""
    words, gathered = comparison_texts(lang), comparison.gathered
    title = Text(f"{words['title']} · {gathered.env or ''}", style="bold")
    parts: list[RenderableType] = ["", title, ""]
    parts += [_sentence(said) for said in summary(comparison, lang)]
    parts += ["", _results(comparison, lang), "", _costs(comparison, lang)]
    if comparison.differences:
        parts += ["", _heading(words["differences"]), _differences(comparison, lang)]
    for label, sentences in why(comparison, lang):
        heading = f"{words['why']}: {label} {fill(words['against'], {'reference': gathered.reference})}"
        parts += ["", _heading(heading), *(_sentence(said) for said in sentences)]
    for heading, lines in ((words["losses"], losses(comparison, lang)), (words["notes"], notes(comparison, lang))):
        if lines:
            parts += ["", _heading(heading), *(_sentence(Said(line)) for line in lines)]
    return Group(*parts, "")


def _heading(text: str) -> RenderableType:
    return Rule(Text(text, style="bold"), align="left", style=SOFT)


def _sentence(said: Said) -> RenderableType:
    text = Padding(Text(said.text), (0, 0, 0, 1))
    if said.command is None:
        return text
    return Group(text, Padding(Text(said.command, style="cyan"), (0, 0, 0, 5)))


def _table() -> Table:
    return Table(box=None, header_style=SOFT, padding=(0, 1), pad_edge=True)


def _results(comparison: Comparison, lang: str) -> Table:
    """The settings with their scores and what may be claimed, a row each."""
    words, several = comparison_texts(lang), len(comparison.rows) > 1
    table = _table()
    table.add_column(words["setting"], style="bold", no_wrap=True)
    table.add_column(words["seeds"], justify="right")
    table.add_column(measure_name(comparison, words), justify="right", no_wrap=True)
    if several:
        table.add_column(words["verdict"])
        table.add_column(fill(words["against"], {"reference": comparison.gathered.reference}))
    for row in comparison.rows:
        cells = row_texts(comparison, row, lang)
        more: tuple[RenderableType, ...] = ()
        if several:
            p = f" (p {cells['p']})" if cells["p"] else ""
            more = Text(cells["verdict"], style=_style(row.verdict.state)), cells["claim"] + p
        table.add_row(cells["label"], cells["n"], cells["final"], *more)
    return table


def _costs(comparison: Comparison, lang: str) -> Table:
    """What each setting took, a row each."""
    words, table = comparison_texts(lang), _table()
    goal = {"threshold": number(comparison.threshold)}
    table.add_column(words["setting"], style="bold", no_wrap=True)
    names = (words["height"], fill(words["steps_to"], goal), fill(words["seconds_to"], goal), words["wall"])
    for name in (*names, words["speed"]):
        table.add_column(name, justify="right")
    for row in comparison.rows:
        cells = row_texts(comparison, row, lang)
        table.add_row(*(cells[key] for key in ("label", "height", "steps_to", "seconds_to", "wall", "speed")))
    return table


def _style(state: str) -> str:
    styles: Mapping[str, str] = {FAILED: f"bold {BAD}", SUSPECTED: "yellow"}
    return styles.get(state, GOOD)


def _differences(comparison: Comparison, lang: str) -> Table:
    """What is not the same in all settings, a column each."""
    words, table = comparison_texts(lang), _table()
    table.add_column("")
    for row in comparison.rows:
        table.add_column(row.label, justify="right")
    table.add_column("")
    for each in comparison.differences:
        name, values = difference_texts(each, lang)
        table.add_row(name, *values, Text(words["follows"] if each.derived else "", style=SOFT))
    return table
