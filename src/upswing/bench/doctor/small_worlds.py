"""Small compiled environments that no recipe was ever tuned on: new ground for the doctor's benchmark.

They differ in what makes learning hard: a reward at the very end (Catch, Lander, Cards, Ice), one per step (Swingup,
Tracker, Stock), a fine for every step until a goal is found (Maze, Chase), staying alive (Hover); little or much chance;
episodes that always end, never end, or end by failing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

from upswing.compiled.compiler import inline_exact
from upswing.compiled.random import uniform
from upswing.envs.native import native_env
from upswing.envs.native.spec import NativeSpec

HERE = __name__


def catch_reset(state, obs, parameters, rng):
    """A ball at the top of a unit square, drifting sideways; a paddle somewhere at the bottom."""
    state[0], state[1] = uniform(rng, 0.0, 1.0), 1.0
    state[2], state[3] = uniform(rng, -0.06, 0.06), uniform(rng, 0.0, 1.0)
    obs[0], obs[1], obs[2], obs[3] = state[0], state[1], 10.0 * state[2], state[3]


def catch_step(state, action, obs, parameters, rng):
    """Left, stay or right; the ball bounces off the walls. At the bottom 1 where it is caught, else -1, and the end."""
    state[3] = min(max(state[3] + 0.05 * (action[0] - 1.0), 0.0), 1.0)
    state[0] += state[2]
    if state[0] < 0.0 or state[0] > 1.0:
        state[2] = -state[2]
        state[0] = min(max(state[0], 0.0), 1.0)
    state[1] -= 0.05
    obs[0], obs[1], obs[2], obs[3] = state[0], state[1], 10.0 * state[2], state[3]
    if state[1] > 1e-9:
        return 0.0, False
    return (1.0 if abs(state[0] - state[3]) < 0.1 else -1.0), True


def lander_reset(state, obs, parameters, rng):
    """A lander of unit mass, high up and falling."""
    state[0], state[1], state[2] = uniform(rng, 8.0, 12.0), uniform(rng, -2.0, 0.0), uniform(rng, -3.0, 3.0)
    obs[0], obs[1], obs[2] = 0.1 * state[0], 0.3 * state[1], 0.3 * state[2]


def lander_step(state, action, obs, parameters, rng):
    """Nothing, the main engine, or one that pushes left or right. Fuel costs; touching down scores by speed and place."""
    lift = 3.0 if action[0] == 1.0 else 0.0
    push = 0.2 if action[0] == 2.0 else (-0.2 if action[0] == 3.0 else 0.0)
    state[1] += 0.1 * (lift - 1.6)
    state[0] += 0.1 * state[1]
    state[2] += push
    obs[0], obs[1], obs[2] = 0.1 * state[0], 0.3 * state[1], 0.3 * state[2]
    fuel = 0.02 if action[0] > 0.0 else 0.0
    if state[0] > 20.0:
        return -10.0, True
    if state[0] > 0.0:
        return -fuel, False
    return 10.0 - 4.0 * abs(state[1]) - 2.0 * abs(state[2]) - fuel, True


def swingup_reset(state, obs, parameters, rng):
    """A cart at rest in the middle, its pole hanging down."""
    state[0], state[1], state[3] = uniform(rng, -0.2, 0.2), 0.0, 0.0
    state[2] = math.pi + uniform(rng, -0.2, 0.2)
    obs[0], obs[1], obs[2], obs[3], obs[4] = state[0], state[1], math.cos(state[2]), math.sin(state[2]), state[3]


def swingup_step(state, action, obs, parameters, rng):
    """Push the cart: Barto, Sutton and Anderson's cart-pole (1983) without its end. Upright pays 1 a step, hanging 0."""
    force, sin, cos = 10.0 * action[0], math.sin(state[2]), math.cos(state[2])
    pull = (force + 0.05 * state[3] * state[3] * sin) / 1.1
    turn = (9.8 * sin - cos * pull) / (0.5 * (4.0 / 3.0 - 0.1 * cos * cos / 1.1))
    state[1] += 0.02 * (pull - 0.05 * turn * cos / 1.1)
    state[0] += 0.02 * state[1]
    state[3] = min(max(state[3] + 0.02 * turn, -12.0), 12.0)
    state[2] += 0.02 * state[3]
    if abs(state[0]) > 2.4:
        state[0], state[1] = math.copysign(2.4, state[0]), 0.0
    cos = math.cos(state[2])
    obs[0], obs[1], obs[2], obs[3], obs[4] = state[0], state[1], cos, math.sin(state[2]), 0.2 * state[3]
    return 0.5 + 0.5 * cos - 0.05 * abs(state[0]), False


