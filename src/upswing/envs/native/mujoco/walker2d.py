"""Walker2d-v5, step for step as in Gymnasium: a planar robot with two legs is paid for walking forward.

Source: Erez, Tassa and Todorov 2011, "Infinite-horizon model predictive control for periodic tasks with contacts"; the
model is Gymnasium's.
"""

from __future__ import annotations

from upswing.compiled.compiler import inline_exact
from upswing.envs.native.mujoco.making import gymnasiums
from upswing.envs.native.mujoco.simulation import observe, qpos, scatter
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
    """Whether it is neither too low nor too high, and leans by less than 1."""
    height, angle = qpos(state, parameters)[1], qpos(state, parameters)[2]
    return 0.8 < height < 2.0 and -1.0 < angle < 1.0


SPEC = gymnasiums(
    "Walker2d-v5", step, reset, xml="walker2d_v5.xml", n_obs=17, parameters=weights(1e-3, noise=5e-3) | FALLING
)
