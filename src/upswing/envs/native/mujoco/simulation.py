"""What step and reset functions of compiled MuJoCo environments are written with.

An environment's state begins with what MuJoCo must be told before a step and asked for after it:

    time, qpos [nq], qvel [nv], qacc_warmstart [nv], ctrl [nu]

and may go on with what the environment itself remembers. So its state is all there is to save, however many
environments are simulated in the same working memory, and a step is bit for bit the one of a simulator of its own.
"""

from __future__ import annotations

from numba import types

from upswing.compiled.compiler import inline_exact
from upswing.compiled.random import normal, uniform
from upswing.compiled.views import doubles_at, vector
from upswing.envs.native.mujoco.physics import CFRC_EXT, DATA, MODEL, NQ, NV, QPOS0, SPEC, XPOS

ADDRESS, BITS = types.intp, types.int32
_step = types.ExternalFunction("upswing_mj_step", types.void(ADDRESS, ADDRESS))
_forward = types.ExternalFunction("upswing_mj_forward", types.void(ADDRESS, ADDRESS))
_set_state = types.ExternalFunction("upswing_mj_setState", types.void(ADDRESS, ADDRESS, ADDRESS, BITS))
_get_state = types.ExternalFunction("upswing_mj_getState", types.void(ADDRESS, ADDRESS, ADDRESS, BITS))
_contacts = types.ExternalFunction("upswing_mj_rnePostConstraint", types.void(ADDRESS, ADDRESS))

TIME, QPOS = 0, 1  # where they begin in a state


@inline_exact
def number(parameters, which):
    """An entry of what physics.py appends to an environment's parameters, as an integer."""
    return int(parameters[parameters.size + which])


@inline_exact
def qpos(state, parameters):
    """The generalised positions [nq] in `state`, as they are stored."""
    return vector(state, QPOS, number(parameters, NQ))


@inline_exact
def qvel(state, parameters):
    """The generalised velocities [nv] in `state`, as they are stored."""
    return vector(state, QPOS + number(parameters, NQ), number(parameters, NV))


@inline_exact
def simulate(state, action, parameters, frame_skip):
    """Apply `action` [nu] to the actuators for `frame_skip` steps of the model."""
    model, data, spec = number(parameters, MODEL), number(parameters, DATA), number(parameters, SPEC)
    ctrl = QPOS + number(parameters, NQ) + 2 * number(parameters, NV)
    for k in range(action.size):
        state[ctrl + k] = action[k]
    _set_state(model, data, state.ctypes.data, spec)
    for _ in range(frame_skip):
        _step(model, data)
    _get_state(model, data, state.ctypes.data, spec)


@inline_exact
def settle(state, parameters):
    """Make the positions and velocities in `state` those of a new episode, with nothing left of the one before,
    nor in what the environment itself remembers."""
    model, data, spec = number(parameters, MODEL), number(parameters, DATA), number(parameters, SPEC)
    nq, nv = number(parameters, NQ), number(parameters, NV)
    state[TIME] = 0.0
    for k in range(QPOS + nq + nv, state.size):
        state[k] = 0.0
    _set_state(model, data, state.ctypes.data, spec)
    _forward(model, data)
    _get_state(model, data, state.ctypes.data, spec)


@inline_exact
def scatter(state, parameters, rng, spread, normal_spread):
    """Begin an episode near the model's own position: each position within ±`spread` of it, each velocity within
    ±`spread` too, or normally distributed where `normal_spread` is more than 0."""
    positions, velocities = qpos(state, parameters), qvel(state, parameters)
    first = doubles_at(number(parameters, QPOS0), positions.size)
    for k in range(positions.size):
        positions[k] = first[k] + uniform(rng, -spread, spread)
    for k in range(velocities.size):
        velocities[k] = normal_spread * normal(rng) if normal_spread > 0.0 else uniform(rng, -spread, spread)
    settle(state, parameters)


@inline_exact
def observe(state, obs, parameters, skip, fastest):
    """Write the positions without the first `skip`, then the velocities, clipped to ±`fastest`. Raises ValueError where
    `obs` has no room for them."""
    positions, velocities = qpos(state, parameters), qvel(state, parameters)
    if obs.size < positions.size - skip + velocities.size:
        raise ValueError("n_obs is too small for the positions and velocities that observe writes")
    for k in range(skip, positions.size):
        obs[k - skip] = positions[k]
    for k in range(velocities.size):
        obs[positions.size - skip + k] = min(max(velocities[k], -fastest), fastest)


@inline_exact
def body_positions(parameters, n):
    """The first `n` bodies' positions [3 n] in the world at the last step but one: where MuJoCo last computed them."""
    return doubles_at(number(parameters, XPOS), 3 * n)


@inline_exact
def contact_forces(parameters, n):
    """Torques and forces [6 n] on the first `n` bodies from outside, after the last step."""
    _contacts(number(parameters, MODEL), number(parameters, DATA))
    return doubles_at(number(parameters, CFRC_EXT), 6 * n)