def tracker_reset(state, obs, parameters, rng):
    """A point at rest and a target that circles it."""
    state[0], state[1], state[2], state[3] = uniform(rng, -1.0, 1.0), uniform(rng, -1.0, 1.0), 0.0, 0.0
    state[4], state[5] = uniform(rng, 0.0, 2.0 * math.pi), uniform(rng, 0.02, 0.08)
    obs[0], obs[1], obs[2], obs[3] = state[0], state[1], 5.0 * state[2], 5.0 * state[3]
    obs[4], obs[5], obs[6] = math.cos(state[4]), math.sin(state[4]), 10.0 * state[5]


def tracker_step(state, action, obs, parameters, rng):
    """Accelerate the point along both axes; the reward is minus its distance from the target, and a little for force."""
    away, effort = 0.0, 0.0
    state[4] += state[5]
    for k in range(2):
        state[2 + k] = 0.9 * state[2 + k] + 0.05 * action[k]
        state[k] += state[2 + k]
        target = math.cos(state[4]) if k == 0 else math.sin(state[4])
        away += (state[k] - target) * (state[k] - target)
        effort += action[k] * action[k]
    obs[0], obs[1], obs[2], obs[3] = state[0], state[1], 5.0 * state[2], 5.0 * state[3]
    obs[4], obs[5], obs[6] = math.cos(state[4]), math.sin(state[4]), 10.0 * state[5]
    return -math.sqrt(away) - 0.05 * effort, False


def maze_reset(state, obs, parameters, rng):
    """A walker and a goal in rooms of 3 by 3 fields, two by two of them, with doors between."""
    for k in range(4):
        state[k] = math.floor(uniform(rng, 0.0, 6.999))
        if state[k] == 3.0:
            state[k] = 2.0
    for k in range(4):
        obs[k] = state[k] / 3.0 - 1.0


def maze_step(state, action, obs, parameters, rng):
    """One field up, down, left or right unless a wall is there; every step costs 0.05 until the goal pays 1."""
    x, y = state[0], state[1]
    if action[0] == 0.0:
        y += 1.0
    elif action[0] == 1.0:
        y -= 1.0
    elif action[0] == 2.0:
        x -= 1.0
    else:
        x += 1.0
    inside = 0.0 <= x <= 6.0 and 0.0 <= y <= 6.0
    wall = (x == 3.0 and y != 1.0 and y != 5.0) or (y == 3.0 and x != 1.0 and x != 5.0)
    if inside and not wall:
        state[0], state[1] = x, y
    for k in range(4):
        obs[k] = state[k] / 3.0 - 1.0
    if state[0] == state[2] and state[1] == state[3]:
        return 1.0, True
    return -0.05, False


@inline_exact
def cards_deal(rng):
    """The value of a card: 1 to 10, the tens four times as likely."""
    return min(10.0, math.floor(uniform(rng, 1.0, 13.999)))


def cards_reset(state, obs, parameters, rng):
    """Two cards, and one of the bank's that is seen."""
    state[0], state[1] = cards_deal(rng) + cards_deal(rng), cards_deal(rng)
    obs[0], obs[1] = state[0] / 21.0, state[1] / 10.0


