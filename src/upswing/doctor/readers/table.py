"""A log before it is understood: numbers by the writer's own tags, at the writer's own steps; and how to translate it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from upswing.doctor.series import Note, Source, on_axis


@dataclass(frozen=True)
class Scalars:
    """The points of one tag, in order of their steps; all [K]."""

    steps: np.ndarray
    values: np.ndarray
    times: np.ndarray | None = None  # wall clock, seconds since 1970


@dataclass(frozen=True)
class Table:
    """All numbers and texts of a log by the writer's tags, and what went wrong while reading."""

    scalars: Mapping[str, Scalars]
    texts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()


Place = Callable[[np.ndarray], np.ndarray]
"""From the steps at which values were logged to the steps of the iterations they belong to."""


def translated(
    table: Table, source: Source, axis: np.ndarray, place: Mapping[str, Place] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Columns by our tags on the steps `axis` [U], and the first step at which each tag was NaN or infinite.

    `place` gives, by the first part of our tag (train, eval …), where values belong; by default where they were logged.
    """
    columns: dict[str, np.ndarray] = {}
    nonfinite: dict[str, float] = {}
    for meaning in source.tags:
        points = table.scalars.get(meaning.theirs)
        if points is None or meaning.ours in columns:
            continue
        where = (place or {}).get(meaning.ours.split("/")[0], lambda steps: steps)(points.steps)
        columns[meaning.ours] = on_axis(axis, where, meaning.factor * points.values)
        bad = ~np.isfinite(points.values)
        if bad.any():
            nonfinite[meaning.ours] = float(points.steps[bad][0])
    return columns, nonfinite


def moving_mean(steps: np.ndarray, values: np.ndarray, axis: np.ndarray, window: int = 100) -> np.ndarray:
    """At each step of `axis` [U], the mean of the last `window` of `values` [E] that ended by then; NaN before any."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    upto = np.searchsorted(steps, axis, side="right")
    since = np.maximum(0, upto - window)
    return np.where(upto > 0, (sums[upto] - sums[since]) / np.maximum(1, upto - since), np.nan)
