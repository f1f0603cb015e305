"""An environment as a user writes one: one file, a step and a reset function."""

import gymnasium as gym
import numba
import numpy as np

from upswing.envs.native import native_env, normal, uniform


def reset(state, obs, parameters, rng):
    state[0] = uniform(rng, -1.0, 1.0)
    state[1] = 0.0
    look(state, obs)


def step(state, action, obs, parameters, rng):
    state[0] += parameters[0] * action[0] + parameters[1] * normal(rng)
    state[1] = abs(state[0])
    look(state, obs)
    return -state[1], state[1] > 2.0


@numba.njit
def look(state, obs):
    obs[0] = state[0]
    obs[1] = state[1]


def arrived(state, parameters):
    return state[1] < 0.1


FOLLOW = native_env(
    "Follow-v0",
    step,
    reset,
    observation_space=gym.spaces.Box(-3.0, 3.0, (2,)),
    action_space=gym.spaces.Box(-1.0, 1.0, (1,)),
    n_state=2,
    max_episode_steps=25,
    parameters={"gain": 0.2, "noise": 0.0},
    success=arrived,
    picture=lambda state: np.full((8, 8, 3), int(10 * abs(state[0])), np.uint8),
)
