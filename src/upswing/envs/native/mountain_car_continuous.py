"""MountainCarContinuous-v0, step for step as in Gymnasium: mountain_car.py with a throttle.

Gymnasium keeps the state in float32 from the first step on; here it is so from the reset.
"""

from __future__ import annotations

import math

import numpy as np
from gymnasium import spaces

from upswing.compiled.random import uniform
from upswing.envs.native.pictures import drawn_by_gymnasium
from upswing.envs.native.spec import native_env

LEFT, RIGHT, GOAL, FASTEST = np.float32(-1.2), np.float32(0.6), np.float32(0.45), np.float32(0.07)
POWER, GRAVITY = np.float32(0.0015), 0.0025


def reset(state, obs, parameters, rng):
    """Near the valley's floor, at rest."""
    state[0] = np.float32(uniform(rng, -0.6, -0.4))
    state[1] = 0.0
    obs[0], obs[1] = state[0], state[1]


def step(state, action, obs, parameters, rng):
    """Accelerate by the action in [-1, 1]; 100 at the goal, less a tenth of the action squared a step."""
    position, speed, force = np.float32(state[0]), np.float32(state[1]), action[0]
    slope = np.float32(GRAVITY * math.cos(np.float64(np.float32(3.0) * position)))
    speed = speed + (force * POWER - slope)
    speed = min(max(speed, -FASTEST), FASTEST)
    position = min(max(position + speed, LEFT), RIGHT)
    if position == LEFT and speed < 0.0:
        speed = np.float32(0.0)
    state[0], state[1] = position, speed
    obs[0], obs[1] = position, speed
    arrived = position >= GOAL and speed >= np.float32(parameters[0])
    return (100.0 if arrived else 0.0) - np.float64(force) ** 2 * 0.1, arrived


_LOWEST, _HIGHEST = np.array([LEFT, -FASTEST], np.float32), np.array([RIGHT, FASTEST], np.float32)

SPEC = native_env(
    "MountainCarContinuous-v0",
    step,
    reset,
    observation_space=spaces.Box(_LOWEST, _HIGHEST, dtype=np.float32),
    action_space=spaces.Box(-1.0, 1.0, (1,), np.float32),
    n_state=2,
    max_episode_steps=999,
    parameters={"goal_velocity": 0.0},
    picture=drawn_by_gymnasium("MountainCarContinuous-v0", 2),
)
