"""Raw statistics of episodes while they run: return, length, and success where the environment speaks of it.

Success is `info["success"]` or `info["is_success"]`. An episode succeeded "once" if it did at any step, and "at end" if
it did at its last.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from upswing.envs.contract import Episode

UNKNOWN = -1  # of a success, in the arrays that hold it: 0 no, 1 yes


class Tally:
    """The running statistics of one environment's episode."""

    __slots__ = ("at_end", "length", "once", "ret")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin a new episode."""
        self.ret, self.length, self.once, self.at_end = 0.0, 0, UNKNOWN, UNKNOWN

    def note(self, info: dict[str, Any]) -> None:
        """Note what the `info` of a step says of success."""
        if (success := info.get("success", info.get("is_success"))) is not None:
            self.at_end = int(bool(success))
            self.once = max(self.once, self.at_end)

    def get_state(self) -> list[float | int]:
        """The statistics as JSON."""
        return [self.ret, self.length, self.once, self.at_end]

    def set_state(self, state: list[float | int]) -> None:
        """Continue from what `get_state` gave."""
        self.ret = float(state[0])
        self.length, self.once, self.at_end = (int(value) for value in state[1:])


class Tallies:
    """The running statistics of N environments at once."""

    def __init__(self, n_envs: int):
        self.ret = np.zeros(n_envs)
        self.length = np.zeros(n_envs, np.int64)
        self.once, self.at_end = np.full((2, n_envs), UNKNOWN, np.int8)

    def clear(self, rows: Any = slice(None)) -> None:
        """Begin new episodes in `rows`."""
        self.ret[rows], self.length[rows], self.once[rows], self.at_end[rows] = 0.0, 0, UNKNOWN, UNKNOWN

    def add(self, rewards: np.ndarray, stepped: np.ndarray, success: np.ndarray) -> None:
        """Count one step of the environments `stepped` [N] bool; `success` [N] int8 may be UNKNOWN."""
        self.ret += np.where(stepped, rewards, 0.0)
        self.length += stepped
        known = stepped & (success != UNKNOWN)
        self.at_end[known] = success[known]
        self.once[known] = np.maximum(self.once[known], success[known])

    def finish(self, rows: np.ndarray) -> list[Episode]:
        """The episodes that ended in `rows`, whose statistics begin anew."""
        done = finished(rows, self.ret, self.length, self.once, self.at_end)
        self.clear(rows)
        return done


def finished(rows: Any, ret: np.ndarray, length: np.ndarray, once: np.ndarray, at_end: np.ndarray) -> list[Episode]:
    """Episodes from arrays [N] of their statistics, for the environments in `rows`."""
    return [
        Episode(int(i), float(ret[i]), int(length[i]), _answer(int(once[i])), _answer(int(at_end[i]))) for i in rows
    ]


def _answer(code: int) -> bool | None:
    return None if code == UNKNOWN else bool(code)
