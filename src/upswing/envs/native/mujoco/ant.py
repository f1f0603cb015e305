"""Ant-v5, step for step as in Gymnasium: a robot with four legs is paid for walking along x.

Source: Schulman et al. 2016, "High-dimensional continuous control using generalized advantage estimation"; the model is
Gymnasium's.
"""

from __future__ import annotations

import math

from upswing.compiled.compiler import inline_exact
from upswing.envs.native.mujoco.making import gymnasiums
from upswing.envs.native.mujoco.simulation import (
    body_positions,
    contact_forces,
    effort,
    observe,
    qpos,
    qvel,
    scatter,
    simulate,
)

FRAME_SKIP, SECONDS = 5, 0.05
N_BODIES, TORSO = 14, 1  # the first body is the world
N_MOTION = 27  # positions without x and y, then velocities; the forces follow
FORWARD, COST, CONTACT, HEALTHY, ENDS, NOISE = range(6)  # the parameters' places


def reset(state, obs, parameters, rng):
    """Positions within ±0.1 of the model's own, velocities normal with a spread of 0.1, nothing touching it."""
    scatter(state, parameters, rng, parameters[NOISE], parameters[NOISE])
    state[state.size - 1] = body_positions(parameters, N_BODIES)[3 * TORSO]
    observe(state, obs, parameters, 2, math.inf)
    for k in range(N_MOTION, obs.size):
        obs[k] = 0.0


def step(state, action, obs, parameters, rng):
    """Speed along x and 1 for being upright, less the squared actions and forces, until it falls or leaps.

    Its place is that of the torso where MuJoCo last computed it; so the one before is remembered.
    """
    x = state[state.size - 1]
    simulate(state, action, parameters, FRAME_SKIP)
    state[state.size - 1] = body_positions(parameters, N_BODIES)[3 * TORSO]
    observe(state, obs, parameters, 2, math.inf)
    pushed = feel(obs, parameters)
    speed, upright = (state[state.size - 1] - x) / SECONDS, is_upright(state, parameters)
    costs = parameters[COST] * effort(action) + parameters[CONTACT] * pushed
    return parameters[FORWARD] * speed + parameters[HEALTHY] * upright - costs, parameters[ENDS] != 0.0 and not upright


@inline_exact
def feel(obs, parameters):
    """The sum of squares of the forces on all bodies, each clipped to ±1; those on the robot's are observed."""
    forces, total = contact_forces(parameters, N_BODIES), 0.0
    for k in range(forces.size):
        force = min(max(forces[k], -1.0), 1.0)
        total += force * force
        if k >= 6:
            obs[N_MOTION + k - 6] = force
    return total


@inline_exact
def is_upright(state, parameters):
    """Whether the torso's height is between 0.2 and 1, and everything is finite."""
    positions, velocities = qpos(state, parameters), qvel(state, parameters)
    finite = True
    for k in range(positions.size):
        finite = finite and math.isfinite(positions[k])
    for k in range(velocities.size):
        finite = finite and math.isfinite(velocities[k])
    return finite and 0.2 <= positions[2] <= 1.0


SPEC = gymnasiums(
    "Ant-v5", step, reset, xml="ant.xml", n_obs=105, n_memory=1,
    parameters={
        "forward_reward_weight": 1.0, "ctrl_cost_weight": 0.5, "contact_cost_weight": 5e-4, "healthy_reward": 1.0,
        "terminate_when_unhealthy": True, "reset_noise_scale": 0.1,
    },
)  # fmt: skip
