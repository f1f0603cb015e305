"""Faults that sit in the environment: a vector environment around the real one, which sees its true returns."""

from __future__ import annotations

import time
from typing import Any

import gymnasium
import numpy as np

from upswing.envs.contract import Episode, Observation, Step, VectorEnv


class World:
    """The environment as it is; faults override `observed`, `last_observed`, `rewarded` or `acted`. `true_returns` are the real ones."""

    def __init__(self, env: VectorEnv):
        self.inner, self.n_envs = env, env.n_envs
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.description = env.description
        self.true_returns: list[float] = []
        self._running = np.zeros(env.n_envs)
        self.rng = np.random.default_rng(0)

    def observed(self, obs: np.ndarray) -> np.ndarray:
        """What the policy gets to see of observations [N, ...]."""
        return obs

    def last_observed(self, obs: np.ndarray, ended: np.ndarray) -> np.ndarray:
        """What is seen of the last observations [K, ...] of the K episodes that end in this step, where `ended` [N]."""
        return self.observed(obs)

    def rewarded(self, rewards: np.ndarray) -> np.ndarray:
        """The rewards [N] that the trainer gets."""
        return rewards

    def acted(self, actions: np.ndarray) -> np.ndarray:
        """What the environments are given of the policy's actions [N] or [N, A]."""
        return actions

    def reset(self, seeds: list[int] | None = None) -> Observation:
        """First observations of new episodes."""
        self._running[:] = 0.0
        return self.observed(np.array(self.inner.reset(seeds)))

    def step(self, actions: np.ndarray) -> Step:
        """The outcome of `actions`; episodes carry the sum of the rewards that were handed out."""
        step = self.inner.step(self.acted(actions))
        rewards, ended = self.rewarded(np.array(step.rewards)), step.terminated | step.truncated
        self._running += rewards
        self.true_returns += [episode.ret for episode in step.episodes]
        episodes = [self._told(episode) for episode in step.episodes]
        self._running[ended] = 0.0
        final = None if step.final_obs is None else self.last_observed(np.array(step.final_obs), ended)
        obs = self.observed(np.array(step.obs))
        return step._replace(obs=obs, rewards=rewards.astype(np.float32), final_obs=final, episodes=episodes)

    def _told(self, episode: Episode) -> Episode:
        return episode._replace(ret=float(self._running[episode.env]))

    def get_state(self) -> dict[str, Any] | None:
        """None: a fault cannot be resumed."""
        return None

    def set_state(self, state: dict[str, Any]) -> Observation:
        """Never called, since there is no state."""
        raise NotImplementedError

    def render(self) -> np.ndarray | None:
        """The real environment's picture."""
        return self.inner.render()

    def close(self) -> None:
        """Close the real environment."""
        self.inner.close()


class ScaledRewards(World):
    """Rewards multiplied by a constant."""

    def __init__(self, env: VectorEnv, factor: float):
        super().__init__(env)
        self.factor = factor

    def rewarded(self, rewards: np.ndarray) -> np.ndarray:
        return rewards * self.factor


class RareHugeRewards(World):
    """A few rewards with a huge, meaningless amount on top."""

    def __init__(self, env: VectorEnv, size: float, share: float):
        super().__init__(env)
        self.size, self.share = size, share

    def rewarded(self, rewards: np.ndarray) -> np.ndarray:
        hit = self.rng.random(self.n_envs) < self.share
        return rewards + hit * self.rng.choice([-self.size, self.size], self.n_envs)


class UnscaledObservations(World):
    """Features in units that differ by orders of magnitude."""

    def __init__(self, env: VectorEnv, widest: float):
        super().__init__(env)
        space = env.observation_space
        assert isinstance(space, gymnasium.spaces.Box)
        n = int(np.prod(space.shape))
        self.units = np.random.default_rng(n).permutation(np.geomspace(1.0, widest, n)).reshape(space.shape)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, space.shape, np.float32)

    def observed(self, obs: np.ndarray) -> np.ndarray:
        return (obs * self.units).astype(np.float32)


class UnscaledActions(World):
    """A space of actions far smaller than what a fresh policy draws: nearly every action lies at a bound."""

    def __init__(self, env: VectorEnv, factor: float):
        super().__init__(env)
        space = env.action_space
        assert isinstance(space, gymnasium.spaces.Box)
        self.factor = factor
        low, high = ((bound * factor).astype(np.float32) for bound in (space.low, space.high))
        self.action_space = gymnasium.spaces.Box(low, high, dtype=np.float32)

    def acted(self, actions: np.ndarray) -> np.ndarray:
        return np.clip(actions, self.action_space.low, self.action_space.high) / self.factor  # type: ignore[attr-defined]


class MisplacedActions(World):
    """Each environment is given another one's action."""

    def acted(self, actions: np.ndarray) -> np.ndarray:
        return np.roll(actions, 1, axis=0)


class IgnoredActions(World):
    """A share of the actions is replaced by random ones before it reaches the environment."""

    def __init__(self, env: VectorEnv, share: float):
        super().__init__(env)
        self.share = share
        env.action_space.seed(0)

    def acted(self, actions: np.ndarray) -> np.ndarray:
        drawn = np.stack([self.inner.action_space.sample() for _ in range(self.n_envs)]).astype(actions.dtype)
        hit = self.rng.random(self.n_envs) < self.share
        return np.where(hit.reshape(-1, *[1] * (actions.ndim - 1)), drawn.reshape(actions.shape), actions)


