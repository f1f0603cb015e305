"""Scores of anything that has a `predict` method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from upswing.sb3.common.vec_env import as_vec_env


def evaluate_policy(
    model: Any,
    env: Any,
    n_eval_episodes: int = 10,
    deterministic: bool = True,
    render: bool = False,
    callback: Callable[[dict[str, Any], dict[str, Any]], Any] | None = None,
    reward_threshold: float | None = None,
    return_episode_rewards: bool = False,
    warn: bool = True,
) -> Any:
    """Mean and standard deviation of the returns of whole episodes; with `return_episode_rewards`, their returns and
    lengths, two lists.

    Returns are raw: as the environment gives them. Each environment contributes a fixed number of episodes, since taking
    whichever finish first would favour short ones. `callback(locals, globals)` is called after each step of each
    environment that still counts. Raises AssertionError where the mean does not exceed `reward_threshold`.
    """
    venv = as_vec_env(env)
    n_envs = venv.num_envs
    quota = np.array([(n_eval_episodes + i) // n_envs for i in range(n_envs)])
    episode_rewards: list[float] = []
    episode_lengths: list[int] = []
    observations, states, episode_starts = venv.reset(), None, np.ones(n_envs, bool)
    while quota.any():
        actions, states = model.predict(
            observations, state=states, episode_start=episode_starts, deterministic=deterministic
        )
        observations, rewards, dones, infos = venv.step(actions)
        episode_starts = dones
        for i in np.flatnonzero(quota):
            reward, done, info = rewards[i], dones[i], infos[i]
            if callback is not None:
                callback(locals(), globals())
            if done and "episode" in info:  # an episode that a fault cut short has none
                episode_rewards.append(info["episode"]["r"])
                episode_lengths.append(info["episode"]["l"])
                quota[i] -= 1
        if render:
            venv.render()
    mean, std = float(np.mean(episode_rewards)), float(np.std(episode_rewards))
    if reward_threshold is not None:
        assert mean > reward_threshold, f"Mean reward below threshold: {mean:.2f} < {reward_threshold:.2f}"
    return (episode_rewards, episode_lengths) if return_episode_rewards else (mean, std)
