"""A compiled environment as a Gymnasium Env, time limit included."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np

from upswing.compiled.random import stream
from upswing.envs.native.spec import NativeSpec


class NativeEnv(gymnasium.Env):
    """One compiled environment. Spaces, episodes and truncation are those of its NativeSpec."""

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array"],
        "render_fps": 30,
    }

    def __init__(self, native: NativeSpec, render_mode: str | None = None):
        if render_mode is not None and (render_mode != "rgb_array" or native.picture is None):
            raise ValueError(f"{native.id} cannot be rendered as {render_mode}")
        self.native, self.render_mode = native, render_mode
        self.observation_space, self.action_space = native.observation_space, native.action_space
        self.functions = native.compiled
        self.parameters, self.physics = native.begin()
        self.low, self.high = native.action_bounds()
        self.state = np.zeros(native.n_state, np.float64)
        self.elapsed = 0
        self._stream = stream(np.random.SeedSequence())

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """(observation, {}) of a new episode; `options` have no meaning here."""
        super().reset(seed=seed)
        if seed is not None:
            self._stream = stream(seed)
        self.elapsed = 0
        obs = self._empty_obs()
        self.functions.reset.call(self.state, obs.reshape(-1), self.parameters, self._stream)
        return obs, {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """(observation, reward, terminated, truncated, info); info has "success" where the environment speaks of it."""
        flat = np.asarray(action, np.float32).reshape(-1).clip(self.low, self.high)
        obs = self._empty_obs()
        reward, terminated = self.functions.step.call(self.state, flat, obs.reshape(-1), self.parameters, self._stream)
        self.elapsed += 1
        truncated = self.native.max_episode_steps is not None and self.elapsed >= self.native.max_episode_steps
        info = {}
        if self.native.success is not None:
            info["success"] = bool(self.functions.success.call(self.state, self.parameters))
        return obs, float(reward), bool(terminated), truncated, info

    def render(self) -> np.ndarray | None:
        """An RGB picture [H, W, 3] uint8, or None without a render_mode."""
        if self.render_mode is None or self.native.picture is None:
            return None
        return self.native.picture(self.state.copy())

    def _empty_obs(self) -> np.ndarray:
        return np.zeros(self.observation_space.shape or (), np.float32)
