"""PushBlock-v0 on a device; the task and its source are explained in envs/native/push_block.py."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from upswing.envs.device.dynamics import Dynamics, between
from upswing.envs.native.push_block import (
    BEHIND,
    EDGE,
    FALL_OFF,
    GOAL_DISTANCE,
    GOAL_RADIUS,
    HALF_BLOCK,
    MOVES,
    NEAR,
    PUSHER_RADIUS,
    SPEC,
    STEP_SIZE,
)


def begin(draws: Tensor) -> Tensor:
    """Blocks near the middle, goals 0.6 from them, pushers on their far side, each somewhat anywhere."""
    angle = between(-math.pi / 3.0, math.pi / 3.0, draws[0])
    block = torch.stack([between(-0.2, 0.0, draws[1]), between(-0.2, 0.2, draws[2])])
    goal = block + GOAL_DISTANCE * torch.stack([angle.cos(), angle.sin()])
    pusher = torch.stack([between(-0.8, -0.5, draws[3]), between(-0.5, 0.5, draws[4])])
    return torch.cat([pusher, block, goal])


def step(state: Tensor, action: Tensor, parameters: tuple[float, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Move the pushers, and with them the blocks that they touch. Never terminates."""
    pusher, block, goal = state.split(2)
    for _ in range(MOVES):
        pusher = (pusher + STEP_SIZE / MOVES * action.double()).clamp(-EDGE, EDGE)
        block = block - pushed(pusher - block)
    rewards = reward(pusher, block, goal)
    return torch.cat([pusher, block, goal]), rewards, torch.zeros_like(rewards, dtype=torch.bool)


def pushed(offset: Tensor) -> Tensor:
    """By how much [2, N] the pushers, at `offset` from the blocks' middles, would overlap them, along the contact's normal."""
    depth = HALF_BLOCK - offset.abs()  # from the nearest side, where the pusher's middle is inside
    gap = offset - offset.clamp(-HALF_BLOCK, HALF_BLOCK)
    distance = torch.hypot(gap[0], gap[1])
    inside = distance == 0.0
    by_x = depth[0] < depth[1]
    nearest = inside & torch.stack([by_x, ~by_x])
    outside = gap / distance.where(~inside, 1.0) * (PUSHER_RADIUS - distance).clamp(min=0.0)
    return torch.where(nearest, torch.copysign(depth + PUSHER_RADIUS, offset), outside)


def reward(pusher: Tensor, block: Tensor, goal: Tensor) -> Tensor:
    """At most 1: reaching the place behind the block, then pushing."""
    to_goal = goal - block
    left = torch.hypot(to_goal[0], to_goal[1])
    behind = pusher - (block - to_goal / left.clamp(min=GOAL_RADIUS) * BEHIND)  # nearer than that the reward is 1
    away = torch.hypot(behind[0], behind[1])
    reached = 1.0 - (FALL_OFF * away).tanh()
    gained = torch.where(away < NEAR, 1.0 - (FALL_OFF * left).tanh(), 0.0)
    return torch.where(left < GOAL_RADIUS, 1.0, (reached + gained) / 3.0)


def observe(state: Tensor) -> Tensor:
    """The state, from the pusher to the block, and from the block to the goal."""
    return torch.cat([state, state[2:] - state[:4]]).t().float()


def success(state: Tensor) -> Tensor:
    """Whether the block's middle is within the goal."""
    left = state[4:] - state[2:4]
    return torch.hypot(left[0], left[1]) < GOAL_RADIUS


DYNAMICS = Dynamics(SPEC, 5, begin, step, observe, success)
