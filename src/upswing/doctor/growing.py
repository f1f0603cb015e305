"""A series that grows while a training runs, in bounded time for each iteration and bounded memory for episodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from upswing.doctor.series import STEP, Column, Episodes

MOST_EPISODES = 20_000


class GrowingSeries:
    """Records and episodes as they come; `columns` and `episodes` turn what is new into arrays when they are asked for."""

    def __init__(self) -> None:
        self._pending: list[Mapping[str, Any]] = []
        self._arrays: dict[str, np.ndarray] = {}
        self._n = 0
        self._fresh: list[tuple[int, Iterable[Any]]] = []
        self._episodes = np.empty((0, 3))

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in one iteration's metrics."""
        self._pending.append(record)

    def add_episodes(self, step: int, episodes: Iterable[Any]) -> None:
        """Take in the episodes that ended in the rollout before `step`; each has `ret` and `length`."""
        self._fresh.append((step, episodes))

    def start_with(self, columns: Mapping[str, Column]) -> None:
        """Begin with what an earlier process recorded."""
        self._n = len(columns.get(STEP, ()))
        self._arrays = {tag: np.array(values) for tag, values in columns.items()}

    def __len__(self) -> int:
        return self._n + len(self._pending)

    def columns(self) -> dict[str, Column]:
        """Every column so far."""
        total = len(self)
        for tag in {tag for record in self._pending for tag in record} - self._arrays.keys():
            self._arrays[tag] = np.full(max(64, total), np.nan)
        for tag, array in self._arrays.items():
            if len(array) < total:
                array = self._arrays[tag] = np.concatenate(
                    [array, np.full(max(len(array), total - len(array)), np.nan)]
                )
            for row, record in enumerate(self._pending, self._n):
                value = record.get(tag)
                array[row] = np.nan if value is None else value
        self._pending, self._n = [], total
        return {tag: array[:total] for tag, array in self._arrays.items()}

    def episodes(self) -> Episodes | None:
        """The episodes so far, the older ones thinned out where there are very many."""
        rows = [(step, episode.ret, episode.length) for step, finished in self._fresh for episode in finished]
        self._fresh = []
        if rows:
            self._episodes = np.concatenate([self._episodes, np.array(rows, np.float64)])
        if len(self._episodes) > MOST_EPISODES:
            half = len(self._episodes) // 2
            self._episodes = np.concatenate([self._episodes[:half:2], self._episodes[half:]])
        return Episodes(*self._episodes.T) if len(self._episodes) else None
