"""One step of one environment among N, with everything around it: time limit, episode statistics, autoreset."""

from __future__ import annotations

import numpy as np

from upswing.compiled.compiler import inline_exact
from upswing.compiled.functions import caller
from upswing.envs.native.spec import RESET, STEP, SUCCESS

call_step, call_reset, call_success = caller(STEP), caller(RESET), caller(SUCCESS)

EPISODE_ENV, EPISODE_RETURN, EPISODE_LENGTH, EPISODE_ONCE, EPISODE_AT_END = range(5)  # columns of the episode table
NO_LIMIT = np.iinfo(np.int64).max


@inline_exact
def advance(i, functions, action, low, high, parameters, worlds, max_steps, final_obs, episodes, row):
    """(reward, terminated, truncated) of environment `i` after `action` [n_actions], which is clipped to its bounds.

    functions: the addresses of step, reset and success. worlds: (state [N, n_state], stream [N, 4], obs [N, n_obs],
    elapsed [N], returns [N], succeeded [N]). Where the episode ends its last observation is written to row `i` of
    `final_obs` [N, n_obs], its statistics to `row` of `episodes` [·, 5], and the environment is reset. So neighbours
    share nothing that is written, and several threads may step one each.
    """
    step, reset, success = functions
    state, stream, obs, elapsed, returns, succeeded = worlds
    for k in range(action.size):
        action[k] = min(max(action[k], low[k]), high[k])
    reward, terminated = call_step(step, (state[i], action, obs[i], parameters, stream[i]))
    elapsed[i] += 1
    returns[i] += reward
    succeeds = call_success(success, (state[i], parameters))
    succeeded[i] = succeeded[i] or succeeds
    truncated = elapsed[i] >= max_steps
    if terminated or truncated:
        for k in range(obs.shape[1]):
            final_obs[i, k] = obs[i, k]
        episode = episodes[row]
        episode[EPISODE_ENV], episode[EPISODE_RETURN], episode[EPISODE_LENGTH] = i, returns[i], elapsed[i]
        episode[EPISODE_ONCE], episode[EPISODE_AT_END] = succeeded[i], succeeds
        begin(i, reset, parameters, worlds)
    return reward, terminated, truncated


@inline_exact
def move_up(table, row, to):
    """Put a row of `table` in the place of row `to` <= `row`."""
    if row != to:
        for k in range(table.shape[1]):
            table[to, k] = table[row, k]


@inline_exact
def begin(i, reset, parameters, worlds):
    """Start a new episode of environment `i`."""
    state, stream, obs, elapsed, returns, succeeded = worlds
    call_reset(reset, (state[i], obs[i], parameters, stream[i]))
    elapsed[i] = 0
    returns[i] = 0.0
    succeeded[i] = False
