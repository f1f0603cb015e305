"""A diagnosis in a terminal: the gravest card whole, the others as far as the screen has room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.box import ROUNDED
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from upswing.doctor.diagnose import Diagnosis
from upswing.doctor.findings import ERROR, INFO, WARN
from upswing.doctor.render.worded import (
    CardWords,
    Curve,
    EvidenceWords,
    card_words,
    claim,
    counts_line,
    headline,
    log_notes,
    reason,
    return_line,
    run_line,
)
from upswing.doctor.texts import Texts, texts
from upswing.view.lines import ACCENT, DIM, GOOD, ODD, STRONG, spread
from upswing.view.plot import sparkline

STYLES = {ERROR: "bold red", WARN: f"bold {ODD}", INFO: "bold cyan"}
SPARK = 28
WIDEST = 104


def print_diagnosis(diagnosis: Diagnosis, console: Console, lang: str, full: bool = False) -> None:
    """Show `diagnosis`; `full` lists every check too."""
    console.print(screen(diagnosis, lang, min(console.width, WIDEST), full))


def screen(diagnosis: Diagnosis, lang: str, width: int, full: bool = False) -> RenderableType:
    """The whole picture."""
    said = texts(lang)
    parts: list[RenderableType] = [head(diagnosis, said, width), Text("")]
    cards = [card_words(diagnosis.case, card, lang) for card in diagnosis.grave]
    for place, card in enumerate(cards):
        parts.append(panel(card, said, width, brief=place > 0 and not full))
    if not cards:
        parts.append(Text.assemble((" ✔ ", GOOD), (said.words["healthy"], STRONG)))
    parts += remarks(diagnosis, said)
    parts += [Text(""), *foot(diagnosis, said, full)]
    return Padding(Group(*parts), (0, 0))


def head(diagnosis: Diagnosis, said: Texts, width: int) -> RenderableType:
    """Which run this is, and what its return does."""
    returns = diagnosis.case.returns
    title = Text.assemble((" Upswing ", ACCENT), (said.words["title"], STRONG), ("  " + diagnosis.series.name, DIM))
    about = Text.assemble(
        (" " + return_line(diagnosis, said) + "  ", ""), (sparkline(returns.y.tolist(), SPARK), "cyan")
    )
    return Group(
        spread(title, Text(headline(diagnosis, said) + " ", style=STRONG), width),
        spread(about, Text(run_line(diagnosis, said) + " ", style=DIM), width),
    )


def panel(card: CardWords, said: Texts, width: int, brief: bool = False) -> RenderableType:
    """One card; a `brief` one leaves out what a second look can fetch."""
    style = STYLES[card.severity]
    title = Text.assemble(
        (f" {card.severity_word} ", f"{style} reverse"), (f" {card.code} ", style), (card.title + " ", STRONG)
    )
    body: list[RenderableType] = [Text(card.claim)]
    if not brief:
        body.append(evidence_table(card, said))
    body.append(causes_table(card, said, 1 if brief else 3))
    if card.symptoms:
        listed = ", ".join(f"{code} {name}" for code, name, _ in card.symptoms[: 3 if brief else 6])
        body.append(labelled(said.words["symptoms"], listed))
    if not brief:
        body.append(labelled(said.words["disproof"], card.disproof))
        body.append(labelled(said.words["more"], card.read_on, "cyan"))
        body.append(Text(card.measured, style=DIM))
    subtitle = Text(f" {' · '.join(part for part in (card.certainty, card.since) if part)} ", style=DIM)
    return Panel(
        Group(*body),
        title=title,
        title_align="left",
        subtitle=subtitle,
        subtitle_align="right",
        box=ROUNDED,
        border_style=style.split()[-1],
        width=width,
    )


def evidence_table(card: CardWords, said: Texts) -> RenderableType:
    """The measured numbers beside their thresholds, each with its small curve."""
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "left", "left"):
        table.add_column(justify=justify, no_wrap=justify == "right")
    for evidence in card.evidence[:3]:
        table.add_row(
            Text(evidence.name, style="cyan"),
            Text(evidence.value, style=STRONG),
            Text.assemble((evidence.bound, ""), (f"  {evidence.origin}" if evidence.origin else "", DIM)),
            marked_spark(evidence),
        )
    return Padding(table, (1, 0, 0, 0))


def marked_spark(evidence: EvidenceWords) -> Text:
    """The metric over the whole run, what lies after the onset in another colour."""
    if evidence.curve is None:
        return Text("")
    return spark(evidence.curve, SPARK)


def spark(curve: Curve, width: int) -> Text:
    """A curve as blocks; from its onset on in amber, with a mark where it begins."""
    known = np.isfinite(curve.y)
    x, y = curve.x[known], curve.y[known]
    if curve.onset is None or curve.onset <= x[0]:
        return Text(sparkline(y.tolist(), width), style=ODD if curve.onset is not None else "cyan")
    split = int(np.searchsorted(x, curve.onset))
    left = max(1, min(width - 1, round(width * split / len(x))))
    blocks = sparkline(y.tolist(), width)
    left = min(left, max(1, len(blocks) - 1))
    return Text.assemble((blocks[:left], "cyan"), ("╎", STRONG), (blocks[left:], ODD))


def causes_table(card: CardWords, said: Texts, most: int) -> RenderableType:
    """Causes in order, each with the exact change it asks for."""
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(ratio=1)
    for place, cause in enumerate(card.causes[:most], 1):
        table.add_row(Text(f"{place}.", style=DIM), Text.assemble(cause.text, (f"  {cause.percent} %", DIM)))
        if cause.change:
            table.add_row("", Text.assemble((f"→ {cause.change}", "bold green"), (f"   {cause.when}", DIM)))
    return Padding(table, (1, 0, 0, 0))


def labelled(label: str, text: str, style: str = "") -> Text:
    """A label and its text."""
    return Text.assemble((f"{label}: ", DIM), (text, style))


def remarks(diagnosis: Diagnosis, said: Texts) -> list[RenderableType]:
    """What is worth a line."""
    if not diagnosis.remarks:
        return []
    lines: list[RenderableType] = [Text(""), Text(" " + said.words["remarks"], style=STRONG)]
    for card in diagnosis.remarks[:6]:
        lines.append(Padding(Text.assemble((f"{card.code} ", "cyan"), claim(card.finding, said)), (0, 1)))
    return lines


def foot(diagnosis: Diagnosis, said: Texts, full: bool) -> list[RenderableType]:
    """How many checks passed, and what could not be looked at."""
    lines: list[RenderableType] = [Text(" " + counts_line(diagnosis, said), style=DIM)]
    notes = log_notes(diagnosis, said)
    if full:
        lines += [
            Padding(Text.assemble(("✔ ", GOOD), (f"{a.code} ", "cyan"), said.rules[a.code].passed), (0, 1))
            for a in diagnosis.passed
        ]
        asked: Sequence = (*diagnosis.not_checked, *diagnosis.not_applicable)
        lines += [
            Padding(Text.assemble(("· ", DIM), (f"{a.code} ", "cyan"), (reason(a, said), DIM)), (0, 1)) for a in asked
        ]
    elif diagnosis.not_checked:
        listed = "; ".join(f"{a.code} {reason(a, said)}" for a in diagnosis.not_checked[:4])
        lines.append(
            Padding(
                labelled(said.words["not_checked"], listed + (" …" if len(diagnosis.not_checked) > 4 else ""), DIM),
                (0, 1),
            )
        )
    lines += [Padding(Text(f"· {note}", style=DIM), (0, 1)) for note in notes]
    return lines
