"""A world that only a memory solves."""

import gymnasium
import numpy as np
from gymnasium import spaces


class Recall(gymnasium.Env):
    """The first observation shows which of two answers will be right, the others only the time; at the last of
    `length` steps the answer is asked for, with reward 1 if right. Whoever forgets gets 0.5 on average.

    With `masked` there are four choices: the last two are the only valid ones before the end and invalid there.
    """

    def __init__(self, length: int = 4, masked: bool = False, render_mode: str | None = None):
        self.render_mode = render_mode
        self.observation_space = spaces.Box(-1, 1, (2,), np.float32)
        self.action_space = spaces.Discrete(4 if masked else 2)
        self.length, self.masked = length, masked
        if masked:
            self.action_masks = self._masks

    def _masks(self):
        last = self.t == self.length - 1
        return np.array([last, last, not last, not last])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.answer = 0, int(self.np_random.integers(2))
        return self._seen(), {}

    def step(self, action):
        assert not self.masked or self._masks()[action]
        right = self.t == self.length - 1 and action == self.answer
        self.t += 1
        return self._seen(), float(right), self.t == self.length, False, {}

    def render(self):
        return np.full((4, 4, 3), self.t, np.uint8)

    def _seen(self):
        shown = 2.0 * self.answer - 1.0 if self.t == 0 else 0.0
        return np.array([shown, self.t / self.length], np.float32)
