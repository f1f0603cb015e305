"""PushBlock-v0: a pusher on a table moves a block to a goal. In the spirit of ManiSkill's PushCube, in the plane.

Lengths are in halves of the table's side: the table is [-1, 1]². The pusher is a disc of radius 0.05 that the action
moves by up to 0.08 along each axis in a step. The block is a square of side 0.2 that does not turn. Pushing is
quasi-static (Mason 1986, "Mechanics and planning of manipulator pushing operations"): friction with the table is so
large that the block moves only while it is pushed, and contact is without friction, so it moves along the contact's
normal by as much as the two would overlap. A step is four moves of a quarter each, so that nothing is jumped over.

State, float64 [6]: pusher x, y; block x, y; goal x, y. Observation, float32 [10]: the state, from the pusher to the
block, from the block to the goal. An episode begins with the block near the middle, the goal 0.6 away from it in a
direction of at most 60° from the x axis, and the pusher on the block's far side. It is truncated after 50 steps and
never terminates.

Success: the block's middle is within 0.15 of the goal. Reward, at most 1 a step, as PushCube's: a third of
1 - tanh(1.5 d) for the pusher's distance d from its place behind the block; where it has come there (d < 0.1) another
third of 1 - tanh(1.5 D) for the block's distance D from the goal; 1 while there is success.
"""

from __future__ import annotations

import math

import numpy as np
from gymnasium import spaces

from upswing.compiled.compiler import inline_exact
from upswing.compiled.random import uniform
from upswing.envs.native.spec import native_env

STEP_SIZE, MOVES = 0.08, 4
PUSHER_RADIUS, HALF_BLOCK, GOAL_RADIUS, GOAL_DISTANCE = 0.05, 0.1, 0.15, 0.6
BEHIND, NEAR = HALF_BLOCK + PUSHER_RADIUS, 0.1
FALL_OFF = 1.5  # of the reward with distance
EDGE = 1.0 - PUSHER_RADIUS


def reset(state, obs, parameters, rng):
    """Block near the middle, goal 0.6 from it, pusher on its far side, each somewhat anywhere."""
    angle = uniform(rng, -math.pi / 3.0, math.pi / 3.0)
    state[2], state[3] = uniform(rng, -0.2, 0.0), uniform(rng, -0.2, 0.2)
    state[4] = state[2] + GOAL_DISTANCE * math.cos(angle)
    state[5] = state[3] + GOAL_DISTANCE * math.sin(angle)
    state[0], state[1] = uniform(rng, -0.8, -0.5), uniform(rng, -0.5, 0.5)
    observe(state, obs)


def step(state, action, obs, parameters, rng):
    """Move the pusher, and with it the block where they touch. Never terminates."""
    for _ in range(MOVES):
        for k in range(2):
            moved = state[k] + STEP_SIZE / MOVES * np.float64(action[k])
            state[k] = min(max(moved, -EDGE), EDGE)
        push(state)
    observe(state, obs)
    return reward(state), False


def success(state, parameters):
    """Whether the block's middle is within the goal."""
    return math.hypot(state[4] - state[2], state[5] - state[3]) < GOAL_RADIUS


@inline_exact
def push(state):
    """Move the block along the contact's normal until it and the pusher only touch."""
    across, along = state[0] - state[2], state[1] - state[3]  # from the block's middle to the pusher's
    near_x = min(max(across, -HALF_BLOCK), HALF_BLOCK)  # the point of the block that is nearest to the pusher
    near_y = min(max(along, -HALF_BLOCK), HALF_BLOCK)
    gap_x, gap_y = across - near_x, along - near_y
    gap = math.hypot(gap_x, gap_y)
    if gap == 0.0:  # the pusher's middle is inside: out by the nearest side
        if HALF_BLOCK - abs(across) < HALF_BLOCK - abs(along):
            state[2] -= math.copysign(HALF_BLOCK - abs(across) + PUSHER_RADIUS, across)
        else:
            state[3] -= math.copysign(HALF_BLOCK - abs(along) + PUSHER_RADIUS, along)
    elif gap < PUSHER_RADIUS:
        state[2] -= gap_x / gap * (PUSHER_RADIUS - gap)
        state[3] -= gap_y / gap * (PUSHER_RADIUS - gap)


@inline_exact
def reward(state):
    """At most 1: reaching the place behind the block, then pushing; see the module's text."""
    to_goal_x, to_goal_y = state[4] - state[2], state[5] - state[3]
    left = math.hypot(to_goal_x, to_goal_y)
    if left < GOAL_RADIUS:
        return 1.0
    behind_x = state[2] - to_goal_x / left * BEHIND
    behind_y = state[3] - to_goal_y / left * BEHIND
    away = math.hypot(state[0] - behind_x, state[1] - behind_y)
    reached = 1.0 - math.tanh(FALL_OFF * away)
    pushed = 1.0 - math.tanh(FALL_OFF * left) if away < NEAR else 0.0
    return (reached + pushed) / 3.0


@inline_exact
def observe(state, obs):
    """Write the state, from the pusher to the block, and from the block to the goal."""
    for k in range(6):
        obs[k] = state[k]
    for k in range(2):
        obs[6 + k] = state[2 + k] - state[k]
        obs[8 + k] = state[4 + k] - state[2 + k]


def picture(state: np.ndarray, size: int = 400) -> np.ndarray:
    """The table from above, RGB [400, 400, 3] uint8: goal in green, block in orange (red at the goal), pusher in blue."""
    axis = (np.arange(size) + 0.5) / size * 2.0 - 1.0
    x, y = axis[None, :], -axis[:, None]
    image = np.full((size, size, 3), (250, 250, 249), np.uint8)
    from_goal = np.hypot(x - state[4], y - state[5])
    image[from_goal < GOAL_RADIUS] = (187, 247, 208)
    image[np.abs(from_goal - GOAL_RADIUS) < 0.008] = (22, 163, 74)
    block = np.maximum(np.abs(x - state[2]), np.abs(y - state[3]))
    image[block < HALF_BLOCK] = (154, 52, 18)
    image[block < HALF_BLOCK - 0.012] = (220, 38, 38) if success(state, None) else (251, 146, 60)
    pusher = np.hypot(x - state[0], y - state[1])
    image[pusher < PUSHER_RADIUS] = (30, 64, 175)
    image[pusher < PUSHER_RADIUS - 0.012] = (59, 130, 246)
    return image


_FARTHEST = np.array([1.0] * 2 + [2.0] * 8, np.float32)

SPEC = native_env(
    "PushBlock-v0",
    step,
    reset,
    observation_space=spaces.Box(-_FARTHEST, _FARTHEST, dtype=np.float32),
    action_space=spaces.Box(-1.0, 1.0, (2,), np.float32),
    n_state=6,
    max_episode_steps=50,
    success=success,
    picture=picture,
)
