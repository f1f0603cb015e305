"""Pendulum-v1, step for step as in Gymnasium: swing a pendulum up and hold it there."""

from __future__ import annotations

import math

import numpy as np
from gymnasium import spaces

from upswing.compiled.compiler import inline_exact
from upswing.compiled.random import uniform
from upswing.envs.native.pictures import drawn_by_gymnasium
from upswing.envs.native.spec import native_env

TIME_STEP, LARGEST_TORQUE, FASTEST = 0.05, 2.0, 8.0


def reset(state, obs, parameters, rng):
    """Any angle (0 is up) and a speed within ±1."""
    state[0] = uniform(rng, -math.pi, math.pi)
    state[1] = uniform(rng, -1.0, 1.0)
    observe(state, obs)


def step(state, action, obs, parameters, rng):
    """Apply a torque for one time step; the reward falls with the angle, the speed and the torque, squared."""
    angle, speed, torque = state[0], state[1], action[0]
    from_top = (angle + math.pi) % (2.0 * math.pi) - math.pi
    # the torque is a float32, and so are its products in Gymnasium
    cost = from_top * from_top + 0.1 * (speed * speed) + np.float32(0.001) * (torque * torque)
    rate = 3.0 * parameters[0] / 2.0 * math.sin(angle) + np.float32(3.0) * torque
    speed = min(max(speed + rate * TIME_STEP, -FASTEST), FASTEST)
    state[0] = angle + speed * TIME_STEP
    state[1] = speed
    observe(state, obs)
    return -cost, False


@inline_exact
def observe(state, obs):
    """Write cos, sin and angular speed."""
    obs[0] = math.cos(state[0])
    obs[1] = math.sin(state[0])
    obs[2] = state[1]


_HIGHEST = np.array([1.0, 1.0, FASTEST], np.float32)

SPEC = native_env(
    "Pendulum-v1",
    step,
    reset,
    observation_space=spaces.Box(-_HIGHEST, _HIGHEST, dtype=np.float32),
    action_space=spaces.Box(-LARGEST_TORQUE, LARGEST_TORQUE, (1,), np.float32),
    n_state=2,
    max_episode_steps=200,
    parameters={"g": 10.0},
    picture=drawn_by_gymnasium("Pendulum-v1", 2),
)
