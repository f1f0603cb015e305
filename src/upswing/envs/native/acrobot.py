"""Acrobot-v1, step for step as in Gymnasium: two links, one motor at the elbow, swing the tip above a line.

Source: Sutton 1996, "Generalization in reinforcement learning"; Sutton and Barto's book, for the equations of motion.
"""

from __future__ import annotations

import math

import numpy as np
from gymnasium import spaces

from upswing.compiled.compiler import inline_exact
from upswing.compiled.random import uniform
from upswing.envs.native.pictures import drawn_by_gymnasium
from upswing.envs.native.spec import native_env

TIME_STEP, GRAVITY = 0.2, 9.8
MASS, LENGTH, CENTRE, INERTIA = 1.0, 1.0, 0.5, 1.0  # of both links
FASTEST_1, FASTEST_2 = 4.0 * math.pi, 9.0 * math.pi


def reset(state, obs, parameters, rng):
    """Hanging down nearly at rest: both angles and speeds within ±0.1."""
    for k in range(4):
        state[k] = np.float32(uniform(rng, -0.1, 0.1))
    observe(state, obs)


def step(state, action, obs, parameters, rng):
    """Apply a torque of -1, 0 or 1 for one time step (Runge-Kutta of order 4); -1 a step until the tip is up."""
    torque, start = np.float64(action[0]) - 1.0, (state[0], state[1], state[2], state[3])
    k1 = rates(start, torque)
    k2 = rates(moved(start, 0.5 * TIME_STEP, k1), torque)
    k3 = rates(moved(start, 0.5 * TIME_STEP, k2), torque)
    k4 = rates(moved(start, TIME_STEP, k3), torque)
    for k in range(4):
        state[k] = start[k] + TIME_STEP / 6.0 * (k1[k] + 2.0 * k2[k] + 2.0 * k3[k] + k4[k])
    state[0], state[1] = wrapped(state[0]), wrapped(state[1])
    state[2] = min(max(state[2], -FASTEST_1), FASTEST_1)
    state[3] = min(max(state[3], -FASTEST_2), FASTEST_2)
    observe(state, obs)
    up = -math.cos(state[0]) - math.cos(state[1] + state[0]) > 1.0
    return (0.0 if up else -1.0), up


@inline_exact
def rates(s, torque):
    """The time derivatives of both angles and both angular speeds."""
    angle1, angle2, speed1, speed2 = s
    reach = LENGTH * CENTRE
    d1 = MASS * CENTRE**2 + MASS * (LENGTH**2 + CENTRE**2 + 2.0 * reach * math.cos(angle2)) + 2.0 * INERTIA
    d2 = MASS * (CENTRE**2 + reach * math.cos(angle2)) + INERTIA
    phi2 = MASS * CENTRE * GRAVITY * math.cos(angle1 + angle2 - math.pi / 2.0)
    phi1 = (
        -MASS * reach * speed2**2 * math.sin(angle2)
        - 2.0 * MASS * reach * speed2 * speed1 * math.sin(angle2)
        + (MASS * CENTRE + MASS * LENGTH) * GRAVITY * math.cos(angle1 - math.pi / 2.0)
        + phi2
    )
    rate2 = (torque + d2 / d1 * phi1 - MASS * reach * speed1**2 * math.sin(angle2) - phi2) / (
        MASS * CENTRE**2 + INERTIA - d2**2 / d1
    )
    rate1 = -(d2 * rate2 + phi1) / d1
    return speed1, speed2, rate1, rate2


@inline_exact
def moved(s, time, rate):
    """The state `s` after `time` at a constant rate."""
    return s[0] + time * rate[0], s[1] + time * rate[1], s[2] + time * rate[2], s[3] + time * rate[3]


@inline_exact
def wrapped(angle):
    """The same angle within ±π."""
    while angle > math.pi:
        angle -= 2.0 * math.pi
    while angle < -math.pi:
        angle += 2.0 * math.pi
    return angle


@inline_exact
def observe(state, obs):
    """Write cos and sin of both angles, and both angular speeds."""
    obs[0], obs[1] = math.cos(state[0]), math.sin(state[0])
    obs[2], obs[3] = math.cos(state[1]), math.sin(state[1])
    obs[4], obs[5] = state[2], state[3]


_HIGHEST = np.array([1.0, 1.0, 1.0, 1.0, FASTEST_1, FASTEST_2], np.float32)

SPEC = native_env(
    "Acrobot-v1",
    step,
    reset,
    observation_space=spaces.Box(-_HIGHEST, _HIGHEST, dtype=np.float32),
    action_space=spaces.Discrete(3),
    n_state=4,
    max_episode_steps=500,
    picture=drawn_by_gymnasium("Acrobot-v1", 4),
)
