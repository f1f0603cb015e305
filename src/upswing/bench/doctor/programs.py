"""Faults that sit in the training program: hooks that spoil what the update gets, as a bug in a trainer would."""

from __future__ import annotations

import copy
import time
from typing import Any

import numpy as np
import torch

from upswing.agent import Agent
from upswing.engine.contract import EpochView, Rollout
from upswing.hooks import Hook, Record


class LimitsAsEnds(Hook):
    """Time limits pass for real ends: done = terminated | truncated."""

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        rollout.terminated |= rollout.truncated
        rollout.truncated[...] = False


class EndsAsLimits(Hook):
    """Real ends pass for time limits: the return goes on beyond them."""

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        rollout.truncated |= rollout.terminated
        rollout.terminated[...] = False


class EndsUnseen(Hook):
    """Advantages without a mask for ends: they flow from each episode into the one that follows it."""

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        rollout.terminated[...] = False
        rollout.truncated[...] = False


class ShuffledRewards(Hook):
    """Rewards reach the update in another order than they came in."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        rollout.rewards[...] = self.rng.permutation(rollout.rewards, axis=0)


class NegatedRewards(Hook):
    """The update gets every reward with the wrong sign."""

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        rollout.rewards[...] = -np.asarray(rollout.rewards)


class SwappedValues(Hook):
    """Each environment's values are those of its neighbour, as when a buffer is reshaped in the wrong order."""

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        rollout.values[...] = np.roll(np.array(rollout.values), 1, axis=1)


class WrongLogProbs(Hook):
    """Stored log-probabilities that are off by noise, as when those of another sample are kept."""

    def __init__(self, by: float):
        self.by, self.rng = by, np.random.default_rng(0)

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        rollout.log_probs[...] = rollout.log_probs + self.rng.normal(0.0, self.by, rollout.log_probs.shape)


class ObservationsOffByOne(Hook):
    """Each action is stored beside the observation of the step before."""

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        rollout.obs[1:] = np.array(rollout.obs)[:-1]


class StaleData(Hook):
    """Every update learns from the rollout before, as when a buffer is filled only after it was read."""

    def __init__(self) -> None:
        self.before: dict[str, np.ndarray] = {}

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        fields = "obs actions log_probs values rewards terminated truncated final_values last_values"
        now = {name: np.array(getattr(rollout, name)) for name in fields.split()}
        for name, array in self.before.items():
            getattr(rollout, name)[...] = array
        self.before = now


class StaleLogProbs(Hook):
    """Log-probabilities of the policy as it was `age` updates ago, as when a worker acts with old weights' numbers."""

    def __init__(self, age: int):
        self.age = age
        self.policy: Any = None
        self.old: list[Any] = []

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        if len(self.old) < self.age:
            return
        n, shape = rollout.log_probs.size, rollout.log_probs.shape
        obs = torch.as_tensor(np.array(rollout.obs).reshape(n, *rollout.obs.shape[2:]))
        actions = torch.as_tensor(np.array(rollout.actions).reshape(n, *rollout.actions.shape[2:]))
        with torch.no_grad():
            rollout.log_probs[...] = self.old[0].get_distribution(obs).log_prob(actions).numpy().reshape(shape)

    def on_iteration(self, record: Record, agent: Agent) -> None:
        self.old = [*self.old, copy.deepcopy(agent.policy)][-self.age :]


ACTOR, CRITIC = ("pi.", "action_head."), ("vf.", "value_net.")
"""How the names of each network's parameters begin."""


class LeftOut(Hook):
    """The weights whose names begin as `parts` are not in the optimiser: after every update they are what they were."""

    def __init__(self, parts: tuple[str, ...]):
        self.parts = parts
        self.first: dict[str, torch.Tensor] | None = None

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        pass

    def on_iteration(self, record: Record, agent: Agent) -> None:
        parts = {n: p for n, p in agent.policy.named_parameters() if n.startswith(self.parts)}
        if self.first is None:
            self.first = {name: part.detach().clone() for name, part in parts.items()}
        with torch.no_grad():
            for name, part in parts.items():
                part.copy_(self.first[name])


class FrozenNormalizer(Hook):
    """Statistics of observations that stop after the first `n` rollouts, as when a saved normaliser is left frozen."""

    def __init__(self, n: int = 1):
        self.n = n
        self.seen = 0
        self.kept: dict[str, Any] = {}

    def on_iteration(self, record: Record, agent: Agent) -> None:
        self.seen += 1
        if self.seen <= self.n:
            self.kept = {key: copy.deepcopy(moments) for key, moments in agent.normalizer.obs.items()}
        agent.normalizer.obs.update({key: copy.deepcopy(moments) for key, moments in self.kept.items()})


class NormalizerMoved(Hook):
    """Observations are scaled anew between collecting and updating: ratios no longer begin at 1."""

    def __init__(self, factor: float):
        self.factor = factor

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        rollout.obs[...] = rollout.obs * self.factor


class SlowUpdate(Hook):
    """Every epoch waits."""

    def __init__(self, seconds: float):
        self.seconds = seconds

    def on_epoch(self, view: EpochView) -> None:
        time.sleep(self.seconds)


def kill_units(policy: torch.nn.Module, bias: float) -> None:
    """Give every hidden unit of `policy` a `bias` so low that a ReLU never opens, as a bad initialisation does."""
    with torch.no_grad():
        for name, part in policy.named_parameters():
            if name.endswith("bias") and name.startswith(("pi.", "vf.", "trunk.")):
                part.fill_(bias)
