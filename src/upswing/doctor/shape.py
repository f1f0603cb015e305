"""The arithmetic of a run: iterations, gradient steps, how far weights can travel. From settings, or from the log."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from upswing.config.resolve import DEFAULT_BATCH_SIZE
from upswing.doctor.series import Series
from upswing.errors import ConfigError
from upswing.schedules import Schedule, parse_schedule


@dataclass(frozen=True)
class Shape:
    """Counts that decide what a budget buys; None where the log and the settings do not tell."""

    pool: float | None = None  # transitions in a rollout
    total: float | None = None  # environment steps the run is meant to take
    iterations: float | None = None
    batch_size: int | None = None
    n_minibatches: int | None = None
    n_epochs: int | None = None
    gradient_steps: float | None = None
    mean_rate: float | None = None  # learning rate, averaged over the run

    @property
    def travel(self) -> float | None:
        """How far Adam can move one weight over the run: gradient steps × learning rate. Its steps are at most about
        the learning rate (Kingma & Ba 2015, section 2.1), and weights begin with a size of about 0.1 to 1."""
        if self.gradient_steps is None or self.mean_rate is None:
            return None
        return self.gradient_steps * self.mean_rate


def first_number(value: Any, name: str) -> float | None:
    """The setting `name` as one number, a schedule's first; None where it is none."""
    if isinstance(value, str):
        schedule = schedule_of(value, name)
        return None if schedule is None else float(schedule.start)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def shape_of(series: Series) -> Shape:
    """The arithmetic of `series`."""
    pool, n = series.pool, len(series)
    total = series.setting("total_timesteps")
    taken = float(series.steps[-1]) if n else None
    if not isinstance(total, int | float):
        total = taken
    elif taken is not None:
        total = max(float(total), taken)
    iterations = float(n) if n else None
    if pool and total and series.source.axis == "steps":
        whole = total / pool
        down = series.setting("rollout_rounding") == "down"
        iterations = float(max(1, math.floor(whole + 1e-9) if down else math.ceil(whole - 1e-9)))
    batch, parts = _batch(series, pool)
    n_epochs = series.setting("n_epochs")
    steps = iterations * parts * n_epochs if iterations and parts and n_epochs else None
    return Shape(pool, total, iterations, batch, parts, n_epochs, steps, mean_rate(series))


def _batch(series: Series, pool: float | None) -> tuple[int | None, int | None]:
    """Batch size and minibatches of an epoch, where they are known."""
    batch, parts = series.setting("batch_size"), series.setting("n_minibatches")
    if pool is None:
        return batch, parts
    if parts is not None and batch is None:
        batch = max(1, int(pool) // parts)
    if batch is None and "batch_size" in series.config:  # known to be left at its default
        batch = DEFAULT_BATCH_SIZE
    return batch, math.ceil(pool / batch) if batch else None


def schedule_of(setting: Any, name: str) -> Schedule | None:
    """`setting` as a schedule; None where it is none, such as a function that a file could only describe."""
    try:
        return parse_schedule(setting, name, allow_adaptive=True)
    except (ConfigError, TypeError, ValueError):
        return None


def mean_rate(series: Series) -> float | None:
    """The learning rate averaged over the run: as planned, else as logged; None where neither is known."""
    setting = series.setting("learning_rate")
    schedule = schedule_of(setting, "learning_rate") if setting is not None else None
    logged = series.column("train/learning_rate")
    logged = logged[np.isfinite(logged)]
    if isinstance(setting, int | float) and len(logged) > 1:  # inferred from the log's first value, perhaps
        return float(logged.mean())
    if schedule is not None:
        return float(np.mean([schedule(remaining) for remaining in np.linspace(1.0, 0.0, 101)]))
    return float(logged.mean()) if len(logged) else None


def budget(series: Series) -> float:
    """Environment steps the run is meant to take; those taken where that is unknown."""
    total = series.setting("total_timesteps")
    taken = float(series.steps[-1]) if len(series) else 0.0
    return max(float(total), taken) if isinstance(total, int | float) and not isinstance(total, bool) else taken
