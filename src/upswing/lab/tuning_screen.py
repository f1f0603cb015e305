"""A search as it goes and as it ended, in a terminal."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console

from upswing.lab.gather import plain_setting
from upswing.lab.statistics import interval
from upswing.lab.texts.tune_words import TUNE_WORDS
from upswing.lab.tuning import Tuned
from upswing.view.lines import DIM


class TuningView:
    """Shows how a search goes: a line for each trial that ended, and in a terminal how many there are. A context manager."""

    def __init__(self, console: Console, lang: str, n_trials: int):
        self.console, self.words, self.n_trials = console, TUNE_WORDS[lang], n_trials
        self.status = console.status("")

    def __enter__(self) -> TuningView:
        self.status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.status.stop()

    def on_begin(self, env: str, names: list[str], done: int) -> None:
        """Say what is searched, and how many trials an earlier call has done."""
        self.console.print(self.words["title"].format(env=env, names=", ".join(names), n=self.n_trials), style="bold")
        self._count(done)

    def on_trial(self, number: int, state: str, score: float | None, done: int) -> None:
        """Say how a trial ended, and that `done` have."""
        self.console.print(self.words[state].format(number=number, score=score), style=DIM)
        self._count(done)

    def on_fresh(self, n: int) -> None:
        """Say that the winner is being measured on `n` seeds."""
        text = self.words["measuring"].format(n=n)
        self.console.print(text, style=DIM)
        self.status.update(text)

    def _count(self, done: int) -> None:
        self.status.update(self.words["going"].format(done=done, n=self.n_trials))


def print_tuned(tuned: Tuned, console: Console, lang: str) -> None:
    """Print what a search came to."""
    words = TUNE_WORDS[lang]
    counts = {"complete": tuned.n_complete, "pruned": tuned.n_pruned, "failed": tuned.n_failed}
    console.print(words["counts"].format(**counts))
    if tuned.best_trial is None:
        console.print(words["none"])
    else:
        console.print(words["best"].format(number=tuned.best_trial, score=tuned.best_score), style="bold")
        for name, value in tuned.values.items():
            known = tuned.importances.get(name)
            share = "" if known is None else "  " + words["importance"].format(share=known)
            console.print(f"  {name} = {plain_setting(value)}{share}", markup=False)
        for key, scores in (("best_settings", tuned.fresh), ("baseline", tuned.baseline)):
            if scores:
                found = interval(scores)._asdict()
                console.print(words["fresh"].format(label=words[key], n=len(scores), **found))
        console.print(words["train"].format(folder=tuned.folder), markup=False, soft_wrap=True)
    if tuned.stopped:
        console.print(words["interrupted"].format(folder=tuned.folder), style="yellow", markup=False, soft_wrap=True)
