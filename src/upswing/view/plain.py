"""Views for logs, pipes and quiet people: plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TextIO

from upswing.errors import INTERRUPTED, TERMINATED
from upswing.hooks import Hook, Record, Result, RunInfo
from upswing.view.lines import joined
from upswing.view.numbers import count, duration, number, percent, rate
from upswing.view.state import EVALUATION, RETURN, RunState
from upswing.view.words import WORDS

EVERY_S = 5.0


class PlainView(Hook):
    """Writes a line at the start, one every few seconds and at each evaluation, and one at the end."""

    def __init__(
        self,
        env: str,
        notices: Sequence[str] = (),
        lang: str = "en",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.words = WORDS[lang]
        self.stream = stream or sys.stdout
        self.state = RunState(notices, clock)
        self._spoke = clock()

    def __enter__(self) -> PlainView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def say(self, text: str) -> None:
        """Write one line, at once."""
        print(text, file=self.stream, flush=True)

    def on_start(self, info: RunInfo) -> None:
        """Say what is being trained, and how."""
        self.state.start(info)
        self.say(
            self.words["plain_start"].format(
                env=self.state.env,
                description=info.environment,
                engine=self.words.get(f"engine_{info.engine}", info.engine),
                parameters=self.words["parameters"].format(n=count(info.n_parameters)),
                seed=info.config.seed,
                run_dir=info.run_dir,
            )
        )
        for notice in self.state.notices:
            self.say(f"· {notice}")

    def on_notice(self, sentence: str) -> None:
        """Say what happened."""
        self.say(f"· {sentence}")

    def on_iteration(self, record: Record, agent: Any) -> None:
        """Say how far it is, when some time has passed or an evaluation was made."""
        self.state.add(record)
        evaluated = record.get(EVALUATION) is not None
        if evaluated or self.state.clock() - self._spoke >= EVERY_S:
            self._spoke = self.state.clock()
            self.say(self._progress(record if evaluated else None))

    def on_end(self, result: Result) -> None:
        """Say what came out."""
        self.say(final_line(result, self.words))

    def _progress(self, evaluated: Record | None) -> str:
        latest = self.state.latest
        text = ""
        if evaluated is not None:
            text = self.words["plain_eval"].format(
                mean=number(evaluated[EVALUATION]), std=number(evaluated.get("eval/std_reward"))
            )
        return self.words["plain_line"].format(
            share=percent(self.state.share),
            steps=count(self.state.steps),
            fps=rate(latest.get("time/fps_mean") or latest.get("time/fps")),
            left=duration(self.state.left_s),
            ret=number(latest.get(RETURN)),
            eval=text,
        )


class QuietView(PlainView):
    """Writes nothing but the final line."""

    def on_start(self, info: RunInfo) -> None:
        """Say nothing."""

    def on_notice(self, sentence: str) -> None:
        """Say nothing."""

    def on_iteration(self, record: Record, agent: Any) -> None:
        """Say nothing."""


class SilentView(QuietView):
    """Writes nothing at all: for a caller who prints the result itself."""

    def on_end(self, result: Result) -> None:
        """Say nothing."""


def final_line(result: Result, words: Any = WORDS["en"]) -> str:
    """The result in one line."""
    if result.exit_code in (INTERRUPTED, TERMINATED):
        what = words["interrupted"]
    else:
        what = joined([words["stopped"] if result.stopped else words["done"], result.stopped or ""], ", ")
    return words["plain_end"].format(
        what=what,
        mean=number(result.mean_reward),
        best=number(result.best_mean_reward),
        steps=count(result.total_timesteps),
        time=duration(result.wall_time_s),
        fps=rate(result.steps_per_second),
        run_dir=result.run_dir,
    )
