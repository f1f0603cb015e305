"""InvertedPendulum-v5, step for step as in Gymnasium: a pole on a cart is kept upright.

Source: Barto, Sutton and Anderson 1983, "Neuronlike adaptive elements that can solve difficult learning control
problems"; the model is Gymnasium's.
"""

from __future__ import annotations

import math

from upswing.envs.native.mujoco.making import gymnasiums
from upswing.envs.native.mujoco.simulation import observe, qpos, scatter, simulate

FRAME_SKIP, STEEPEST = 2, 0.2
NOISE = 0  # the parameter's place


def reset(state, obs, parameters, rng):
    """Positions and velocities within ±0.01."""
    scatter(state, parameters, rng, parameters[NOISE], 0.0)
    observe(state, obs, parameters, 0, math.inf)


def step(state, action, obs, parameters, rng):
    """A reward of 1 until the pole leans by more than 0.2."""
    simulate(state, action, parameters, FRAME_SKIP)
    observe(state, obs, parameters, 0, math.inf)
    fell = not abs(qpos(state, parameters)[1]) <= STEEPEST
    for k in range(obs.size):
        fell = fell or not math.isfinite(obs[k])
    return (0.0 if fell else 1.0), fell


SPEC = gymnasiums(
    "InvertedPendulum-v5", step, reset, xml="inverted_pendulum.xml", n_obs=4, parameters={"reset_noise_scale": 0.01}
)
