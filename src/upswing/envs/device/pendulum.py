"""Pendulum-v1 on a device; the equations are explained in envs/native/pendulum.py."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from upswing.envs.device.dynamics import Dynamics, between
from upswing.envs.native.pendulum import FASTEST, SPEC, TIME_STEP


def begin(draws: Tensor) -> Tensor:
    """Any angle (0 is up) and a speed within ±1."""
    return torch.stack([between(-math.pi, math.pi, draws[0]), between(-1.0, 1.0, draws[1])])


def step(state: Tensor, action: Tensor, parameters: tuple[float, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Apply a torque for one time step; the reward falls with the angle, the speed and the torque, squared."""
    angle, speed = state
    torque = action[0]  # float32, and so are its products in Gymnasium
    from_top = (angle + math.pi).remainder(2.0 * math.pi) - math.pi
    cost = from_top * from_top + 0.1 * (speed * speed) + 0.001 * (torque * torque)
    rate = 3.0 * parameters[0] / 2.0 * angle.sin() + 3.0 * torque
    speed = (speed + rate * TIME_STEP).clamp(-FASTEST, FASTEST)
    return torch.stack([angle + speed * TIME_STEP, speed]), -cost, torch.zeros_like(cost, dtype=torch.bool)


def observe(state: Tensor) -> Tensor:
    """cos, sin and angular speed."""
    return torch.stack([state[0].cos(), state[0].sin(), state[1]], 1).float()


DYNAMICS = Dynamics(SPEC, 2, begin, step, observe)
