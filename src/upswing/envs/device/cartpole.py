"""CartPole-v1 on a device; the equations and their source are in envs/native/cartpole.py."""

from __future__ import annotations

import torch
from torch import Tensor

from upswing.envs.device.dynamics import Dynamics, between
from upswing.envs.native.cartpole import (
    FARTHEST,
    FORCE,
    GRAVITY,
    HALF_LENGTH,
    POLE_MASS,
    POLE_MOMENT,
    SPEC,
    STEEPEST,
    TIME_STEP,
    TOTAL_MASS,
)


def begin(draws: Tensor) -> Tensor:
    """Cart position and speed, pole angle and angular speed, each within ±0.05."""
    return between(-0.05, 0.05, draws)


def step(state: Tensor, action: Tensor, parameters: tuple[float, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Push the carts left (0) or right (1) for one time step, by Euler's method; a reward of 1 until the pole falls."""
    _, speed, angle, turn = state
    force = torch.where(action[0] == 1.0, FORCE, -FORCE).double()
    cos, sin = angle.cos(), angle.sin()
    push = (force + POLE_MOMENT * (turn * turn) * sin) / TOTAL_MASS
    turn_rate = (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * (cos * cos) / TOTAL_MASS))
    speed_rate = push - POLE_MOMENT * turn_rate * cos / TOTAL_MASS
    state = state + TIME_STEP * torch.stack([speed, speed_rate, turn, turn_rate])
    fell = (state[0].abs() > FARTHEST) | (state[2].abs() > STEEPEST)
    if parameters[0] != 0.0:  # rewards as in Sutton and Barto's book
        return state, -fell.double(), fell
    return state, torch.ones_like(push), fell


def observe(state: Tensor) -> Tensor:
    """The state."""
    return state.t().float()


DYNAMICS = Dynamics(SPEC, 4, begin, step, observe)
