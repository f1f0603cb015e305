"""The live view in a terminal: a hook that keeps what it is told, and a thread that paints it now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from upswing.hooks import Hook, Record, Result, RunInfo
from upswing.view.frame import frame
from upswing.view.lines import DIM
from upswing.view.state import RunState
from upswing.view.summary import summary
from upswing.view.words import WORDS

SHORTEST_S = 0.25  # at most four pictures a second
SHARE_OF_TIME = 0.01  # a picture that costs c seconds is followed by a pause of at least c / this


class LiveView(Hook):
    """Paints a training in the terminal while it runs. Use it as a context manager around the training.

    Painting happens in a thread of its own, so that an iteration of milliseconds costs a few list appends, and one of
    minutes still shows the time passing. Its pace follows its own cost, measured in processor time.
    """

    def __init__(self, env: str, notices: Sequence[str] = (), lang: str = "en", console: Console | None = None):
        self.words = WORDS[lang]
        self.console = console or Console()
        self.state = RunState(notices)
        self._env = env
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._live = Live(
            self._preparing(), console=self.console, auto_refresh=False, transient=False, vertical_overflow="crop"
        )
        self._painter = threading.Thread(target=self._paint_now_and_then, daemon=True, name="upswing-view")

    def __enter__(self) -> LiveView:
        self._live.start(refresh=True)
        self._painter.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._painter.join()
        self._live.update(self._last_picture() if self.state.result else self._picture(), refresh=True)
        self._live.stop()

    def on_start(self, info: RunInfo) -> None:
        """Take in what is known at the start."""
        with self._lock:
            self.state.start(info)

    def on_notice(self, sentence: str) -> None:
        """Take in what happened."""
        with self._lock:
            self.state.notices.append(sentence)
            self.state.happened.append(sentence)

    def on_iteration(self, record: Record, agent: Any) -> None:
        """Take in one iteration."""
        with self._lock:
            self.state.add(record)

    def on_end(self, result: Result) -> None:
        """Take in the result."""
        with self._lock:
            self.state.result = result

    def _paint_now_and_then(self) -> None:
        pause = SHORTEST_S
        while not self._over.wait(pause):
            before = time.thread_time()
            self._live.update(self._picture(), refresh=True)
            pause = max(SHORTEST_S, (time.thread_time() - before) / SHARE_OF_TIME)

    def _picture(self) -> Group | Text:
        if self.state.info is None:
            return self._preparing()
        size = self.console.size
        with self._lock:
            return Group(*frame(self.state, self.words, size.width, size.height - 1))

    def _last_picture(self) -> Group:
        size = self.console.size
        return Group(*summary(self.state, self.words, size.width, size.height))

    def _preparing(self) -> Text:
        seconds = time.monotonic() - self.state.started
        passed = f"  {seconds:.0f} s" if seconds >= 2 else ""
        return Text.assemble((" " + self.words["preparing"].format(env=self._env), DIM), (passed, DIM))
