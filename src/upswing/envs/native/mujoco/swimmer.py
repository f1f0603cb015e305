"""Swimmer-v5, step for step as in Gymnasium: a chain of three links in a viscous fluid is paid for swimming forward.

Source: Coulom 2002, "Reinforcement learning using neural networks, with applications to motor control"; the model is
Gymnasium's.
"""

from __future__ import annotations

import math

from upswing.envs.native.mujoco.making import gymnasiums
from upswing.envs.native.mujoco.simulation import observe, scatter
from upswing.envs.native.mujoco.walking import NOISE, move, weights

FRAME_SKIP = 4


def reset(state, obs, parameters, rng):
    """Positions and velocities within ±0.1 of the model's own."""
    scatter(state, parameters, rng, parameters[NOISE], 0.0)
    observe(state, obs, parameters, 2, math.inf)


def step(state, action, obs, parameters, rng):
    """Only a time limit ends an episode."""
    return move(state, action, obs, parameters, FRAME_SKIP, 2, math.inf), False


SPEC = gymnasiums("Swimmer-v5", step, reset, xml="swimmer.xml", n_obs=8, parameters=weights(1e-4, noise=0.1))
