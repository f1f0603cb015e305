"""The arrays that environments write, one row each, and the Step that is read from them.

They lie in one block of memory, so that the same layout serves a process's own memory and memory shared by several.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from upswing.envs.contract import Observation, Step
from upswing.envs.episodes import finished

ALIGNMENT = 64  # bytes: a cache line


class Rows(NamedTuple):
    """One row for each of N environments."""

    obs: Observation
    final_obs: Observation  # rows of ended episodes
    actions: np.ndarray  # as policies give them
    rewards: np.ndarray  # float32
    terminated: np.ndarray  # bool
    truncated: np.ndarray  # bool
    valid: np.ndarray  # bool
    ret: np.ndarray  # float64; this and what follows: of the episode that ended
    length: np.ndarray  # int64
    once: np.ndarray  # int8: success code of episodes.py
    at_end: np.ndarray  # int8


_PLAIN = {"rewards": "f4", "terminated": "?", "truncated": "?", "valid": "?", "ret": "f8", "length": "i8"}
_PLAIN |= {"once": "i1", "at_end": "i1"}


def new_rows(obs: gymnasium.Space, action: gymnasium.Space, n: int, memory: memoryview | None = None) -> Rows:
    """Rows for `n` environments of the encoded spaces `obs` and `action`, in `memory` or in new, zeroed memory."""
    block = np.frombuffer(memory if memory is not None else bytearray(rows_nbytes(obs, action, n)), np.uint8)
    offset = 0

    def take(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        nonlocal offset
        size = math.prod((n, *shape)) * np.dtype(dtype).itemsize
        array = block[offset : offset + size].view(dtype).reshape(n, *shape)
        offset += _aligned(size)
        return array

    def observation() -> Observation:
        if isinstance(obs, spaces.Dict):
            return {key: take(part.shape or (), part.dtype) for key, part in obs.spaces.items()}
        return take(obs.shape or (), obs.dtype)

    return Rows(observation(), observation(), take(action.shape or (), action.dtype), **_plain(take))


def _plain(take: Any) -> dict[str, np.ndarray]:
    return {name: take((), dtype) for name, dtype in _PLAIN.items()}


def rows_nbytes(obs: gymnasium.Space, action: gymnasium.Space, n: int) -> int:
    """Bytes that `new_rows` needs."""
    parts = list(obs.spaces.values()) if isinstance(obs, spaces.Dict) else [obs]
    sizes = [_size(part.shape, part.dtype) for part in [*parts, *parts, action]]
    sizes += [_size((), dtype) for dtype in _PLAIN.values()]
    return sum(_aligned(n * size) for size in sizes)


def _size(shape: tuple[int, ...] | None, dtype: Any) -> int:
    return math.prod(shape or ()) * np.dtype(dtype).itemsize


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def part_of(rows: Rows, where: slice) -> Rows:
    """Views of the rows `where`."""
    return Rows(*(select(field, where) for field in rows))  # type: ignore[arg-type]


def select(obs: Observation, where: Any) -> Observation:
    """The rows `where` of an observation [N, ...]: views for a slice, copies for indices."""
    return {key: part[where] for key, part in obs.items()} if isinstance(obs, dict) else obs[where]


def copy(obs: Observation) -> Observation:
    """A copy of an observation."""
    return {key: part.copy() for key, part in obs.items()} if isinstance(obs, dict) else obs.copy()


def parts_of(obs: Observation) -> list[np.ndarray]:
    """The arrays of an observation, in the order of their names."""
    return [obs[key] for key in sorted(obs)] if isinstance(obs, dict) else [obs]


def read_step(rows: Rows, ended: bool, lost: bool, first: int = 0) -> Step:
    """The Step that `rows` hold. `ended` and `lost` say whether any episode ended, and whether any row is not valid.

    The episodes' environments count from `first`. An episode of a row that is not valid is not reported.
    """
    valid = rows.valid if lost else None
    if not ended:
        return Step(rows.obs, rows.rewards, rows.terminated, rows.truncated, None, [], valid)
    at = np.flatnonzero(rows.terminated | rows.truncated)
    episodes = finished(at[rows.valid[at]], rows.ret, rows.length, rows.once, rows.at_end)
    if first:
        episodes = [episode._replace(env=episode.env + first) for episode in episodes]
    final = select(rows.final_obs, at)
    return Step(rows.obs, rows.rewards, rows.terminated, rows.truncated, final, episodes, valid)