class LateActions(World):
    """Actions take effect `steps` later than they were chosen."""

    def __init__(self, env: VectorEnv, steps: int):
        super().__init__(env)
        self.steps = steps
        self.waiting: list[np.ndarray] = []

    def acted(self, actions: np.ndarray) -> np.ndarray:
        self.waiting = [*self.waiting, np.array(actions)][-1 - self.steps :]
        return self.waiting[0]


class DelayedObservations(World):
    """What the policy sees is `steps` old; nothing is told of an episode's end."""

    def __init__(self, env: VectorEnv, steps: int):
        super().__init__(env)
        self.steps = steps
        self.past: list[np.ndarray] = []

    def reset(self, seeds: list[int] | None = None) -> Observation:
        self.past = []
        return super().reset(seeds)

    def observed(self, obs: np.ndarray) -> np.ndarray:
        self.past = [*self.past, obs][-1 - self.steps :]
        return self.past[0]

    def last_observed(self, obs: np.ndarray, ended: np.ndarray) -> np.ndarray:
        return self.past[-self.steps :][0][ended]


class LateRewards(World):
    """Rewards come `steps` later than they should, also those of an episode that is over."""

    def __init__(self, env: VectorEnv, steps: int):
        super().__init__(env)
        self.due = [np.zeros(env.n_envs) for _ in range(steps)]

    def rewarded(self, rewards: np.ndarray) -> np.ndarray:
        self.due = [*self.due, rewards]
        return self.due.pop(0)


class FlippedRewards(World):
    """The sign of the rewards is wrong in a share of the environments."""

    def __init__(self, env: VectorEnv, share: float):
        super().__init__(env)
        self.signs = np.where(np.arange(env.n_envs) < share * env.n_envs, -1.0, 1.0)

    def rewarded(self, rewards: np.ndarray) -> np.ndarray:
        return rewards * self.signs


class ShiftedRewards(World):
    """A constant on top of every reward."""

    def __init__(self, env: VectorEnv, by: float):
        super().__init__(env)
        self.by = by

    def rewarded(self, rewards: np.ndarray) -> np.ndarray:
        return rewards + self.by


class ConstantRewards(World):
    """Every reward is 1, whatever happened."""

    def rewarded(self, rewards: np.ndarray) -> np.ndarray:
        return np.ones_like(rewards)


class SwappedRewards(World):
    """Each environment is given another one's reward."""

    def rewarded(self, rewards: np.ndarray) -> np.ndarray:
        return np.roll(rewards, 1)


class RewardsAtEnd(World):
    """All rewards of an episode come with its last step."""

    def __init__(self, env: VectorEnv):
        super().__init__(env)
        self.saved = np.zeros(env.n_envs)

    def step(self, actions: np.ndarray) -> Step:
        step = super().step(actions)
        self.saved += step.rewards
        ended = step.terminated | step.truncated
        handed_out = np.where(ended, self.saved, 0.0)
        self.saved[ended] = 0.0
        return step._replace(rewards=handed_out.astype(np.float32))


class WeakActions(World):
    """Actions have a fraction of their effect."""

    def __init__(self, env: VectorEnv, factor: float):
        super().__init__(env)
        self.factor = factor

    def acted(self, actions: np.ndarray) -> np.ndarray:
        return actions * self.factor


class ShuffledFeatures(World):
    """The features of an observation come in another order at every step."""

    def observed(self, obs: np.ndarray) -> np.ndarray:
        return self.rng.permuted(obs, axis=-1)


class FrozenObservations(World):
    """What is seen during an episode is what was seen at its beginning."""

    def reset(self, seeds: list[int] | None = None) -> Observation:
        self.first = np.array(super().reset(seeds))
        return self.first.copy()

    def step(self, actions: np.ndarray) -> Step:
        step = super().step(actions)
        ended = step.terminated | step.truncated
        final = None if step.final_obs is None else self.first[ended]
        self.first[ended] = np.asarray(step.obs)[ended]
        return step._replace(obs=self.first.copy(), final_obs=final)


class NoisyRewards(World):
    """Every reward with noise on top."""

    def __init__(self, env: VectorEnv, size: float):
        super().__init__(env)
        self.size = size

    def rewarded(self, rewards: np.ndarray) -> np.ndarray:
        return rewards + self.rng.normal(0.0, self.size, self.n_envs)


class HeldActions(World):
    """An action is held for several steps, whatever is chosen meanwhile."""

    def __init__(self, env: VectorEnv, steps: int):
        super().__init__(env)
        self.steps, self.taken = steps, 0
        self.held: np.ndarray = np.empty(0)

    def acted(self, actions: np.ndarray) -> np.ndarray:
        if self.taken % self.steps == 0:
            self.held = np.array(actions)
        self.taken += 1
        return self.held


class CutObservations(World):
    """Features are cut off at a bound far inside their range."""

    def __init__(self, env: VectorEnv, at: float):
        super().__init__(env)
        self.at = at

    def observed(self, obs: np.ndarray) -> np.ndarray:
        return np.clip(obs, -self.at, self.at)


class SlowWorld(World):
    """Every step waits."""

    def __init__(self, env: VectorEnv, seconds: float):
        super().__init__(env)
        self.seconds = seconds

    def acted(self, actions: np.ndarray) -> np.ndarray:
        time.sleep(self.seconds)
        return actions
