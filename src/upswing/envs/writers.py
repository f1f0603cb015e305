"""Functions that write one environment's observation into its row, and refuse what its space does not allow.

A writer is `write(i, value)`. The first value of each kind is checked in full; after that a value that is an array of
the same dtype and shape costs two comparisons. What is wrong is raised as BadValue, without the environment's index.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from upswing.envs.contract import ACTION_MASK, Observation
from upswing.envs.masks import ENTRY, Plan, flat_mask
from upswing.envs.rows import copy, parts_of
from upswing.envs.spaces import encode_leaf, pick

Writer = Callable[[int, Any], None]

_FITS = {"f": "fiub", "i": "iub", "u": "iub", "b": "b"}  # kinds of dtype that a space of each kind accepts


class BadValue(ValueError):
    """A value that an environment's contract does not allow."""


def observation_writer(observation_space: gymnasium.Space, plan: Plan, target: Observation, final: bool) -> Writer:
    """A writer of observations of `observation_space` into `target` [N, ...] (see masks.plan).

    For `final` observations a mask is not looked at: there is no action to choose any more.
    """
    if not isinstance(observation_space, spaces.Dict):
        array = target if isinstance(target, np.ndarray) else next(v for k, v in target.items() if k != ACTION_MASK)
        return leaf_writer(observation_space, array, "observation")
    assert isinstance(target, dict)
    parts = [(leaf.path, leaf_writer(leaf.space, target[leaf.name], leaf.name)) for leaf in plan.leaves]
    if plan.source == ENTRY and not final:
        parts.append(((ACTION_MASK,), mask_writer(plan, target[ACTION_MASK])))

    def write(i: int, obs: Any) -> None:
        for path, write_leaf in parts:
            try:
                value = pick(obs, path)
            except (KeyError, TypeError, IndexError):
                raise BadValue(f"its observation has no entry {'.'.join(path)}") from None
            write_leaf(i, value)

    return write


def mask_writer(plan: Plan, target: np.ndarray) -> Writer:
    """A writer of action masks into `target` bool [N, choices]."""

    def write(i: int, mask: Any) -> None:
        try:
            target[i] = flat_mask(mask, plan.choices)
        except ValueError as error:
            raise BadValue(str(error)) from None

    return write


def leaf_writer(space: gymnasium.Space, target: np.ndarray, name: str) -> Writer:
    """A writer of values of `space` into `target` [N, ...]."""
    if isinstance(space, spaces.Discrete):
        return _choice_writer(space, target, name)
    return _array_writer(space, target, name)


def _choice_writer(space: spaces.Discrete, target: np.ndarray, name: str) -> Writer:
    n, start = int(space.n), int(space.start)

    def write(i: int, value: Any) -> None:
        choice = int(value) - start
        if choice != value - start or not 0 <= choice < n:
            raise BadValue(f"its {name} is {value!r}, where its space is {space}")
        row = target[i]
        row.fill(0.0)
        row[choice] = 1.0

    return write


def _array_writer(space: gymnasium.Space, target: np.ndarray, name: str) -> Writer:
    shape, kind, plain = space.shape, np.dtype(space.dtype).kind, isinstance(space, spaces.Box)
    rows = [target[i : i + 1].reshape(target.shape[1:]) for i in range(len(target))]  # views, twice as fast to write to
    seen: np.dtype | None = None

    def checked(value: Any) -> np.ndarray:
        nonlocal seen
        array = np.asarray(value)
        if array.shape != shape:
            raise BadValue(f"its {name} has shape {array.shape}, where its space says {shape}")
        if array.dtype.kind not in _FITS[kind]:
            raise BadValue(f"its {name} has dtype {array.dtype}, where its space says {space.dtype}")
        if array is value:
            seen = array.dtype
        return array

    def write(i: int, value: Any) -> None:
        if type(value) is not np.ndarray or value.dtype is not seen or value.shape != shape:
            value = checked(value)
        rows[i][...] = value

    def write_encoded(i: int, value: Any) -> None:
        try:
            target[i] = encode_leaf(space, checked(value))
        except BadValue:
            raise
        except ValueError as error:
            raise BadValue(f"in its {name} {error}") from None

    return write if plain else write_encoded


def float_views(obs: Observation) -> list[np.ndarray]:
    """Flat views of the arrays of an observation [N, ...] that could hold NaN."""
    parts = list(obs.values()) if isinstance(obs, dict) else [obs]
    return [part.reshape(-1) for part in parts if part.dtype.kind == "f" and part.size]


def finite_check(views: list[np.ndarray]) -> Callable[[], bool]:
    """A function that tells whether every number in the flat `views` is finite, in half a microsecond a view."""
    flags = [bytearray(view.size) for view in views]
    marked = [(view, np.frombuffer(flag, np.bool_), flag) for view, flag in zip(views, flags, strict=True)]

    def all_finite() -> bool:
        for view, out, flag in marked:
            np.isfinite(view, out)
            if 0 in flag:  # a search for a byte, several times faster than a reduction of few numbers
                return False
        return True

    return all_finite


def finite_rows(obs: Observation) -> np.ndarray:
    """Bool [N]: the rows whose numbers are all finite."""
    parts = list(obs.values()) if isinstance(obs, dict) else [obs]
    floats = [part for part in parts if part.dtype.kind == "f"]
    n = len(parts[0])
    return np.logical_and.reduce([np.ones(n, bool), *(np.isfinite(part.reshape(n, -1)).all(-1) for part in floats)])


def without_numbers(obs: Observation, rows: np.ndarray) -> Observation:
    """`obs` [K, ...] with zeros in those of `rows` [K] bool that are not finite.

    For last observations of terminated episodes: the value of what follows is 0, whatever they show.
    """
    bad = rows & ~finite_rows(obs)
    if bad.any():
        obs = copy(obs)
        for part in parts_of(obs):
            part[bad] = 0
    return obs
