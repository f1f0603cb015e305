"""HalfCheetah-v5, step for step as in Gymnasium: a planar robot with two legs is paid for running forward.

Source: Wawrzyński 2009, "A cat-like robot real-time learning to run"; the model is Gymnasium's.
"""

from __future__ import annotations

import math

from upswing.envs.native.mujoco.making import gymnasiums
from upswing.envs.native.mujoco.simulation import effort, observe, qpos, scatter, simulate

FRAME_SKIP, SECONDS = 5, 0.05
FORWARD, COST, NOISE = range(3)  # the parameters' places


def reset(state, obs, parameters, rng):
    """Positions within ±0.1 of the model's own, velocities normal with a spread of 0.1."""
    scatter(state, parameters, rng, parameters[NOISE], parameters[NOISE])
    observe(state, obs, parameters, 1, math.inf)


def step(state, action, obs, parameters, rng):
    """Speed forward, less the squared actions; only a time limit ends an episode."""
    x = qpos(state, parameters)[0]
    simulate(state, action, parameters, FRAME_SKIP)
    observe(state, obs, parameters, 1, math.inf)
    speed = (qpos(state, parameters)[0] - x) / SECONDS
    return parameters[FORWARD] * speed - parameters[COST] * effort(action), False


SPEC = gymnasiums(
    "HalfCheetah-v5", step, reset, xml="half_cheetah.xml", n_obs=17,
    parameters={"forward_reward_weight": 1.0, "ctrl_cost_weight": 0.1, "reset_noise_scale": 0.1},
)  # fmt: skip
