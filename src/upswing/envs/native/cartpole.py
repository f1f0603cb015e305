"""CartPole-v1, step for step as in Gymnasium.

Source: Barto, Sutton and Anderson 1983, "Neuronlike adaptive elements that can solve difficult learning control
problems"; equations of motion by Florian 2007, "Correct equations for the dynamics of the cart-pole system".
"""

from __future__ import annotations

import math

import numpy as np
from gymnasium import spaces

from upswing.compiled.random import uniform
from upswing.envs.native.pictures import drawn_by_gymnasium
from upswing.envs.native.spec import native_env

GRAVITY, FORCE, TIME_STEP = 9.8, 10.0, 0.02
POLE_MASS, TOTAL_MASS, HALF_LENGTH = 0.1, 0.1 + 1.0, 0.5
POLE_MOMENT = POLE_MASS * HALF_LENGTH
FARTHEST, STEEPEST = 2.4, 12 * 2 * math.pi / 360


def reset(state, obs, parameters, rng):
    """Cart position and speed, pole angle and angular speed, each within ±0.05."""
    for k in range(4):
        state[k] = uniform(rng, -0.05, 0.05)
        obs[k] = state[k]


def step(state, action, obs, parameters, rng):
    """Push the cart left (0) or right (1) for one time step, by Euler's method; a reward of 1 until the pole falls."""
    x, speed, angle, turn = state[0], state[1], state[2], state[3]
    force = FORCE if action[0] == 1.0 else -FORCE
    cos, sin = math.cos(angle), math.sin(angle)
    push = (force + POLE_MOMENT * (turn * turn) * sin) / TOTAL_MASS
    turn_rate = (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * (cos * cos) / TOTAL_MASS))
    speed_rate = push - POLE_MOMENT * turn_rate * cos / TOTAL_MASS
    state[0] = x + TIME_STEP * speed
    state[1] = speed + TIME_STEP * speed_rate
    state[2] = angle + TIME_STEP * turn
    state[3] = turn + TIME_STEP * turn_rate
    for k in range(4):
        obs[k] = state[k]
    fell = abs(state[0]) > FARTHEST or abs(state[2]) > STEEPEST
    if parameters[0] != 0.0:  # rewards as in Sutton and Barto's book
        return (-1.0 if fell else 0.0), fell
    return 1.0, fell


_HIGHEST = np.array([2 * FARTHEST, np.inf, 2 * STEEPEST, np.inf], np.float32)

SPEC = native_env(
    "CartPole-v1",
    step,
    reset,
    observation_space=spaces.Box(-_HIGHEST, _HIGHEST, dtype=np.float32),
    action_space=spaces.Discrete(2),
    n_state=4,
    max_episode_steps=500,
    parameters={"sutton_barto_reward": False},
    picture=drawn_by_gymnasium("CartPole-v1", 4),
)
