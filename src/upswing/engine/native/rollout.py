"""Collecting a rollout in compiled code: all of it with compiled environments, the policy's part with others."""

from __future__ import annotations

import numpy as np
from numba import types

from upswing.compiled.atomics import load
from upswing.compiled.clock import nanoseconds
from upswing.compiled.compiler import inline, kernel
from upswing.compiled.views import vector
from upswing.engine.native.heads import mode, sample
from upswing.engine.native.layout import N_OUT, OUTPUT, POLICY, POLICY_LAYER, VALUE, VALUE_LAYER
from upswing.engine.native.mlp import forward, refresh_shadow
from upswing.engine.native.scaling import learn_rewards, merge, scale_obs
from upswing.engine.native.team import FAILED, OVER, publish, sharing
from upswing.envs.native.stepping import advance, move_up
from upswing.envs.native.vector import FUNCTION_TYPES, WORLD_TYPES

TIMED_EVERY = 16  # steps: reading the clock at each would cost as much as a small environment

INTEGERS, DOUBLES, FLOATS, FLAGS = types.int64[::1], types.float64[::1], types.float32[::1], types.boolean[::1]
FLOATS_2, FLOATS_3, DOUBLES_2, FLAGS_2 = (
    types.float32[:, ::1],
    types.float32[:, :, ::1],
    types.float64[:, ::1],
    types.boolean[:, ::1],
)
STREAM = types.uint64[::1]

POLICY_TYPES = (
    types.int64[:, ::1],
    INTEGERS,
    FLOATS,
    FLOATS,
    FLOATS,
    FLOATS,
)  # layers head params shadow outputs slopes
ROWS_TYPES = (FLOATS_3, FLOATS_3, FLOATS_2, FLOATS_2, FLOATS_2, FLAGS_2, FLAGS_2, FLOATS_2)
MOMENT_TYPES = (DOUBLES, DOUBLES, DOUBLES)

# entries of the counters of a native rollout
N_EPISODES, ENV_NS, TIMED_STEPS = range(3)
N_COUNTERS = 3
# entries of its plan: the row at hand, the row for the first environment's episode, environments in a piece
ROW, EPISODE_ROW, PIECE = range(3)
N_PLAN = 3
# entries of the settings `scaling`
GAMMA, CLIP_OBS, CLIP_REWARD, SCALES_OBS, SCALES_REWARDS, FROZEN, DETERMINISTIC = range(7)
# FROZEN: statistics are used and not changed. DETERMINISTIC: the most likely action instead of a draw.
N_SCALING = 7


@inline
def step_some(_, piece, job, work):
    """Step the environments of a piece by the actions of the row at hand."""
    functions, low, high, max_steps, worlds, actions, (rewards, terminated, truncated), final_obs, episodes, plan = job
    parameters, action = work
    t, first_row, size = plan[ROW], plan[EPISODE_ROW], plan[PIECE]
    for i in range(piece * size, min((piece + 1) * size, final_obs.shape[0])):
        for k in range(action.size):
            action[k] = actions[t, i, k]
        reward, fell, cut = advance(
            i, functions, action, low, high, parameters, worlds, max_steps, final_obs, episodes, first_row + i
        )
        rewards[t, i], terminated[t, i], truncated[t, i] = np.float32(reward), fell, cut


share, help_out = sharing(step_some)


