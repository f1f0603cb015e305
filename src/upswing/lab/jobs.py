"""What a study and its runs say to each other. Light: the process that runs a study needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from upswing.config import TrainConfig

PROGRESS, ENDED, STOPPED, BROKE, TICK = "progress", "ended", "stopped", "broke", "tick"
ENDINGS = (ENDED, STOPPED, BROKE)
TICK_S = 0.1

Tell = Callable[[str, Mapping[str, Any]], bool]
"""Sends a kind of event and its values; False asks the run to save and stop."""

Event = tuple[int, str, Mapping[str, Any]]
"""Index of the job, kind, values."""

Stop = Callable[[], bool]


@dataclass(frozen=True)
class Job:
    """What one run needs to know."""

    run_dir: str
    config: TrainConfig  # its out_dir and name make run_dir
    untrained: bool  # whether to score the policy before its first update as well
    doctor: bool = True  # whether the doctor watches
    trusted: bool = True


Executor = Callable[[Sequence[Job], int | None, Stop], Iterator[Event]]
"""Does jobs, a number of them at a time (None: as many as there are cores), until it shall stop."""
