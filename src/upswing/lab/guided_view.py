"""How a guided lab talks: the question, the prediction, the curves, the table, the explanation, what to try next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from upswing.lab.guided import Lab, curves, explained, facts_of, guide, outcome
from upswing.lab.study_record import StudyRecord
from upswing.lab.study_words import fill
from upswing.lab.watching import DIM, STYLES, reason_text
from upswing.view.plot import lines_chart

COLOURS = ("cyan", "color(172)", "green", "magenta", "red", "yellow", "blue", "white")
GAP = 2  # cells between columns
Columns = Mapping[str, Sequence[Text]]  # the head and the cells of each, by name
STEPS, UPDATES = "time/total_timesteps", "train/gradient_steps"


def print_list(console: Console, lang: str, names: list[str]) -> None:
    """Print every lab with its question."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name in names:
        table.add_row(Text(name, style="bold cyan"), guide(lang)[name]["question"])
    console.print(table)
    console.print(Text(guide(lang)["words"]["begin"], style=DIM))


def ask(name: str, lab: Lab, labels: list[str], console: Console, lang: str, answer: str | None) -> str:
    """The label that the user predicts; `answer` where it is given, the first where nobody is asked."""
    texts, words = guide(lang)[name], guide(lang)["words"]
    console.print(Panel(Text(texts["title"], style="bold"), border_style=DIM))
    console.print(texts["idea"])
    console.print(Text(texts["question"], style="bold"))
    for i, label in enumerate(labels, 1):
        console.print(f"  {i}  {label}", markup=False)
    if answer is None:
        console.print(words["ask"], end=" ")
        while (typed := input().strip()) not in [str(i) for i in range(1, len(labels) + 1)]:
            console.print(words["again"].format(n=len(labels)), end=" ")
        answer = labels[int(typed) - 1]
    return answer


def print_outcome(
    name: str, lab: Lab, study: StudyRecord, folder: str | Path, predicted: str | None, console: Console, lang: str
) -> None:
    """Print the curves, what the settings came to, whether the prediction held, why, and what to try next."""
    words, texts = guide(lang)["words"], guide(lang)[name]
    _curves(study, folder, STEPS, words["over_steps"], console, lang)
    if lab.match:
        _curves(study, folder, UPDATES, words["over_updates"], console, lang)
    console.print(_table(lab, study, folder, console.width, lang))
    if study.definition:
        console.print(Text(study.definition, style=DIM))
    true = outcome(lab, study)
    if predicted is not None:
        key = "right" if predicted == true else "wrong"
        console.print(Text(words[key].format(predicted=predicted, true=true), style="bold"))
    for sentence in explained(lab, name, study, folder, lang):
        console.print(sentence, markup=False)
    for setting in study.settings:
        if setting.reason:
            console.print(reason_text(setting, lang))
    console.print(Text(words["next"], style="bold"))
    for line in texts["next"]:
        console.print(f"  · {line}", markup=False)
    console.print(Text(fill(lang, "written", folder=folder), style=DIM))


def _curves(study: StudyRecord, folder: str | Path, against: str, title: str, console: Console, lang: str) -> None:
    found = curves(study, folder, against)
    if not found:
        return
    colours = dict(zip((s.label for s in study.settings), COLOURS * len(study.settings), strict=False))
    lines = [(colours[label], line) for label, line in found.items()]
    x_max = max(x for line in found.values() for x, _ in line)
    console.print(Text(title.format(score=fill(lang, study.score)), style="bold"))
    for row in lines_chart(lines, x_max, min(console.width, 100), 14):
        console.print(row)
    for line in _legend([(label, colours[label]) for label in found], console.width):
        console.print(line)


def _legend(entries: Sequence[tuple[str, str]], width: int) -> list[Text]:
    """Lines that say which colour is which setting; an entry is never torn apart."""
    lines = [Text(" ")]
    for label, colour in entries:
        entry = Text.assemble(" ", ("━━", colour), f" {label}  ")
        if len(lines[-1]) > 1 and lines[-1].cell_len + entry.cell_len > width:
            lines.append(Text(" "))
        lines[-1].append_text(entry)
    return lines


def _table(lab: Lab, study: StudyRecord, folder: str | Path, width: int, lang: str) -> Table:
    """A line a setting. Heads are broken between words, numbers never; what does not fit is left out, see `_fitting`."""
    words = guide(lang)["words"]
    facts = {s.label: facts_of(study, s.label, folder) for s in study.settings}
    columns = {"setting": [Text(fill(lang, "setting")), *(Text(s.label) for s in study.settings)]}
    columns["score"] = [Text(fill(lang, study.score)), *(Text(facts[s.label].score) for s in study.settings)]
    verdicts = (Text(fill(lang, s.verdict), style=STYLES[s.verdict]) for s in study.settings)
    columns["verdict"] = [Text(fill(lang, "verdict")), *verdicts]
    for fact in ("iterations", "gradient_steps", "evaluations", *lab.shows, "wall"):
        columns[fact] = [Text(words["facts"][fact]), *(Text(getattr(facts[s.label], fact)) for s in study.settings)]
    table = Table(box=None, header_style=DIM, padding=(0, GAP, 0, 0))
    shown = _fitting(columns, width)
    for name, cells in _widths(columns, shown, width).items():
        left = name in ("setting", "verdict")
        table.add_column(columns[name][0], justify="left" if left else "right", width=cells)
    for row in zip(*(columns[name][1:] for name in shown), strict=True):
        table.add_row(*row)
    return table


def _fitting(columns: Columns, width: int) -> list[str]:
    """The names of the columns that fit into `width`: without evaluations, wall clock or iterations where needed."""
    shown = list(columns)
    for name in ("evaluations", "wall", "iterations"):
        if sum(_narrowest(columns[each]) + GAP for each in shown) > width:
            shown.remove(name)
    return shown


def _widths(columns: Columns, shown: Sequence[str], width: int) -> dict[str, int]:
    """How many cells each column gets: what it needs, and from left to right what it would like."""
    widths = {name: _narrowest(columns[name]) for name in shown}
    spare = width - sum(widths.values()) - GAP * len(shown)
    for name in shown:
        more = max(0, min(spare, max(cell.cell_len for cell in columns[name]) - widths[name]))
        widths[name], spare = widths[name] + more, spare - more
    return widths


def _narrowest(cells: Sequence[Text]) -> int:
    """The width that a column needs: of the longest word of its head and its labels, of its longest number."""
    return max(cell_len(word) for cell in cells for word in _words(cell.plain))


def _words(text: str) -> list[str]:
    return [text] if text[:1].isdigit() else text.split()
