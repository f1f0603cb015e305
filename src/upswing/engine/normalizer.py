"""The statistics by which observations and rewards are scaled, as they accumulate over a training."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from upswing.config import TrainConfig
from upswing.envs.contract import ACTION_MASK, Observation
from upswing.errors import StorageError
from upswing.ppo.normalize import Moments, merge, no_moments, scale_obs, scale_rewards
from upswing.run.snapshot import Arrays

PREFIX = "normalizer."


class Normalizer:
    """Running statistics of observations and discounted returns. They are part of the model: every checkpoint holds
    them, and evaluation uses them frozen. Images and action masks are left alone. `gather` joins what several processes
    that train together have seen."""

    def __init__(
        self,
        config: TrainConfig,
        observation_space: gymnasium.Space,
        n_envs: int,
        gather: Callable[[Any], Any] = lambda part: part,
    ):
        self.clip_obs, self.clip_reward, self.gamma = config.clip_obs, config.clip_reward, config.gamma
        self.obs: dict[str, Moments] = _obs_moments(observation_space) if config.normalize_obs else {}
        self.returns = no_moments(()) if config.normalize_reward else None
        self.gather = gather
        self.discounted = np.zeros(n_envs)  # [N] running discounted return of each environment

    def on_host(self) -> Normalizer:
        """The same statistics as arrays: this one's are."""
        return self

    def twin(self) -> Normalizer:
        """A normaliser of its own with the same statistics."""
        twin = copy.copy(self)
        twin.take(self)
        return twin

    def take(self, other: Normalizer) -> None:
        """Hold the statistics that `other`, of the same kind, holds now."""
        self.obs, self.returns = dict(other.obs), other.returns

    def observe(self, obs: Observation) -> Observation:
        """`obs` [N, ...] scaled, after its values were added to the statistics."""
        for key, moments in self.obs.items():
            self.obs[key] = merge(moments, self.gather(_part(obs, key)))
        return self.scale(obs)

    def scale(self, obs: Observation) -> Observation:
        """`obs` [N, ...] scaled by the statistics as they are."""
        if not self.obs:
            return obs
        if isinstance(obs, dict):
            return {
                key: scale_obs(part, self.obs[key], self.clip_obs) if key in self.obs else part
                for key, part in obs.items()
            }
        return scale_obs(obs, self.obs[""], self.clip_obs)

    def learn_rewards(self, rewards: np.ndarray, ended: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
        """Rewards [N] as learned from, after their discounted returns were added to the statistics.

        `ended` and `valid` [N] bool: where an episode ended, and (None: everywhere) where a transition took place;
        elsewhere the reward is 0 and changes nothing. The order of operations is SB3's VecNormalize's.
        """
        if valid is not None:
            rewards = np.where(valid, rewards, np.float32(0.0))
        if self.returns is None:
            return rewards
        counted = np.ones(len(rewards), bool) if valid is None else valid
        self.discounted[counted] = self.discounted[counted] * self.gamma + rewards[counted]
        self.returns = merge(self.returns, self.gather(self.discounted)[self.gather(counted)])
        self.discounted[ended] = 0.0
        return scale_rewards(rewards, self.returns, self.clip_reward)

    def set_discounted(self, discounted: np.ndarray) -> None:
        """Continue from running discounted returns [N]."""
        self.discounted = np.array(discounted)

    def arrays(self) -> Arrays:
        """The statistics by name, for a checkpoint; empty when nothing is normalised."""
        named = {f"{PREFIX}obs.{key}": moments for key, moments in self.obs.items()}
        if self.returns is not None:
            named[f"{PREFIX}returns"] = self.returns
        return {
            f"{name}.{part}": np.atleast_1d(np.asarray(value, np.float64))
            for name, moments in named.items()
            for part, value in moments._asdict().items()
        }

    def load(self, arrays: Arrays) -> None:
        """Continue from the statistics in `arrays`. Raises StorageError where one is missing."""
        for key, moments in self.obs.items():
            self.obs[key] = _read(arrays, f"{PREFIX}obs.{key}", moments)
        if self.returns is not None:
            self.returns = _read(arrays, f"{PREFIX}returns", self.returns)


def _obs_moments(space: gymnasium.Space) -> dict[str, Moments]:
    parts = space.spaces if isinstance(space, gymnasium.spaces.Dict) else {"": space}
    return {
        key: no_moments(part.shape or ())
        for key, part in parts.items()
        if key != ACTION_MASK and part.dtype != np.uint8
    }


def _part(obs: Observation, key: str) -> np.ndarray:
    return obs[key] if isinstance(obs, dict) else obs


def _read(arrays: Arrays, name: str, like: Moments) -> Moments:
    try:
        mean, var, weight = (arrays[f"{name}.{part}"] for part in Moments._fields)
    except KeyError:
        raise StorageError(
            f"The checkpoint holds no {name} statistics, which normalize_obs or normalize_reward needs: turn that "
            f"setting off, or start from a checkpoint that was trained with it."
        ) from None
    if mean.reshape(-1).shape != like.mean.reshape(-1).shape:
        raise StorageError(f"The checkpoint's {name} statistics are for another observation space: start without it.")
    return Moments(mean.reshape(like.mean.shape), var.reshape(like.var.shape), float(weight[0]))
