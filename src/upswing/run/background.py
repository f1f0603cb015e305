"""A thread that waits for the disk while its owner goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Background:
    """Does jobs in their order, one at a time, while the caller goes on. What a job raises, the next call raises."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._job: Future[Any] | None = None

    def give(self, job: Callable[[], Any]) -> None:
        """Begin `job` once the one before is done."""
        self.wait()
        self._thread = self._thread or ThreadPoolExecutor(1, "upswing-writer")
        self._job = self._thread.submit(job)

    def wait(self) -> None:
        """Return when everything is done."""
        job, self._job = self._job, None
        if job is not None:
            job.result()

    def close(self) -> None:
        """Wait, and end the thread."""
        try:
            self.wait()
        finally:
            if self._thread is not None:
                self._thread.shutdown()
                self._thread = None
