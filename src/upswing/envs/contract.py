"""The contract that every environment meets, whatever library it comes from.

N environments step side by side. Arrays are NumPy on the CPU; an environment that lives on a GPU has an attribute
`device`, takes and gives torch tensors of the same shapes there, and every row of its steps is valid. An observation is one
array [N, ...], or a dict of such arrays for Dict spaces. Discrete observations arrive one-hot encoded, so that downstream
every observation space is a Box or a Dict of Boxes; valid-action masks, where the environment offers them, are the Dict
entry ACTION_MASK.

Autoreset is "same step": where an episode ended, the observation returned is already the next episode's first, and
the true last observation comes in `final_obs`. An adapter of an environment that resets one step later (Gymnasium's
NEXT_STEP) marks the row of that empty step as not valid.

An episode that was lost (its worker process died, or a number in it was not finite) ends in a row that is truncated
and not valid, with reward 0, no Episode, and in `final_obs` what comes nearest to a true last observation.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import gymnasium
import numpy as np

Observation = np.ndarray | dict[str, np.ndarray]
"""[N, *shape], or a dict of such arrays."""

ACTION_MASK = "action_mask"
"""Key of a Dict observation that holds which actions are valid: bool [N, total number of choices]."""


class Episode(NamedTuple):
    """One finished episode, in the environment's own, raw rewards."""

    env: int
    ret: float  # sum of rewards
    length: int
    success_once: bool | None = None  # None: the environment does not speak of success
    success_at_end: bool | None = None


class Step(NamedTuple):
    """What one step of all environments returns."""

    obs: Observation  # [N, ...], already reset where an episode ended
    rewards: np.ndarray  # [N] float32, raw
    terminated: np.ndarray  # [N] bool: the episode ended by the task's own rules
    truncated: np.ndarray  # [N] bool: it was cut off, typically by a time limit
    final_obs: Observation | None  # [K, ...]: true last observations of the K ended rows, in row order; None if K = 0
    episodes: list[Episode]  # the finished ones, usually K of them
    valid: np.ndarray | None = None  # [N] bool; False where no transition took place; None: all are valid


def new_episodes(step: Step) -> np.ndarray:
    """[N] bool: where the observation after `step` may be an episode's first, so that nothing before it counts."""
    ended = step.terminated | step.truncated
    return ended if step.valid is None else ended | ~step.valid


@runtime_checkable
class VectorEnv(Protocol):
    """N environments that step side by side."""

    n_envs: int
    observation_space: gymnasium.Space  # of one environment: Box, or Dict of Boxes
    action_space: gymnasium.Space  # of one environment: Discrete, Box, MultiDiscrete or MultiBinary
    description: str  # how they are stepped, for the output: "8 environments in 2 worker processes"

    def reset(self, seeds: list[int] | None = None) -> Observation:
        """First observations [N, ...] of new episodes; `seeds` gives each environment its own."""
        ...

    def step(self, actions: np.ndarray) -> Step:
        """The outcome of `actions` [N] or [N, A], inside the action space. The arrays may be reused by the next step."""
        ...

    def get_state(self) -> dict[str, Any] | None:
        """Everything needed to continue exactly (arrays and JSON values), or None where it cannot be had."""
        ...

    def set_state(self, state: dict[str, Any]) -> Observation:
        """The current observations [N, ...] after restoring what `get_state` gave. Raises StorageError, before anything is
        changed, for what environments of another kind or number gave."""
        ...

    def render(self) -> np.ndarray | None:
        """An RGB picture [H, W, 3] uint8 of the first environment, or None."""
        ...

    def close(self) -> None:
        """Release processes, windows and memory. Safe to call twice."""
        ...
