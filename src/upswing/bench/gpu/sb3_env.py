"""Upswing's compiled environments as a VecEnv of Stable-Baselines3: many of them without a Python loop over each."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from upswing.envs.native import NativeVectorEnv, find


class NativeVecEnv(VecEnv):
    """N compiled environments behind Stable-Baselines3's interface."""

    def __init__(self, env_id: str, n_envs: int):
        spec = find(env_id)
        assert spec is not None
        self.inner = NativeVectorEnv(spec, n_envs)
        self.nothing: list[dict[str, Any]] = [{} for _ in range(n_envs)]
        super().__init__(n_envs, spec.observation_space, spec.action_space)

    def reset(self) -> Any:
        """First observations."""
        return self.inner.reset(list(range(self.num_envs)))

    def step_async(self, actions: np.ndarray) -> None:
        """Remember the actions."""
        self.actions = actions

    def step_wait(self) -> Any:
        """Observations, rewards, ends, and an info for each environment, that of a finished one with its last observation."""
        step: Any = self.inner.step(self.actions)
        ended, infos = step.terminated | step.truncated, self.nothing
        if step.final_obs is not None:
            infos = list(self.nothing)
            for k, i in enumerate(np.flatnonzero(ended)):
                infos[i] = {
                    "terminal_observation": step.final_obs[k].copy(),
                    "TimeLimit.truncated": bool(step.truncated[i]),
                }
        return step.obs.copy(), step.rewards.copy(), ended, infos

    def close(self) -> None:
        """Nothing is held."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """None for each: there are no objects behind the environments."""
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Not possible."""
        raise AttributeError(attr_name)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Not possible."""
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """None is."""
        return [False] * self.num_envs
