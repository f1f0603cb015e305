"""Swimmer-v5, step for step as in Gymnasium: a chain of three links in a viscous fluid is paid for swimming forward.

Source: Coulom 2002, "Reinforcement learning using neural networks, with applications to motor control"; the model is
Gymnasium's.
"""

from __future__ import annotations

import math

from upswing.envs.native.mujoco.making import gymnasiums
from upswing.envs.native.mujoco.simulation import effort, observe, qpos, scatter, simulate

FRAME_SKIP, SECONDS = 4, 0.04
FORWARD, COST, NOISE = range(3)  # the parameters' places


def reset(state, obs, parameters, rng):
    """Positions and velocities within ±0.1 of the model's own."""
    scatter(state, parameters, rng, parameters[NOISE], 0.0)
    observe(state, obs, parameters, 2, math.inf)


def step(state, action, obs, parameters, rng):
    """Speed along x, less the squared actions; only a time limit ends an episode."""
    x = qpos(state, parameters)[0]
    simulate(state, action, parameters, FRAME_SKIP)
    observe(state, obs, parameters, 2, math.inf)
    speed = (qpos(state, parameters)[0] - x) / SECONDS
    return parameters[FORWARD] * speed - parameters[COST] * effort(action), False


SPEC = gymnasiums(
    "Swimmer-v5", step, reset, xml="swimmer.xml", n_obs=8,
    parameters={"forward_reward_weight": 1.0, "ctrl_cost_weight": 1e-4, "reset_noise_scale": 0.1},
)  # fmt: skip
