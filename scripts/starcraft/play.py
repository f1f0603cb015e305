"""A scripted agent: it selects its army and walks to the nearest goal. What it scores is what a policy is held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scripts.starcraft.rules import NEUTRAL, SELF


def scores(name: str, seeds: Sequence[int], screen_size: int, steps: int | None = None) -> list[float]:
    """The scripted agent's score of one episode for each seed, in the game that PySC2 finds; at most `steps` each."""
    from upswing.envs.starcraft.env import StarCraftEnv

    env = StarCraftEnv(name, screen_size=screen_size, minimap_size=8, step_mul=8)
    try:
        return [_episode(env, seed, steps) for seed in seeds]
    finally:
        env.close()


def _episode(env: Any, seed: int, steps: int | None) -> float:
    env.reset(seed=seed)
    score, n, over = 0.0, 0, False
    while not over and n != steps:
        _, reward, terminated, truncated, _ = env.step(act(env))
        score, n, over = score + reward, n + 1, terminated or truncated
    return score


def act(env: Any) -> np.ndarray:
    """The scripted agent's action [1 + A]."""
    functions, arguments = list(env.action_space.functions), list(env.action_space.arguments)
    action = np.zeros(len(env.action_space.nvec), np.int64)
    move = functions.index("Move_screen")
    if not env.action_masks()[move]:
        action[0] = functions.index("select_army")
        return action
    relative = np.asarray(env.last.observation["feature_screen"].player_relative)
    goals, own = np.argwhere(relative == NEUTRAL), np.argwhere(relative == SELF)
    if len(goals):
        start = own.mean(axis=0) if len(own) else np.array(relative.shape) / 2
        nearest = goals[((goals - start) ** 2).sum(axis=1).argmin()]
        around = goals[abs(goals - nearest).max(axis=1) <= relative.shape[0] // 6]  # a beacon's middle, not its rim
        y, x = (around.mean(axis=0) if env.map_name == "MoveToBeacon" else nearest).astype(int)
        action[0], action[1 + arguments.index("screen")] = move, y * relative.shape[1] + x
    return action