def cards_step(state, action, obs, parameters, rng):
    """Another card, or none: then the bank draws up to 17. 1 for the higher sum of at most 21, 0 for the same, else -1."""
    if action[0] == 1.0:
        state[0] += cards_deal(rng)
        obs[0], obs[1] = state[0] / 21.0, state[1] / 10.0
        return (-1.0 if state[0] > 21.0 else 0.0), state[0] > 21.0
    bank = state[1]
    while bank < 17.0:
        bank += cards_deal(rng)
    if bank > 21.0 or state[0] > bank:
        return 1.0, True
    return (0.0 if state[0] == bank else -1.0), True


def ice_reset(state, obs, parameters, rng):
    """A corner of a frozen lake of 5 by 5 fields."""
    state[0], state[1] = 0.0, 0.0
    obs[0], obs[1] = -1.0, -1.0


def ice_step(state, action, obs, parameters, rng):
    """One field in the chosen direction, or one time in five in another. Each costs 0.02; holes end it with -0.3, the far corner with 1."""
    way = action[0]
    if uniform(rng, 0.0, 1.0) < 0.2:
        way = math.floor(uniform(rng, 0.0, 3.999))
    if way == 0.0:
        state[0] += 1.0
    elif way == 1.0:
        state[0] -= 1.0
    elif way == 2.0:
        state[1] += 1.0
    else:
        state[1] -= 1.0
    state[0], state[1] = min(max(state[0], 0.0), 4.0), min(max(state[1], 0.0), 4.0)
    x, y = state[0], state[1]
    obs[0], obs[1] = 0.5 * x - 1.0, 0.5 * y - 1.0
    if x == 4.0 and y == 4.0:
        return 1.0, True
    if (x == 2.0 and y == 1.0) or (x == 1.0 and y == 3.0) or (x == 4.0 and y == 2.0):
        return -0.3, True
    return -0.02, False


def chase_reset(state, obs, parameters, rng):
    """A pursuer and, somewhere around it, a slower runner that turns now and then."""
    state[0], state[1], state[2] = 0.0, 0.0, uniform(rng, -math.pi, math.pi)
    angle, away = uniform(rng, -math.pi, math.pi), uniform(rng, 2.0, 4.0)
    state[3], state[4], state[5] = away * math.cos(angle), away * math.sin(angle), uniform(rng, -math.pi, math.pi)
    chase_look(state, obs)


@inline_exact
def chase_look(state, obs):
    """Where the runner is, seen from the pursuer: distance, bearing, heading."""
    dx, dy = state[3] - state[0], state[4] - state[1]
    bearing, heading = math.atan2(dy, dx) - state[2], state[5] - state[2]
    obs[0], obs[1], obs[2] = 0.3 * math.hypot(dx, dy), math.cos(bearing), math.sin(bearing)
    obs[3], obs[4] = math.cos(heading), math.sin(heading)


def chase_step(state, action, obs, parameters, rng):
    """Turn, and go on; every step costs 0.02 until the runner is within reach, which pays 1. Lost beyond a distance of 8."""
    state[2] += 0.3 * action[0]
    state[0] += 0.2 * math.cos(state[2])
    state[1] += 0.2 * math.sin(state[2])
    if uniform(rng, 0.0, 1.0) < 0.05:
        state[5] += uniform(rng, -1.5, 1.5)
    state[3] += 0.12 * math.cos(state[5])
    state[4] += 0.12 * math.sin(state[5])
    chase_look(state, obs)
    away = math.hypot(state[3] - state[0], state[4] - state[1])
    if away < 0.4:
        return 1.0, True
    return (-1.0 if away > 8.0 else -0.02), away > 8.0


