"""HalfCheetah-v5, step for step as in Gymnasium: a planar robot with two legs is paid for running forward.

Source: Wawrzyński 2009, "A cat-like robot real-time learning to run"; the model is Gymnasium's.
"""

from __future__ import annotations

import math

from upswing.envs.native.mujoco.making import gymnasiums
from upswing.envs.native.mujoco.simulation import observe, scatter
from upswing.envs.native.mujoco.walking import NOISE, move, weights

FRAME_SKIP = 5


def reset(state, obs, parameters, rng):
    """Positions within ±0.1 of the model's own, velocities normal with a spread of 0.1."""
    scatter(state, parameters, rng, parameters[NOISE], parameters[NOISE])
    observe(state, obs, parameters, 1, math.inf)


def step(state, action, obs, parameters, rng):
    """Only a time limit ends an episode."""
    return move(state, action, obs, parameters, FRAME_SKIP, 1, math.inf), False


SPEC = gymnasiums("HalfCheetah-v5", step, reset, xml="half_cheetah.xml", n_obs=17, parameters=weights(0.1, noise=0.1))
