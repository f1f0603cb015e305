"""Walker2d-v5, step for step as in Gymnasium: a planar robot with two legs is paid for walking forward.

Source: Erez, Tassa and Todorov 2011, "Infinite-horizon model predictive control for periodic tasks with contacts"; the model is
Gymnasium's.
"""

from __future__ import annotations

from upswing.compiled.compiler import inline_exact
from upswing.envs.native.mujoco.making import gymnasiums
from upswing.envs.native.mujoco.simulation import effort, observe, qpos, scatter, simulate

FRAME_SKIP, SECONDS = 4, 0.008
FASTEST = 10.0  # that an observation says
FORWARD, COST, HEALTHY, ENDS, NOISE = range(5)  # the parameters' places


def reset(state, obs, parameters, rng):
    """Positions and velocities within ±0.005 of the model's own."""
    scatter(state, parameters, rng, parameters[NOISE], 0.0)
    observe(state, obs, parameters, 1, FASTEST)


def step(state, action, obs, parameters, rng):
    """Speed forward and 1 for being upright, less the squared actions, until it falls."""
    x = qpos(state, parameters)[0]
    simulate(state, action, parameters, FRAME_SKIP)
    observe(state, obs, parameters, 1, FASTEST)
    speed, upright = (qpos(state, parameters)[0] - x) / SECONDS, is_upright(state, parameters)
    reward = parameters[FORWARD] * speed + parameters[HEALTHY] * upright - parameters[COST] * effort(action)
    return reward, parameters[ENDS] != 0.0 and not upright


@inline_exact
def is_upright(state, parameters):
    """Whether it is neither too low nor too high, and leans by less than 1."""
    height, angle = qpos(state, parameters)[1], qpos(state, parameters)[2]
    return 0.8 < height < 2.0 and -1.0 < angle < 1.0


SPEC = gymnasiums(
    "Walker2d-v5", step, reset, xml="walker2d_v5.xml", n_obs=17,
    parameters={
        "forward_reward_weight": 1.0, "ctrl_cost_weight": 1e-3, "healthy_reward": 1.0,
        "terminate_when_unhealthy": True, "reset_noise_scale": 5e-3,
    },
)  # fmt: skip
