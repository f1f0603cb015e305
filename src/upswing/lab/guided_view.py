"""How a guided lab talks: the question, the prediction, the curves, the table, the explanation, what to try next."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from upswing.lab.guided import Lab, curves, explained, facts_of, guide, outcome
from upswing.lab.study_record import StudyRecord
from upswing.lab.study_words import fill
from upswing.lab.watching import DIM, STYLES
from upswing.view.plot import lines_chart

COLOURS = ("cyan", "color(172)", "green", "magenta", "red", "yellow", "blue", "white")
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
    console.print(_table(lab, study, folder, lang))
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
            head = (f"{setting.label}: {fill(lang, setting.verdict)}. ", STYLES[setting.verdict])
            console.print(Text.assemble(head, setting.reason))
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
    legend = Text("  ")
    for label in found:
        legend.append("━━ ", colours[label]).append(f"{label}   ")
    console.print(legend)


def _table(lab: Lab, study: StudyRecord, folder: str | Path, lang: str) -> Table:
    words = guide(lang)["words"]
    table = Table(box=None, header_style=DIM, padding=(0, 2, 0, 0))
    shown = ("iterations", "gradient_steps", "evaluations", *lab.shows, "wall")
    table.add_column(fill(lang, "setting"), no_wrap=True)
    table.add_column(fill(lang, study.score), justify="right")
    table.add_column(fill(lang, "verdict"))
    for fact in shown:
        table.add_column(words["facts"][fact], justify="right")
    for setting in study.settings:
        facts = facts_of(study, setting.label, folder)
        verdict = Text(fill(lang, setting.verdict), style=STYLES[setting.verdict])
        table.add_row(Text(setting.label), facts.score, verdict, *(getattr(facts, fact) for fact in shown))
    return table
