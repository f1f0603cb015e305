"""Collecting step by step: what the policy does before and after each step of environments that are not compiled.

A kernel costs 0.2 µs for each array it is given, and a step of the policy touches thirty. They stay where they are for
a whole rollout, so a kernel here is given one table of their addresses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import types

from upswing.compiled.compiler import inline, kernel
from upswing.compiled.views import doubles_at, flags_at, floats_at, integers_at, matrix, words_at
from upswing.engine.native.buffers import NetworkBuffers
from upswing.engine.native.mlp import refresh_shadow
from upswing.engine.native.moments import NativeMoments
from upswing.engine.native.rollout import (
    CLIP_OBS,
    CLIP_REWARD,
    DETERMINISTIC,
    GAMMA,
    N_SCALING,
    SCALES_OBS,
    SCALES_REWARDS,
    act,
    copy,
)
from upswing.engine.native.scaling import learn_rewards, merge, scale_obs
from upswing.engine.native.storage import RolloutStorage
from upswing.envs.contract import Step

# sizes in the table: [N] environments in all, those of this lane from FIRST on, and the lengths of what has no other
N_ENVS, FIRST, COUNT, N_OBS, N_ACTIONS, N_LAYERS, N_HEAD, N_PARAMS, N_SHADOW, N_WORK, HAS_CHOICES = range(11)
# addresses in the table: of the policy, of its generator, of the statistics
LAYERS, HEAD, PARAMS, SHADOW, OUTPUTS, SLOPES, STREAM, SCALING = range(11, 19)
OBS_MEAN, OBS_VAR, OBS_COUNT, RETURN_MEAN, RETURN_VAR, RETURN_COUNT, DISCOUNTED = range(19, 26)
# of the rollout's rows [T, N, ...], and of the observations [N, n_obs] that the next actions are for
OBS, ACTIONS, LOG_PROBS, VALUES, REWARDS, TERMINATED, TRUNCATED, VALID, CHOICES, CURRENT = range(26, 36)
# of what the environments of this lane answered: [COUNT, ...]
NEW_OBS, NEW_REWARDS, NEW_TERMINATED, NEW_TRUNCATED, NEW_VALID = range(36, 41)
N_TABLE = 41

ANSWERED = (np.float32, np.float32, np.bool_, np.bool_, np.bool_)
"""The dtypes of what the environments answered."""


@kernel(types.void(types.int64[::1], types.intp, types.boolean))
def act_row(table, t, refresh):
    """Draw actions for the current observations of a lane, whose part of row `t` of the rollout is filled as far as it
    is known before the environments step; `refresh` where the parameters have changed."""
    first, n, n_obs, n_actions = table[FIRST], table[COUNT], table[N_OBS], table[N_ACTIONS]
    layers = matrix(integers_at(table[LAYERS], table[N_LAYERS] * 10), 0, table[N_LAYERS], 10)
    params, shadow = floats_at(table[PARAMS], table[N_PARAMS]), floats_at(table[SHADOW], table[N_SHADOW])
    outputs, slopes = floats_at(table[OUTPUTS], table[N_WORK]), floats_at(table[SLOPES], table[N_WORK])
    if refresh:
        refresh_shadow(layers, params, shadow)
    policy = (layers, integers_at(table[HEAD], table[N_HEAD]), params, shadow, outputs, slopes)
    row = t * table[N_ENVS] + first
    current, actions = rows_of(table, CURRENT, first, n, n_obs), rows_of(table, ACTIONS, row, n, n_actions)
    copy(current, rows_of(table, OBS, row, n, n_obs))
    log_probs, values = floats_of(table, LOG_PROBS, row, n), floats_of(table, VALUES, row, n)
    deterministic = doubles_at(table[SCALING], N_SCALING)[DETERMINISTIC] != 0.0
    act(policy, words_at(table[STREAM], 4), current, actions, log_probs, values, deterministic)
    if table[HAS_CHOICES] != 0:
        choices = integers_at(table[CHOICES] + 8 * row, n)
        for i in range(n):
            choices[i] = np.int64(actions[i, 0])


@kernel(types.float64(types.int64[::1], types.intp))
def store_row(table, t):
    """The sum of raw rewards in what the environments of a lane answered, which goes to its part of row `t`; their
    observations become the current ones. Both are scaled where that is wanted, after the statistics took them in."""
    first, n, n_obs = table[FIRST], table[COUNT], table[N_OBS]
    row, scaling = t * table[N_ENVS] + first, doubles_at(table[SCALING], N_SCALING)
    fell, cut = flags_at(table[NEW_TERMINATED], n), flags_at(table[NEW_TRUNCATED], n)
    new_valid, new_rewards = flags_at(table[NEW_VALID], n), floats_at(table[NEW_REWARDS], n)
    rewards, valid = floats_of(table, REWARDS, row, n), flags_of(table, VALID, row, n)
    terminated, truncated = flags_of(table, TERMINATED, row, n), flags_of(table, TRUNCATED, row, n)
    total = 0.0
    for i in range(n):
        rewards[i] = new_rewards[i] if new_valid[i] else np.float32(0.0)
        terminated[i], truncated[i], valid[i] = fell[i], cut[i], new_valid[i]
        total += rewards[i]
    if scaling[SCALES_REWARDS] != 0.0:
        ended = np.empty(n, np.bool_)
        for i in range(n):
            ended[i] = fell[i] or cut[i]
        mean, var, count = doubles_at(table[RETURN_MEAN], 1), doubles_at(table[RETURN_VAR], 1), table[RETURN_COUNT]
        discounted = doubles_at(table[DISCOUNTED] + 8 * first, n)
        gamma, clip = scaling[GAMMA], scaling[CLIP_REWARD]
        learn_rewards(mean, var, doubles_at(count, 1), discounted, gamma, clip, rewards, ended, valid)
    raw, current = rows_of(table, NEW_OBS, 0, n, n_obs), rows_of(table, CURRENT, first, n, n_obs)
    if scaling[SCALES_OBS] != 0.0:
        mean, var = doubles_at(table[OBS_MEAN], n_obs), doubles_at(table[OBS_VAR], n_obs)
        merge(mean, var, doubles_at(table[OBS_COUNT], 1), raw, n)
        scale_obs(mean, var, scaling[CLIP_OBS], raw, current, n)
    else:
        copy(raw, current)
    return total


@inline
def rows_of(table, which, row, n, width):
    """Rows `row` to `row + n` of a float32 array [·, width] in the table."""
    return matrix(floats_at(table[which] + 4 * row * width, n * width), 0, n, width)


@inline
def floats_of(table, which, row, n):
    """The `n` numbers from `row` on of a float32 array in the table."""
    return floats_at(table[which] + 4 * row, n)


@inline
def flags_of(table, which, row, n):
    """The `n` flags from `row` on of a bool array in the table."""
    return flags_at(table[which] + row, n)


class Lane:
    """The policy's part for some neighbouring environments, `where`, that step together. Call `begin` before a rollout.

    Lanes that are served in turns share the policy's generator: what they are given depends on the order in which they
    are served, and on nothing else.
    """

    def __init__(
        self, storage: RolloutStorage, buffers: NetworkBuffers, moments: NativeMoments, stream: np.ndarray, where: slice
    ):
        self.storage, self.buffers, self.moments, self.stream, self.where = storage, buffers, moments, stream, where
        self.n_envs = where.stop - where.start
        self.table = np.zeros(N_TABLE, np.int64)
        self.all_valid = np.ones(self.n_envs, np.bool_)
        self.answer: tuple[np.ndarray, ...] = ()  # what the table's NEW_… point to
        self.answered_by: tuple[np.ndarray, ...] = ()  # the environments' own arrays, where those are the same
        self._act, self._store = act_row.prepare(), store_row.prepare()

    def begin(self) -> None:
        """Look where everything is."""
        table, storage, layout = self.table, self.storage, self.buffers.layout
        policy = (*self.buffers.forward, self.stream)
        statistics = (self.moments.scaling, *self.moments.obs, *self.moments.returns, self.moments.discounted)
        written = (storage.obs, storage.actions, storage.log_probs, storage.values, storage.rewards)
        rows = (*written, storage.terminated, storage.truncated, storage.valid, storage.choices, storage.current)
        table[LAYERS : CURRENT + 1] = [address(array) for array in (*policy, *statistics, *rows)]
        n_envs, n_work = storage.current.shape[0], self.buffers.outputs.size
        sizes = (n_envs, self.where.start, self.n_envs, layout.n_obs, layout.n_actions)
        more = (len(layout.layers), layout.head.size, self.buffers.params.size, self.buffers.shadow.size, n_work)
        table[: HAS_CHOICES + 1] = (*sizes, *more, storage.choices.size > 0)

    def act(self, t: int, refresh: bool = False) -> np.ndarray:
        """Actions for the environments; observation, action, log-probability and value are stored in row `t`.
        `refresh` where the parameters have changed."""
        self._act(self.table, t, refresh)
        return self.storage.env_actions(t, self.where)

    def store(self, t: int, step: Step) -> float:
        """The sum of raw rewards of a step whose outcome is stored in row `t`."""
        by = self.answered_by
        known = by and step.obs is by[0] and step.rewards is by[1] and step.terminated is by[2]
        if not known or step.truncated is not by[3] or step.valid is not None:
            self._find(step)
        return self._store(self.table, t)

    def _find(self, step: Step) -> None:
        """Point the table to what the environments answered, or to copies of another dtype or order."""
        assert not isinstance(step.obs, dict)
        valid = self.all_valid if step.valid is None else step.valid
        given: tuple[np.ndarray, ...] = (step.obs, step.rewards, step.terminated, step.truncated, valid)
        self.answer = tuple(_readable(a, kind) for a, kind in zip(given, ANSWERED, strict=True))
        as_given = step.valid is None and all(a is b for a, b in zip(self.answer, given, strict=True))
        self.answered_by = self.answer if as_given else ()
        self.table[NEW_OBS:] = [address(array) for array in self.answer]


def _readable(array: np.ndarray, kind: type) -> np.ndarray:
    """`array` itself where kernels can read it, else a copy. NumPy makes a new array where the dtype is only equal, as
    it is after a pickle."""
    return array if array.dtype == kind and array.flags.c_contiguous else np.ascontiguousarray(array, kind)


def address(array: np.ndarray) -> int:
    """Where `array`'s memory begins."""
    return int(array.__array_interface__["data"][0])


def same_in_parts(whole: Lane, parts: Sequence[Lane]) -> bool:
    """Whether serving `parts` in turns gives what serving the `whole` gives, to the bit.

    Products of matrices are rounded alike for some numbers of rows and differently for others, by the kind of
    processor; so it is tried, on random observations. The generator is left as it was.
    """
    storage, before = whole.storage, whole.stream.copy()
    storage.current[:] = np.random.default_rng(0).standard_normal(storage.current.shape)
    answers = []
    for lanes in ([whole], parts):
        whole.stream[:] = before
        for lane in lanes:
            lane.begin()
            lane.act(0, refresh=True)
        answers.append([rows[0].copy() for rows in (storage.actions, storage.log_probs, storage.values)])
    whole.stream[:] = before
    return all(np.array_equal(one, other) for one, other in zip(*answers, strict=True))
