"""An environment played with random actions, and everything about it that can be judged afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from upswing.envs.spaces import encode


@dataclass
class Played:
    """What happened in a number of steps. Observations are encoded to flat float64 rows."""

    obs: list[np.ndarray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)  # of finished episodes
    terminated: list[bool] = field(default_factory=list)  # how each of them ended
    truncated: list[bool] = field(default_factory=list)
    resumed: list[bool] = field(default_factory=list)  # whether its last observation is the next episode's first
    reused: bool = False  # two steps returned the same array
    outside: str = ""  # an observation outside its space
    seconds: float = 0.0  # inside step


def play(env: gymnasium.Env, steps: int, seed: int, budget_s: float = np.inf) -> Played:
    """`steps` steps of random actions, fewer where they take longer than `budget_s`; the first episode from `seed`."""
    played, rng = Played(), np.random.default_rng(seed)
    obs, _ = env.reset(seed=seed)
    length, started = 0, time.perf_counter()
    for _ in range(steps):
        played.obs.append(flat(env, obs))
        before, previous = time.perf_counter(), obs
        obs, reward, terminated, truncated, _ = env.step(random_action(env.action_space, rng))
        played.seconds += time.perf_counter() - before
        length += 1
        played.rewards.append(float(reward))
        played.reused |= isinstance(obs, np.ndarray) and obs is previous
        played.outside = played.outside or _outside(env, obs)
        if terminated or truncated:
            played.lengths.append(length)
            played.terminated.append(bool(terminated))
            played.truncated.append(bool(truncated))
            last = flat(env, obs)
            obs, _ = env.reset()
            played.resumed.append(np.array_equal(last, flat(env, obs)))
            length = 0
        if time.perf_counter() - started > budget_s:
            break
    return played


def trace(env: gymnasium.Env, steps: int, seed: int) -> np.ndarray:
    """Observations and rewards [steps + 1, D + 1] of `steps` seeded steps: equal for equal environments."""
    rng = np.random.default_rng(seed)
    obs, _ = env.reset(seed=seed)
    rows = [np.append(flat(env, obs), 0.0)]
    for _ in range(steps):
        obs, reward, terminated, truncated, _ = env.step(random_action(env.action_space, rng))
        rows.append(np.append(flat(env, obs), float(reward)))
        if terminated or truncated:
            break
    return np.stack(rows)


def side_by_side(make: Callable[[], gymnasium.Env], steps: int, seed: int) -> np.ndarray:
    """The trace of one environment while another one of its kind is stepped in between."""
    env, other = make(), make()
    try:
        other.reset(seed=seed + 1)
        noise, step = np.random.default_rng(seed + 1), env.step

        def disturbed(action: Any) -> Any:
            _, _, terminated, truncated, _ = other.step(random_action(other.action_space, noise))
            if terminated or truncated:
                other.reset()
            return step(action)

        env.step = disturbed  # type: ignore[method-assign]
        return trace(env, steps, seed)
    finally:
        env.close()
        other.close()


def random_action(space: gymnasium.Space, rng: np.random.Generator) -> Any:
    """An action of `space`, the same for the same state of `rng`; unbounded Boxes give numbers near 0."""
    if isinstance(space, spaces.Box):
        low, high = np.maximum(space.low, -1e3), np.minimum(space.high, 1e3)
        return rng.uniform(low, high).astype(space.dtype)
    space.seed(int(rng.integers(2**31)))
    return space.sample()


def flat(env: gymnasium.Env, obs: Any) -> np.ndarray:
    """An observation as one row of float64, as a policy would get it."""
    encoded = encode(env.observation_space, obs)
    parts = encoded.values() if isinstance(encoded, dict) else [encoded]
    return np.concatenate([np.asarray(part, np.float64).reshape(-1) for part in parts])


def _outside(env: gymnasium.Env, obs: Any) -> str:
    space = env.observation_space
    if not isinstance(space, spaces.Box) or space.contains(np.asarray(obs, space.dtype)):
        return ""
    value = np.asarray(obs, np.float64)
    wrong = np.argwhere((value < space.low) | (value > space.high))
    if not len(wrong):  # not a number: another finding
        return ""
    where = tuple(int(i) for i in wrong[0])
    name = "[" + ", ".join(map(str, where)) + "]"
    return f"{name} = {value[where]:.6g} ∉ [{space.low[where]:.6g}, {space.high[where]:.6g}]"
