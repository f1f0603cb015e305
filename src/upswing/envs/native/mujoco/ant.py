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
    observe,
    qpos,
    qvel,
    scatter,
    simulate,
)
from upswing.envs.native.mujoco.walking import FALLING, NOISE, progress, until_it_falls, weights

FRAME_SKIP = 5
N_BODIES, TORSO = 14, 1  # the first body is the world
N_MOTION = 27  # positions without x and y, then velocities; the forces follow
CONTACT = 5  # the place of its own parameter, after those of others


def reset(state, obs, parameters, rng):
    """Positions within ±0.1 of the model's own, velocities normal with a spread of 0.1, nothing touching it."""
    scatter(state, parameters, rng, parameters[NOISE], parameters[NOISE])
    state[state.size - 1] = body_positions(parameters, N_BODIES)[3 * TORSO]
    observe(state, obs, parameters, 2, math.inf)
    for k in range(N_MOTION, obs.size):
        obs[k] = 0.0


def step(state, action, obs, parameters, rng):
    """Forces cost too, and an episode ends when it falls or leaps.

    Its place is that of the torso where MuJoCo last computed it; so the one before is remembered.
    """
    x = state[state.size - 1]
    simulate(state, action, parameters, FRAME_SKIP)
    state[state.size - 1] = body_positions(parameters, N_BODIES)[3 * TORSO]
    observe(state, obs, parameters, 2, math.inf)
    felt = feel(obs, parameters)
    reward = progress(state[state.size - 1] - x, action, parameters, FRAME_SKIP) - parameters[CONTACT] * felt
    return until_it_falls(reward, is_upright(state, parameters), parameters)


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
    parameters=weights(0.5, noise=0.1) | FALLING | {"contact_cost_weight": 5e-4},
)  # fmt: skip
