"""Which of several ways to do one thing is the fastest on this machine."""

from __future__ import annotations

import math

import numpy as np

SHARED, ALONE = range(2)  # ways to do what several threads may share


class Race:
    """The fastest of several ways to do one thing, found while it is done: each is tried in turn, `tries` times.

    For ways with the same result: which one wins depends on the machine.
    """

    def __init__(self, n_ways: int, tries: int = 6):
        self.best = [math.inf] * n_ways
        self.left = tries * n_ways if n_ways > 1 else 0

    @property
    def way(self) -> int:
        """The one to take next."""
        return self.left % len(self.best) if self.left else int(np.argmin(self.best))

    def note(self, seconds: float) -> bool:
        """Take in how long `way` took for a unit of work; True where that decides the race."""
        self.best[self.way] = min(self.best[self.way], seconds)
        self.left -= 1
        return self.left == 0
