"""A vector environment whose every step is written down beforehand, for tests of the engines."""

from __future__ import annotations

import gymnasium
import numpy as np

from upswing.envs.contract import Episode, Step


class ScriptedEnv:
    """Plays `steps` in a circle and remembers the actions it was given."""

    def __init__(self, steps: list[Step], first_obs: np.ndarray, action_space: gymnasium.Space | None = None):
        self.n_envs = len(first_obs)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, first_obs.shape[1:], np.float32)
        self.action_space = action_space or gymnasium.spaces.Discrete(2)
        self.description = "a script"
        self.steps, self.first_obs, self.at = steps, first_obs, 0
        self.actions: list[np.ndarray] = []

    def reset(self, seeds=None):
        self.at = 0
        return self.first_obs

    def step(self, actions):
        self.actions.append(np.array(actions))
        step = self.steps[self.at % len(self.steps)]
        self.at += 1
        return step

    def get_state(self):
        return {"at": self.at}

    def set_state(self, state):
        self.at = state["at"]
        return self.steps[(self.at - 1) % len(self.steps)].obs if self.at else self.first_obs

    def render(self):
        return None

    def close(self):
        pass


def script(n_steps: int, n_envs: int, seed: int = 0, p_end: float = 0.2, n_features: int = 3) -> ScriptedEnv:
    """A ScriptedEnv of random steps with random terminations and truncations."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    steps = []
    for _ in range(n_steps):
        terminated = rng.random(n_envs) < p_end / 2
        truncated = ~terminated & (rng.random(n_envs) < p_end / 2)
        ended = np.flatnonzero(terminated | truncated)
        final = draw(len(ended), n_features) if len(ended) else None
        episodes = [Episode(int(env), float(rng.normal()), int(rng.integers(1, 9))) for env in ended]
        steps.append(Step(draw(n_envs, n_features), draw(n_envs), terminated, truncated, final, episodes))
    return ScriptedEnv(steps, draw(n_envs, n_features))
