"""The memory of a rollout."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from upswing.engine.contract import Rollout
from upswing.engine.native.layout import Layout
from upswing.envs.contract import Episode, VectorEnv


class RolloutStorage:
    """The rows of a rollout [T, N, …], written in place by every collect."""

    def __init__(self, n_steps: int, env: VectorEnv, layout: Layout):
        n_envs = env.n_envs
        shape = (n_steps, n_envs)
        self.obs_shape, self.action_space = env.observation_space.shape or (), env.action_space
        self.obs = np.zeros((*shape, layout.n_obs), np.float32)
        self.actions = np.zeros((*shape, layout.n_actions), np.float32)
        choices = isinstance(self.action_space, spaces.Discrete)
        self.choices = np.zeros(shape if choices else (0, 0), np.int64)  # the same, as Discrete spaces want them
        self.log_probs, self.values, self.rewards, self.final_values = (np.zeros(shape, np.float32) for _ in range(4))
        self.terminated, self.truncated, self.valid = (np.zeros(shape, np.bool_) for _ in range(3))
        self.last_values = np.zeros(n_envs, np.float32)
        self.current = np.zeros((n_envs, layout.n_obs), np.float32)
        self.final_obs = np.zeros((n_envs, layout.n_obs), np.float32)
        self.episodes = np.zeros((n_steps * n_envs, 5))
        self.advantages, self.returns = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.scaled = np.zeros(n_steps * n_envs, np.float32)

    @property
    def rows(self) -> tuple[np.ndarray, ...]:
        """What a native rollout fills."""
        written = (self.obs, self.actions, self.log_probs, self.values)
        return *written, self.rewards, self.terminated, self.truncated, self.final_values

    def clear(self) -> None:
        """Make the rows those of a rollout in which every step is valid and no episode has ended."""
        self.valid[:] = True
        self.final_values[:] = 0.0

    def env_actions(self, t: int, where: slice) -> np.ndarray:
        """The actions of row `t` for the environments `where`, as they take them."""
        return self.choices[t, where] if self.choices.size else self.for_env(self.actions[t, where])

    def for_env(self, actions: np.ndarray) -> np.ndarray:
        """Actions [N, n_actions] as environments of this action space take them."""
        if isinstance(self.action_space, spaces.Box):
            return actions
        whole = actions.astype(self.action_space.dtype)
        return whole[..., 0] if isinstance(self.action_space, spaces.Discrete) else whole

    def rollout(self, episodes: list[Episode], raw_reward_mean: float, env_s: float) -> Rollout:
        """The rows as a Rollout; its arrays are views."""
        return Rollout(
            obs=self.obs.reshape(*self.obs.shape[:2], *self.obs_shape),
            actions=self.for_env(self.actions),
            log_probs=self.log_probs,
            values=self.values,
            rewards=self.rewards,
            terminated=self.terminated,
            truncated=self.truncated,
            final_values=self.final_values,
            last_values=self.last_values,
            valid=self.valid,
            episodes=episodes,
            raw_reward_mean=raw_reward_mean,
            env_s=env_s,
        )
