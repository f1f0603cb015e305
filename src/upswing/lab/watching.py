"""A study as it runs and as it ended, in a terminal or in plain lines."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from upswing.lab.judging import broken, mean
from upswing.lab.running import unfinished
from upswing.lab.statistics import interval
from upswing.lab.study_record import BROKEN, DONE, StudyRecord, StudySetting
from upswing.lab.study_record import RunRecord as Run
from upswing.lab.study_words import fill
from upswing.view.numbers import count, number, rate

DIM = "color(244)"
STYLES = {"learned": "green", "failed": "bold red", "suspected": "yellow", "unknown": DIM}
PLAIN_EVERY_S = 10.0
WIDE = 120  # columns of a terminal that shows the whole table


class StudyView:
    """Shows how a study goes: bars in a terminal, a line for each run that ends elsewhere. A context manager."""

    def __init__(self, console: Console, lang: str, quiet: bool = False, plain: bool = False):
        self.console, self.lang, self.quiet = console, lang, quiet
        self.bars = None if quiet or plain or not console.is_terminal else _bars(console)
        self.whole: TaskID | None = None
        self.tasks: dict[int, TaskID] = {}
        self.study: StudyRecord | None = None
        self.shares: dict[int, float] = {}  # of each run's budget
        self.spoke = time.monotonic()

    def __enter__(self) -> StudyView:
        if self.bars is not None:
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bars is not None:
            self.bars.stop()

    def on_plan(self, study: StudyRecord) -> None:
        """Say what there is to do."""
        first, self.study = self.study is None, study
        self.shares.update({i: 1.0 for i, run in enumerate(study.runs) if run.state in (DONE, BROKEN)})
        if first and not self.quiet:
            counts = {"settings": len(study.settings), "seeds": len(study.seeds), "runs": len(study.runs)}
            self.console.print(fill(self.lang, "title", env=study.env, **counts), style="bold")
        if self.bars is not None and self.whole is None:
            self.whole = self.bars.add_task("", total=len(study.runs), info="")
        self._show_whole()

    def on_progress(self, index: int, values: Mapping[str, Any]) -> None:
        """Move the run's bar."""
        self.shares[index] = values["steps"] / max(1, values["total"])
        if self.bars is None or self.study is None:
            return
        run = self.study.runs[index]
        if index not in self.tasks:
            self.tasks[index] = self.bars.add_task(f"  {run.setting} · {run.seed}", total=values["total"], info="")
        info = f"{number(values.get('return'))}  {rate(values.get('fps'))}/s" if "fps" in values else ""
        self.bars.update(self.tasks[index], completed=values["steps"], info=info)
        self._show_whole()

    def on_run(self, index: int, run: Run) -> None:
        """Take the run's bar away; say how it ended."""
        self.shares[index] = 1.0
        if self.bars is not None and index in self.tasks:
            self.bars.remove_task(self.tasks.pop(index))
        if not self.quiet:
            self.console.print(self._ended(run), style=DIM, markup=False)
        self._show_whole()

    def on_tick(self) -> None:
        """Without bars, say now and then how far it has come."""
        if self.bars is None and not self.quiet and time.monotonic() - self.spoke > PLAIN_EVERY_S:
            self.spoke = time.monotonic()
            self.console.print(self._whole_text(), style=DIM)

    def _ended(self, run: Run) -> str:
        if run.state == BROKEN:
            return fill(self.lang, "run_broke", label=run.setting, seed=run.seed, reason=run.reason)
        success = run.success_once is not None
        value = run.success_once if success else run.mean_reward
        score = fill(self.lang, "success_once" if success else "mean_reward")
        wall = run.costs.wall_time_s or 0.0
        value = float("nan") if value is None else value
        return fill(self.lang, "run_ended", label=run.setting, seed=run.seed, score=score, value=value, wall=wall)

    def _whole_text(self) -> str:
        runs = len(self.study.runs) if self.study else 0
        return fill(self.lang, "whole", done=sum(share >= 1.0 for share in self.shares.values()), runs=runs)

    def _show_whole(self) -> None:
        if self.bars is not None and self.whole is not None and self.study is not None:
            done = sum(self.shares.values())
            self.bars.update(self.whole, completed=done, total=len(self.study.runs), description=self._whole_text())


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(24),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[info]}", style=DIM, markup=False),
        console=console,
        transient=True,
    )


