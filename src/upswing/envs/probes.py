"""Five tiny environments with known answers. Each needs one more part of an actor-critic than the one before, so the
first that a training fails names what is broken.

Source: Andy Jones 2021, "Debugging Reinforcement Learning Systems".
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces


class Answer(NamedTuple):
    """What a trained agent must say to one observation."""

    obs: float
    value: float  # of this observation, under the best policy
    action: int | None = None  # the best one, or None where there is only one


class Probe(gymnasium.Env):
    """What the probes share: one number to see, episodes of one step unless said otherwise, an exact state."""

    isolates: ClassVar[str]  # the part of a training that this probe needs and those before it do not
    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space: spaces.Discrete = spaces.Discrete(1)

    def __init__(self, render_mode: str | None = None):
        self.render_mode = render_mode
        self.shown = 0.0

    @classmethod
    def answers(cls, gamma: float) -> list[Answer]:
        """What a trained agent must say, for each observation."""
        raise NotImplementedError

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The first observation of an episode."""
        super().reset(seed=seed)
        self.shown = self.first()
        return self._obs(), {}

    def first(self) -> float:
        """The number that an episode begins with."""
        return 0.0

    def coin(self) -> float:
        """-1 or 1, drawn at random."""
        return float(self.np_random.integers(0, 2) * 2 - 1)

    def _obs(self) -> np.ndarray:
        return np.array([self.shown], np.float32)

    def _end(self, reward: float) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return self._obs(), reward, True, False, {}

    def get_state(self) -> float:
        """What the next step depends on."""
        return self.shown

    def set_state(self, state: float) -> None:
        """Continue from what `get_state` gave."""
        self.shown = float(state)


class ConstantReward(Probe):
    """One action, nothing to see, reward 1."""

    isolates = "the value loss and the optimiser: the critic does not learn a constant"

    @classmethod
    def answers(cls, gamma: float) -> list[Answer]:
        """Value 1."""
        return [Answer(0.0, 1.0)]

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """The end, with reward 1."""
        return self._end(1.0)


class RewardSeen(Probe):
    """One action; the reward is the number shown, -1 or 1."""

    isolates = "gradients through the network: the critic does not tell observations apart"

    @classmethod
    def answers(cls, gamma: float) -> list[Answer]:
        """The value is what is shown."""
        return [Answer(-1.0, -1.0), Answer(1.0, 1.0)]

    def first(self) -> float:
        """-1 or 1."""
        return self.coin()

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """The end, with the number shown as reward."""
        return self._end(self.shown)


class RewardLater(Probe):
    """One action, two steps: 0 is shown and rewarded with 0, then 1 with 1."""

    isolates = "discounting and bootstrapping: a reward that comes a step later is valued wrongly"

    @classmethod
    def answers(cls, gamma: float) -> list[Answer]:
        """γ, then 1."""
        return [Answer(0.0, gamma), Answer(1.0, 1.0)]

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """The second half, or the end."""
        if self.shown == 0.0:
            self.shown = 1.0
            return self._obs(), 0.0, False, False, {}
        return self._end(1.0)


class RightAction(Probe):
    """Two actions, nothing to see: action 1 is rewarded with 1, action 0 with -1."""

    isolates = "advantages and the policy loss: the policy does not prefer the better action"
    action_space = spaces.Discrete(2)

    @classmethod
    def answers(cls, gamma: float) -> list[Answer]:
        """Action 1."""
        return [Answer(0.0, 1.0, 1)]

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """The end, with 1 for action 1, otherwise -1."""
        return self._end(1.0 if int(action) == 1 else -1.0)


class RightAnswer(Probe):
    """Two actions; -1 or 1 is shown, and the action with the same sign (0 or 1) is rewarded with 1, the other with -1."""

    isolates = "policy and critic together: observations, actions or advantages are paired with the wrong rows"
    action_space = spaces.Discrete(2)

    @classmethod
    def answers(cls, gamma: float) -> list[Answer]:
        """The action that matches."""
        return [Answer(-1.0, 1.0, 0), Answer(1.0, 1.0, 1)]

    def first(self) -> float:
        """-1 or 1."""
        return self.coin()

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """The end, with 1 for the matching action, otherwise -1."""
        return self._end(1.0 if (int(action) == 1) == (self.shown > 0) else -1.0)


PROBES: tuple[type[Probe], ...] = (ConstantReward, RewardSeen, RewardLater, RightAction, RightAnswer)
"""In the order in which they should be tried."""
