"""Stopping and saving on request of the operating system, at a moment of the training's choosing."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

_SHOW_CURSOR = b"\x1b[?25h"
_asked_at: list[float] = []  # when the present StopSignal was asked for a stop


def stop_asked_at() -> float | None:
    """The time.monotonic() at which a signal asked the present training to stop; None where none has.

    For those who wait for something in the middle of an iteration.
    """
    return _asked_at[0] if _asked_at else None


class StopSignal:
    """Remembers that a signal asked for a stop or a checkpoint; the training looks at it between iterations.

    with StopSignal() as signals:
        ...
        if signals.take_checkpoint_request(): ...
        if signals.received: save, leave with signals.exit_code

    SIGINT (Ctrl-C) and SIGTERM ask for a stop, SIGUSR1 for a checkpoint. A second SIGINT or SIGTERM ends the process
    at once. A signal that is being ignored stays ignored. Off the main thread, where Python allows no handlers, nothing
    is installed.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._checkpoint = False
        self._previous: dict[int, Any] = {}

    @property
    def exit_code(self) -> int:
        """0, or 128 + the signal that asked for the stop: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.received if self.received else 0

    def take_checkpoint_request(self) -> bool:
        """Whether a checkpoint was asked for since the last call."""
        asked, self._checkpoint = self._checkpoint, False
        return asked

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            self._install(signal.SIGINT, self._on_stop)
            self._install(signal.SIGTERM, self._on_stop)
            if hasattr(signal, "SIGUSR1"):
                self._install(signal.SIGUSR1, self._on_checkpoint)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
        _asked_at.clear()

    def _install(self, number: int, handler: Any) -> None:
        previous = signal.getsignal(number)
        if previous is signal.SIG_IGN or previous is None:  # None: not set from Python, so it could not be put back
            return
        signal.signal(number, handler)
        self._previous[number] = previous

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            if os.isatty(1):
                os.write(1, _SHOW_CURSOR)  # a live view may have hidden it
            os._exit(128 + number)
        self.received = number
        _asked_at.append(time.monotonic())

    def _on_checkpoint(self, number: int, frame: FrameType | None) -> None:
        self._checkpoint = True
