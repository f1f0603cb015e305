"""What robots that are paid for their speed along x have in common: reward, observation, and the end of those that fall.

Their parameters begin alike; those of robots that do not fall end with the noise.
"""

from __future__ import annotations

import numpy as np

from upswing.compiled.compiler import inline_exact
from upswing.envs.native.mujoco.physics import TIMESTEP
from upswing.envs.native.mujoco.simulation import observe, qpos, simulate

FORWARD, COST, NOISE, HEALTHY, ENDS = range(5)
FALLING = {"healthy_reward": 1.0, "terminate_when_unhealthy": True}
"""The parameters of those that can fall, which follow `weights`."""


@inline_exact
def move(state, action, obs, parameters, frame_skip, skip, fastest):
    """The reward of `frame_skip` steps: the robot's mean speed along x, less the squared actions. `obs` is filled."""
    x = qpos(state, parameters)[0]
    simulate(state, action, parameters, frame_skip)
    observe(state, obs, parameters, skip, fastest)
    return progress(qpos(state, parameters)[0] - x, action, parameters, frame_skip)


@inline_exact
def progress(distance, action, parameters, frame_skip):
    """What a way along x by `action` in `frame_skip` steps is worth."""
    seconds = parameters[parameters.size + TIMESTEP] * frame_skip
    effort = 0.0
    for k in range(action.size):
        effort += np.float64(action[k]) * np.float64(action[k])
    return parameters[FORWARD] * distance / seconds - parameters[COST] * effort


@inline_exact
def until_it_falls(reward, upright, parameters):
    """(reward, terminated) of a robot that is also paid for being `upright`, and done when it is not."""
    return reward + parameters[HEALTHY] * upright, parameters[ENDS] != 0.0 and not upright


def weights(cost: float, noise: float) -> dict[str, float]:
    """The parameters that all have."""
    return {"forward_reward_weight": 1.0, "ctrl_cost_weight": cost, "reset_noise_scale": noise}
