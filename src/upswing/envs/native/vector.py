"""N compiled environments side by side: the vector environment for everyone, its memory for the native engine."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
from numba import types

from upswing.compiled.compiler import kernel
from upswing.compiled.random import streams
from upswing.envs.contract import Episode, Step
from upswing.envs.native.spec import NativeSpec
from upswing.envs.native.stepping import (
    EPISODE_AT_END,
    EPISODE_ENV,
    EPISODE_LENGTH,
    EPISODE_ONCE,
    EPISODE_RETURN,
    NO_LIMIT,
    advance,
    begin,
    move_up,
)
from upswing.errors import StorageError

FUNCTION_TYPES = (types.intp,) * 3  # addresses of step, reset and success
WORLD_TYPES = (
    types.float64[:, ::1],  # state
    types.uint64[:, ::1],  # stream
    types.float32[:, ::1],  # obs
    types.int64[::1],  # elapsed
    types.float64[::1],  # returns
    types.boolean[::1],  # succeeded
)
FLOATS, TABLE, DOUBLES = types.float32[::1], types.float32[:, ::1], types.float64[::1]
FLAGS, INTEGER = types.boolean[::1], types.int64


@kernel(types.void(types.intp, DOUBLES, *WORLD_TYPES))
def reset_all(reset, parameters, state, stream, obs, elapsed, returns, succeeded):
    """Start a new episode of every environment."""
    for i in range(elapsed.size):
        begin(i, reset, parameters, (state, stream, obs, elapsed, returns, succeeded))


@kernel(
    types.int64(
        *FUNCTION_TYPES,
        TABLE,
        FLOATS,
        FLOATS,
        DOUBLES,
        *WORLD_TYPES,
        INTEGER,
        FLOATS,
        FLAGS,
        FLAGS,
        TABLE,
        types.float64[:, ::1],
    )
)
def step_all(
    step, reset, success, actions, low, high, parameters, state, stream, obs, elapsed, returns, succeeded,
    max_steps, rewards, terminated, truncated, final_obs, episodes,
):  # fmt: skip
    """How many episodes ended in one step of every environment; `final_obs` and `episodes` begin with theirs."""
    worlds, ended = (state, stream, obs, elapsed, returns, succeeded), 0
    for i in range(elapsed.size):
        reward, fell, cut = advance(
            i, (step, reset, success), actions[i], low, high, parameters, worlds, max_steps, final_obs, episodes, i
        )
        rewards[i], terminated[i], truncated[i] = np.float32(reward), fell, cut
        if fell or cut:
            move_up(final_obs, i, ended)
            move_up(episodes, i, ended)
            ended += 1
    return ended


class NativeVectorEnv:
    """N compiled environments. Meets the VectorEnv contract, and can be saved and restored exactly."""

    def __init__(self, spec: NativeSpec, n_envs: int):
        self.spec, self.n_envs = spec, n_envs
        self.observation_space: gymnasium.Space = spec.observation_space
        self.action_space = spec.action_space
        self._obs_shape = spec.observation_space.shape
        self.description = f"{n_envs} {'environment' if n_envs == 1 else 'environments'}, compiled"
        self.functions = spec.compiled.addresses
        self.parameters, self.physics = spec.begin()
        self.low, self.high = spec.action_bounds()
        self.max_steps = spec.max_episode_steps or NO_LIMIT
        self.n_obs = math.prod(self._obs_shape)
        self.worlds: tuple[np.ndarray, ...] = (
            np.zeros((n_envs, spec.n_state), np.float64),
            streams(range(n_envs)),
            np.zeros((n_envs, self.n_obs), np.float32),
            np.zeros(n_envs, np.int64),
            np.zeros(n_envs, np.float64),
            np.zeros(n_envs, np.bool_),
        )
        self._actions = np.zeros((n_envs, spec.n_actions), np.float32)
        self._rewards = np.zeros(n_envs, np.float32)
        self._ended = np.zeros((2, n_envs), np.bool_)
        self._final_obs = np.zeros((n_envs, self.n_obs), np.float32)
        self._episodes = np.zeros((n_envs, 5), np.float64)

    @property
    def obs(self) -> np.ndarray:
        """The current observations, float32 [N, ...]: a view."""
        return self.worlds[2].reshape(self.n_envs, *self._obs_shape)

    def reset(self, seeds: list[int] | None = None) -> np.ndarray:
        """First observations [N, ...] of new episodes; `seeds` gives each environment its own."""
        if seeds is not None:
            self.worlds[1][:] = streams(seeds)
        reset_all(self.functions[1], self.parameters, *self.worlds)
        return self.obs.copy()

    def step(self, actions: np.ndarray) -> Step:
        """The outcome of `actions` [N] or [N, A], clipped to the action space. The arrays are reused by the next step."""
        self._actions[...] = np.asarray(actions).reshape(self.n_envs, -1)
        terminated, truncated = self._ended
        n_ended = step_all(
            *self.functions, self._actions, self.low, self.high, self.parameters, *self.worlds, self.max_steps,
            self._rewards, terminated, truncated, self._final_obs, self._episodes,
        )  # fmt: skip
        final_obs = self._final_obs[:n_ended].reshape(n_ended, *self._obs_shape) if n_ended else None
        episodes = self.read_episodes(self._episodes[:n_ended]) if n_ended else []
        return Step(self.obs, self._rewards, terminated, truncated, final_obs, episodes)

    def read_episodes(self, table: np.ndarray) -> list[Episode]:
        """The finished episodes in a table that `advance` filled."""
        speaks = self.spec.success is not None
        return [
            Episode(
                int(row[EPISODE_ENV]),
                row[EPISODE_RETURN],
                int(row[EPISODE_LENGTH]),
                bool(row[EPISODE_ONCE]) if speaks else None,
                bool(row[EPISODE_AT_END]) if speaks else None,
            )
            for row in table.tolist()
        ]

    def get_state(self) -> dict[str, Any]:
        """Everything needed to continue exactly."""
        return {name: array.copy() for name, array in zip(WORLD_NAMES, self.worlds, strict=True)}

    def set_state(self, state: dict[str, Any]) -> np.ndarray:
        """The current observations [N, ...] after restoring what `get_state` gave. Raises StorageError for another shape."""
        for name, array in zip(WORLD_NAMES, self.worlds, strict=True):
            if name not in state or np.shape(state[name]) != array.shape:
                raise StorageError(
                    f"The saved state is not one of {self.n_envs} compiled {self.spec.id}: resume with the same env and n_envs."
                )
        for name, array in zip(WORLD_NAMES, self.worlds, strict=True):
            array[...] = state[name]
        return self.obs.copy()

    def render(self) -> np.ndarray | None:
        """An RGB picture [H, W, 3] uint8 of the first environment, or None where it has no `picture`."""
        return None if self.spec.picture is None else self.spec.picture(self.worlds[0][0].copy())

    def close(self) -> None:
        """Nothing is held that needs releasing."""


WORLD_NAMES = ("state", "stream", "obs", "elapsed", "returns", "succeeded")