def print_study(study: StudyRecord, folder: str | Path, console: Console, lang: str) -> None:
    """Print what a study came to: a line a setting, what failing means, why a setting failed, what to do next."""
    if any(study.scores(s.label) for s in study.settings):
        console.print(_table(study, lang, narrow=console.width < WIDE))
        console.print(Text(study.definition or fill(lang, "no_verdict"), style=DIM))
    else:
        console.print(fill(lang, "no_scores"))
    for setting in study.settings:
        if setting.reason:
            console.print(reason_text(setting, lang))
    if lost := broken(study):
        console.print(fill(lang, "broken_runs", n=len(lost)), style="bold red")
        for run in lost:
            console.print(f"  {run.setting}, {run.seed}: {run.reason}", markup=False)
    if left := unfinished(study):
        console.print(fill(lang, "interrupted", left=left, folder=folder), style="yellow")
    console.print(fill(lang, "written", folder=folder), markup=False)
    if not left:
        console.print(fill(lang, "again", folder=folder), style=DIM, markup=False)


def reason_text(setting: StudySetting, lang: str) -> Text:
    """A setting's verdict and its reason."""
    head = fill(lang, "because", label=setting.label, verdict=fill(lang, setting.verdict))
    return Text.assemble((head, STYLES[setting.verdict]), setting.reason or "")


def _table(study: StudyRecord, lang: str, narrow: bool) -> Table:
    """A line a setting; where the terminal is `narrow`, without evaluations, speed and memory."""
    rows = [_row(study, setting.label, lang) for setting in study.settings]
    table = Table(box=None, header_style=DIM, padding=(0, 2, 0, 0))
    shown = [name for name in rows[0] if not (narrow and name in ("evaluations", "speed", "memory"))]
    for name in shown:
        left = name in ("setting", "verdict", "interval")
        table.add_column(fill(lang, name), justify="left" if left else "right", no_wrap=not narrow, overflow="fold")
    for row in rows:
        table.add_row(*(row[name] for name in shown))
    return table


def _row(study: StudyRecord, label: str, lang: str) -> dict[str, Text]:
    """The cells of a setting's line by the names of their columns."""
    setting, scores = study.setting(label), study.scores(label)
    mark = f"  ({fill(lang, 'reference')})" if label == study.reference else ""
    cells = {
        "setting": Text.assemble(label, (mark, DIM)),
        study.score: Text(number(interval(scores).value) if scores else "–"),
        "interval": Text(_range(scores)),
        "verdict": Text(fill(lang, setting.verdict), style=STYLES[setting.verdict]),
    }
    costs = [run.costs for run in study.runs_of(label) if run.state == DONE]
    texts = {
        "iterations": count(mean([c.iterations or 0 for c in costs])),
        "gradient_steps": count(mean([c.gradient_steps or 0 for c in costs])),
        "evaluations": count(mean([c.evaluations or 0 for c in costs])),
        "wall": f"{mean([c.wall_time_s or 0.0 for c in costs]):.1f} s",
        "speed": rate(mean([c.steps_per_second or 0.0 for c in costs])),
        "memory": f"{max([c.peak_memory_mb or 0.0 for c in costs], default=0.0):.0f} MB",
    }
    return cells | {name: Text(text if costs else "–") for name, text in texts.items()}


def _range(scores: list[float]) -> str:
    if len(scores) < 2:
        return "–"
    found = interval(scores)
    return f"{number(found.low)} … {number(found.high)}" if np.isfinite(found.low) else "–"