@kernel(
    types.float64(
        *POLICY_TYPES, STREAM, *FUNCTION_TYPES, FLOATS, FLOATS, types.int64, *WORLD_TYPES,
        DOUBLES, *MOMENT_TYPES, *MOMENT_TYPES, DOUBLES,
        *ROWS_TYPES, FLOATS_2, FLOATS_2, DOUBLES_2, INTEGERS,
        INTEGERS, INTEGERS, DOUBLES, types.boolean,
    )
)  # fmt: skip
def collect(
    layers, head, params, shadow, outputs, slopes,
    stream, step, reset, success, low, high, max_steps,
    state, env_stream, raw_obs, elapsed, env_returns, succeeded,
    scaling, obs_mean, obs_var, obs_count, return_mean, return_var, return_count, discounted,
    obs, actions, log_probs, values, rewards, terminated, truncated, final_values,
    current, final_obs, episodes, counters,
    team, plan, parameters, helps,
):  # fmt: skip
    """The sum of raw rewards of a rollout with compiled environments.

    The rollout's rows [T, N, ...] are filled. `current` [N, n_obs] holds the observations as the policy sees them and
    is left at those after the last step; `final_obs` [N, n_obs] is scratch. `episodes` [T N, 5] gets a row for each
    finished one, counted in `counters`.

    With `helps` the call is another thread's, made with the same arguments but `parameters` of its own: it steps
    environments for the first one until that one is done.
    """
    policy = (layers, head, params, shadow, outputs, slopes)
    worlds = (state, env_stream, raw_obs, elapsed, env_returns, succeeded)
    functions, outcome = (step, reset, success), (rewards, terminated, truncated)
    job = (functions, low, high, max_steps, worlds, actions, outcome, final_obs, episodes, plan)
    work = (parameters, np.empty(actions.shape[2], np.float32))
    if helps:
        help_out(team, job, work)
        return 0.0
    total, n_envs = 0.0, current.shape[0]
    n_pieces = (n_envs + plan[PIECE] - 1) // plan[PIECE]
    valid, ended, ended_rows = np.ones(n_envs, np.bool_), np.zeros(n_envs, np.bool_), np.empty(n_envs, np.int64)
    deterministic = scaling[DETERMINISTIC] != 0.0
    refresh_shadow(layers, params, shadow)
    for t in range(obs.shape[0]):
        copy(current, obs[t])
        act(policy, stream, current, actions[t], log_probs[t], values[t], deterministic)
        before = nanoseconds() if t % TIMED_EVERY == 0 else 0
        plan[ROW], plan[EPISODE_ROW], n_ended = t, counters[N_EPISODES], 0
        share(team, 0, n_pieces, job, work)
        if load(team, FAILED) != 0:  # the helper's exception is raised when it is back
            break
        for i in range(n_envs):
            total += rewards[t, i]
            final_values[t, i], ended[i] = np.float32(0.0), terminated[t, i] or truncated[t, i]
            if ended[i]:
                move_up(final_obs, i, n_ended)
                move_up(episodes, plan[EPISODE_ROW] + i, counters[N_EPISODES])
                ended_rows[n_ended] = i
                n_ended += 1
                counters[N_EPISODES] += 1
        if t % TIMED_EVERY == 0:
            counters[ENV_NS] += nanoseconds() - before
            counters[TIMED_STEPS] += 1
        if scaling[SCALES_REWARDS] != 0.0:
            gamma, clip = scaling[GAMMA], scaling[CLIP_REWARD]
            learn_rewards(return_mean, return_var, return_count, discounted, gamma, clip, rewards[t], ended, valid)
        if scaling[SCALES_OBS] != 0.0:
            if scaling[FROZEN] == 0.0:
                merge(obs_mean, obs_var, obs_count, raw_obs, n_envs)
            scale_obs(obs_mean, obs_var, scaling[CLIP_OBS], raw_obs, current, n_envs)
            scale_obs(obs_mean, obs_var, scaling[CLIP_OBS], final_obs, final_obs, n_ended)
        else:
            copy(raw_obs, current)
        value_endings(policy, final_obs, vector(ended_rows, 0, n_ended), final_values[t])
    publish(team, OVER, 0)
    return total


@inline
def copy(source, target):
    """Copy one [rows, columns] array to another: a slice assignment would compile to a hundred times the code."""
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[i, j] = source[i, j]


@inline
def act(policy, stream, x, actions, log_probs, values, deterministic):
    """An action for each observation x [N, n_obs], with its log-probability (where it is drawn) and the value."""
    layers, head, params, shadow, outputs, slopes = policy
    n_envs, capacity = x.shape[0], outputs.size // columns(layers)
    flat, n_outputs = x.reshape(-1), layers[head[POLICY_LAYER], N_OUT]
    for start in range(0, n_envs, capacity):
        rows = min(capacity, n_envs - start)
        forward(layers, POLICY + VALUE, params, shadow, flat, start, rows, capacity, outputs, slopes)
        y, v = layers[head[POLICY_LAYER], OUTPUT] * capacity, layers[head[VALUE_LAYER], OUTPUT] * capacity
        for i in range(rows):
            row = vector(outputs, y + i * n_outputs, n_outputs)
            if deterministic:
                mode(head, row, actions[start + i])
            else:
                log_probs[start + i] = sample(head, params, row, stream, actions[start + i])
            values[start + i] = outputs[v + i]


@inline
def value(policy, x, n, out):
    """Write the values of the first `n` observations of x [·, n_obs] to `out`."""
    layers, head, params, shadow, outputs, slopes = policy
    capacity, flat = outputs.size // columns(layers), x.reshape(-1)
    for start in range(0, n, capacity):
        rows = min(capacity, n - start)
        forward(layers, VALUE, params, shadow, flat, start, rows, capacity, outputs, slopes)
        v = layers[head[VALUE_LAYER], OUTPUT] * capacity
        for i in range(rows):
            out[start + i] = outputs[v + i]


@inline
def value_endings(policy, final_obs, ended_rows, final_values):
    """Write the values of the true last observations to the rows [N] whose episodes ended."""
    if ended_rows.size > 0:
        found = np.empty(ended_rows.size, np.float32)
        value(policy, final_obs, ended_rows.size, found)
        for k in range(ended_rows.size):
            final_values[ended_rows[k]] = found[k]


@inline
def columns(layers):
    """How many columns the workspace has: all layers' outputs side by side, each in whole cache lines."""
    last = layers[layers.shape[0] - 1]
    return last[OUTPUT] + (last[N_OUT] + 15) // 16 * 16


@kernel(types.void(*POLICY_TYPES, FLOATS_2, FLOATS, types.boolean))
def value_once(layers, head, params, shadow, outputs, slopes, x, out, refresh):
    """Write the values of the observations x [N, n_obs] to `out` [N]; `refresh` where the parameters have changed."""
    if refresh:
        refresh_shadow(layers, params, shadow)
    value((layers, head, params, shadow, outputs, slopes), x, x.shape[0], out)


@kernel(types.void(*MOMENT_TYPES, types.float64, types.boolean, FLOATS_2, FLOATS_2))
def observe_once(mean, var, count, clip, learn, raw, scaled):
    """Write observations [N, n_obs] scaled by the moments, which take them in before if `learn`."""
    if learn:
        merge(mean, var, count, raw, raw.shape[0])
    scale_obs(mean, var, clip, raw, scaled, raw.shape[0])
