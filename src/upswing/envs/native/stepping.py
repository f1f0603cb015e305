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
def advance(i, functions, action, low, high, parameters, worlds, max_steps, final_obs, episodes, n_episodes):
    """(reward, terminated, truncated) of environment `i` after `action` [n_actions], which is clipped to its bounds.

    functions: the addresses of step, reset and success. worlds: (state [N, n_state], stream [N, 4], obs [N, n_obs], elapsed [N], returns [N], succeeded [N]). Where the
    episode ends its last observation is written to `final_obs` [n_obs], its statistics to the next row of `episodes`,
    counted in `n_episodes` [1], and the environment is reset.
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
        for k in range(final_obs.size):
            final_obs[k] = obs[i, k]
        row = episodes[n_episodes[0]]
        row[EPISODE_ENV], row[EPISODE_RETURN], row[EPISODE_LENGTH] = i, returns[i], elapsed[i]
        row[EPISODE_ONCE], row[EPISODE_AT_END] = succeeded[i], succeeds
        n_episodes[0] += 1
        begin(i, reset, parameters, worlds)
    return reward, terminated, truncated


@inline_exact
def begin(i, reset, parameters, worlds):
    """Start a new episode of environment `i`."""
    state, stream, obs, elapsed, returns, succeeded = worlds
    call_reset(reset, (state[i], obs[i], parameters, stream[i]))
    elapsed[i] = 0
    returns[i] = 0.0
    succeeded[i] = False
