"""MountainCar-v0, step for step as in Gymnasium: a weak car must swing itself out of a valley.

Source: Moore 1990, "Efficient memory-based learning for robot control".
"""

from __future__ import annotations

import math

import numpy as np
from gymnasium import spaces

from upswing.compiled.random import uniform
from upswing.envs.native.pictures import drawn_by_gymnasium
from upswing.envs.native.spec import native_env

LEFT, RIGHT, GOAL, FASTEST = -1.2, 0.6, 0.5, 0.07
FORCE, GRAVITY = 0.001, 0.0025


def reset(state, obs, parameters, rng):
    """Near the valley's floor, at rest."""
    state[0] = uniform(rng, -0.6, -0.4)
    state[1] = 0.0
    obs[0], obs[1] = state[0], state[1]


def step(state, action, obs, parameters, rng):
    """Accelerate left (0), not at all (1) or right (2); a reward of -1 a step until the goal."""
    position, speed = state[0], state[1]
    speed += (np.float64(action[0]) - 1.0) * FORCE + math.cos(3.0 * position) * (-GRAVITY)
    speed = min(max(speed, -FASTEST), FASTEST)
    position = min(max(position + speed, LEFT), RIGHT)
    if position == LEFT and speed < 0.0:
        speed = 0.0
    state[0], state[1] = position, speed
    obs[0], obs[1] = position, speed
    return -1.0, position >= GOAL and speed >= parameters[0]


_LOWEST, _HIGHEST = np.array([LEFT, -FASTEST], np.float32), np.array([RIGHT, FASTEST], np.float32)

SPEC = native_env(
    "MountainCar-v0",
    step,
    reset,
    observation_space=spaces.Box(_LOWEST, _HIGHEST, dtype=np.float32),
    action_space=spaces.Discrete(3),
    n_state=2,
    max_episode_steps=200,
    parameters={"goal_velocity": 0.0},
    picture=drawn_by_gymnasium("MountainCar-v0", 2),
)
