"""Hopper-v5, step for step as in Gymnasium: a planar robot with one leg is paid for hopping forward.

Source: Erez, Tassa and Todorov 2011, "Infinite-horizon model predictive control for periodic tasks with contacts"; the
model is Gymnasium's.
"""

from __future__ import annotations

import math

from upswing.compiled.compiler import inline_exact
from upswing.envs.native.mujoco.making import gymnasiums
from upswing.envs.native.mujoco.simulation import observe, qpos, qvel, scatter
from upswing.envs.native.mujoco.walking import FALLING, NOISE, move, until_it_falls, weights

FRAME_SKIP, FASTEST = 4, 10.0  # the largest speed that an observation says


def reset(state, obs, parameters, rng):
    """Positions and velocities within ±0.005 of the model's own."""
    scatter(state, parameters, rng, parameters[NOISE], 0.0)
    observe(state, obs, parameters, 1, FASTEST)


def step(state, action, obs, parameters, rng):
    """An episode ends when it is no longer upright."""
    reward = move(state, action, obs, parameters, FRAME_SKIP, 1, FASTEST)
    return until_it_falls(reward, is_upright(state, parameters), parameters)


@inline_exact
def is_upright(state, parameters):
    """Whether it is high enough, leans little, and no other position or velocity is beyond 100."""
    positions, velocities = qpos(state, parameters), qvel(state, parameters)
    sane = True
    for k in range(2, positions.size):
        sane = sane and abs(positions[k]) < 100.0
    for k in range(velocities.size):
        sane = sane and abs(velocities[k]) < 100.0
    return sane and 0.7 < positions[1] < math.inf and abs(positions[2]) < 0.2


SPEC = gymnasiums("Hopper-v5", step, reset, xml="hopper.xml", n_obs=11, parameters=weights(1e-3, noise=5e-3) | FALLING)
