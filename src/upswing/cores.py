"""How many cores there are, and how many of them a training may take for itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_side_by_side = 1  # trainings in this process or beside it, as far as it has been told


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def own_cores() -> int:
    """How many cores a training may keep busy: its share of the usable ones where several run side by side."""
    return max(1, usable_cores() // _side_by_side)


@contextmanager
def side_by_side(n: int) -> Iterator[None]:
    """While inside, trainings of this process know that `n` of them use the cores."""
    global _side_by_side
    before, _side_by_side = _side_by_side, n
    try:
        yield
    finally:
        _side_by_side = before