def stock_reset(state, obs, parameters, rng):
    """A store with some goods, some day of the season."""
    state[0], state[1], state[2] = uniform(rng, 0.0, 2.0), 0.0, uniform(rng, 0.0, 2.0 * math.pi)
    obs[0], obs[1], obs[2], obs[3] = state[0] - 1.0, state[1] - 1.0, math.cos(state[2]), math.sin(state[2])


def stock_step(state, action, obs, parameters, rng):
    """Order for the day after; sell what is asked for: a season and much chance. Storing costs, and so does ordering."""
    order = 1.0 + action[0]
    state[2] += 0.3
    demand = max(0.0, 1.0 + 0.6 * math.cos(state[2]) + uniform(rng, -0.5, 0.5))
    state[0] = min(state[0] + state[1], 4.0)
    state[1] = order
    sold = min(state[0], demand)
    state[0] -= sold
    obs[0], obs[1], obs[2], obs[3] = state[0] - 1.0, state[1] - 1.0, math.cos(state[2]), math.sin(state[2])
    return 2.0 * sold - order - 0.5 * state[0] - 0.5 * (demand - sold), False


def hover_reset(state, obs, parameters, rng):
    """A drone at rest near its height, with wind."""
    state[0], state[1], state[2], state[3] = uniform(rng, -0.3, 0.3), 0.0, uniform(rng, -0.1, 0.1), 0.0
    obs[0], obs[1], obs[2], obs[3] = state[0], state[1], 5.0 * state[2], 5.0 * state[3]


def hover_step(state, action, obs, parameters, rng):
    """Its two rotors, each on or off, lift and tilt it; gusts disturb it. 1 a step until it strays or tips over."""
    left, right = (1.0 if action[0] == 1.0 or action[0] == 3.0 else 0.0), (1.0 if action[0] >= 2.0 else 0.0)
    state[1] += 0.05 * (2.0 * (left + right) * math.cos(state[2]) - 2.0 + 0.5 * uniform(rng, -1.0, 1.0))
    state[0] += 0.05 * state[1]
    state[3] += 0.05 * (3.0 * (left - right) + 0.5 * uniform(rng, -1.0, 1.0)) + 0.02 * state[2]
    state[2] += 0.05 * state[3]
    obs[0], obs[1], obs[2], obs[3] = state[0], state[1], 5.0 * state[2], 5.0 * state[3]
    return 1.0, abs(state[0]) > 1.0 or abs(state[2]) > 0.4


def servo_reset(state, obs, parameters, rng):
    """A shaft at rest, and where it should turn to."""
    state[0], state[1], state[2] = uniform(rng, -1.0, 1.0), 0.0, uniform(rng, -1.0, 1.0)
    obs[0], obs[1], obs[2] = state[0], state[1], state[2] - state[0]


def servo_step(state, action, obs, parameters, rng):
    """Turn it by a motor with inertia and friction; effort costs, and the target leaps now and then."""
    state[1] = 0.85 * state[1] + 0.06 * action[0]
    state[0] += state[1]
    if uniform(rng, 0.0, 1.0) < 0.03:
        state[2] = uniform(rng, -1.0, 1.0)
    obs[0], obs[1], obs[2] = state[0], 5.0 * state[1], state[2] - state[0]
    return -abs(state[2] - state[0]) - 0.05 * action[0] * action[0], False


def ferry_reset(state, obs, parameters, rng):
    """A boat on a river, far from its dock."""
    state[0], state[1] = uniform(rng, -2.0, 2.0), uniform(rng, -2.5, -1.5)
    state[2], state[3] = 0.0, 0.0
    obs[0], obs[1], obs[2], obs[3] = 0.4 * state[0], 0.4 * state[1], 5.0 * state[2], 5.0 * state[3]


def ferry_step(state, action, obs, parameters, rng):
    """Drift, or push one way; the current pulls. -0.03 a step, 5 at the dock if slow enough, -5 outside."""
    if action[0] == 1.0:
        state[2] += 0.03
    elif action[0] == 2.0:
        state[2] -= 0.03
    elif action[0] == 3.0:
        state[3] += 0.03
    elif action[0] == 4.0:
        state[3] -= 0.03
    state[2], state[3] = 0.95 * state[2] + 0.004, 0.95 * state[3]
    state[0] += state[2]
    state[1] += state[3]
    obs[0], obs[1], obs[2], obs[3] = 0.4 * state[0], 0.4 * state[1], 5.0 * state[2], 5.0 * state[3]
    if abs(state[0]) > 3.0 or abs(state[1]) > 3.0:
        return -5.0, True
    if math.hypot(state[0], state[1] - 2.0) < 0.4 and math.hypot(state[2], state[3]) < 0.3:
        return 5.0, True
    return -0.03, False


def farm_reset(state, obs, parameters, rng):
    """A field with some crop."""
    state[0], state[1] = uniform(rng, 0.3, 0.6), 0.5
    obs[0], obs[1] = 2.0 * state[0] - 1.0, 2.0 * state[1] - 1.0


def farm_step(state, action, obs, parameters, rng):
    """Wait, harvest half, or feed the soil for 0.1; crops grow logistically with the soil and the weather. An empty field ends it."""
    reward = 0.0
    if action[0] == 1.0:
        reward = 0.5 * state[0]
        state[0] *= 0.5
    elif action[0] == 2.0:
        reward, state[1] = -0.1, min(1.0, state[1] + 0.3)
    state[1] *= 0.97
    state[0] += (0.1 + 0.3 * state[1]) * uniform(rng, 0.5, 1.5) * state[0] * (1.0 - state[0])
    obs[0], obs[1] = 2.0 * state[0] - 1.0, 2.0 * state[1] - 1.0
    return reward, state[0] < 0.05


def _box(n: int, size: float = np.inf) -> spaces.Box:
    return spaces.Box(-size, size, (n,), np.float32)


def _world(
    name: str,
    step: Callable[..., Any],
    reset: Callable[..., Any],
    features: int,
    actions: spaces.Space,
    n_state: int,
    limit: int,
) -> NativeSpec:
    return native_env(
        name,
        step,
        reset,
        observation_space=_box(features),
        action_space=actions,
        n_state=n_state,
        max_episode_steps=limit,
    )


Catch = _world("Catch-v0", catch_step, catch_reset, 4, spaces.Discrete(3), n_state=4, limit=40)
Lander = _world("Lander-v0", lander_step, lander_reset, 3, spaces.Discrete(4), n_state=3, limit=300)
Swingup = _world("Swingup-v0", swingup_step, swingup_reset, 5, _box(1, 1.0), n_state=4, limit=250)
Tracker = _world("Tracker-v0", tracker_step, tracker_reset, 7, _box(2, 1.0), n_state=6, limit=100)
Maze = _world("Maze-v0", maze_step, maze_reset, 4, spaces.Discrete(4), n_state=4, limit=80)
Cards = _world("Cards-v0", cards_step, cards_reset, 2, spaces.Discrete(2), n_state=2, limit=20)
Ice = _world("Ice-v0", ice_step, ice_reset, 2, spaces.Discrete(4), n_state=2, limit=60)
Chase = _world("Chase-v0", chase_step, chase_reset, 5, _box(1, 1.0), n_state=6, limit=150)
Stock = _world("Stock-v0", stock_step, stock_reset, 4, _box(1, 1.0), n_state=3, limit=100)
Hover = _world("Hover-v0", hover_step, hover_reset, 4, spaces.Discrete(4), n_state=4, limit=400)
Servo = _world("Servo-v0", servo_step, servo_reset, 3, _box(1, 1.0), n_state=3, limit=120)
Ferry = _world("Ferry-v0", ferry_step, ferry_reset, 4, spaces.Discrete(5), n_state=4, limit=200)
Farm = _world("Farm-v0", farm_step, farm_reset, 2, spaces.Discrete(3), n_state=2, limit=100)
