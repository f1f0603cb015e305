"""How an update's batch is cut into minibatches: transition by transition, or in whole sequences for policies with memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from upswing.engine.contract import Rollout
from upswing.engine.group import Group
from upswing.policies import ActorCritic
from upswing.policies.base import Obs
from upswing.ppo.distributions import Distribution


class Minibatch(NamedTuple):
    """One minibatch, and the share of it that this process of the group computes."""

    rows: Tensor  # of the batch
    mine: Tensor | slice  # of these rows
    weight: float  # what share of the rows that is
    evaluate: Callable[[Obs], tuple[Distribution, Tensor]]  # distribution and values for the observations of `mine`


class Minibatches(Protocol):
    """A way to cut a batch of valid transitions, flattened from [T, N] in that order."""

    def shuffled(self, generator: torch.Generator) -> Iterator[Minibatch]:
        """The minibatches of one epoch."""
        ...


def cut(policy: ActorCritic, rollout: Rollout, size: int, group: Group) -> Minibatches:
    """The way that suits `policy`: minibatches of about `size` transitions."""
    return (Sequences if policy.state_size else Transitions)(policy, rollout, size, group)


class Transitions:
    """Minibatches of `size` transitions in random order; the last one of an epoch may be smaller."""

    def __init__(self, policy: ActorCritic, rollout: Rollout, size: int, group: Group):
        self.policy, self.size, self.group = policy, size, group
        self.n = rollout.valid.numel() if rollout.whole else int(rollout.valid.sum())

    def shuffled(self, generator: torch.Generator) -> Iterator[Minibatch]:
        """See Minibatches."""
        order = torch.randperm(self.n, generator=generator, device=generator.device)
        for rows in order.split(self.size):
            yield Minibatch(rows, *self.group.rows(len(rows)), self.policy)


class Sequences:
    """Minibatches of whole sequences in random order.

    A sequence is a stretch of one episode of one environment, at most `size` steps long. It begins from the state the
    policy had there while it collected: zero at an episode's start, the stored one elsewhere. So the first minibatch
    repeats what was collected, and every ratio in it is 1. After later gradient steps stored states are those of an
    older policy, as in sb3-contrib's RecurrentPPO, which also cuts after batch_size steps.

    An epoch has one minibatch for every `size` transitions; a sequence belongs to the one in which its middle falls,
    so sizes vary between few and twice `size`.
    """

    def __init__(self, policy: ActorCritic, rollout: Rollout, size: int, group: Group):
        self.policy, self.size, self.group = policy, size, group
        valid, ended = (part.cpu().numpy() for part in (rollout.valid, rollout.terminated | rollout.truncated))
        flat, self.starts = _sequences(valid, ended, size)
        self.lengths = np.diff(self.starts, append=len(flat))
        self.rows = (np.cumsum(valid) - 1)[flat]
        self.states = rollout.memory.flatten(0, 1)[torch.from_numpy(flat[self.starts]).to(rollout.memory.device)]

    def shuffled(self, generator: torch.Generator) -> Iterator[Minibatch]:
        """See Minibatches."""
        order = torch.randperm(len(self.lengths), generator=generator, device=generator.device).cpu().numpy()
        lengths = self.lengths[order]
        belongs = (2 * np.cumsum(lengths) - lengths) // (2 * self.size)
        for chosen in np.split(order, np.flatnonzero(np.diff(belongs)) + 1):
            yield self._minibatch(chosen)

    def _minibatch(self, chosen: np.ndarray) -> Minibatch:
        """The minibatch of the sequences `chosen`."""
        device, lengths = self.states.device, self.lengths[chosen]
        rows = np.concatenate([self.rows[self.starts[i] : self.starts[i] + self.lengths[i]] for i in chosen])
        which, share = self.group.rows(len(chosen))
        mine = np.zeros(len(chosen), bool)
        mine[which] = True
        positions = np.flatnonzero(np.repeat(mine, lengths))
        evaluate = partial(
            self.policy.unroll,
            state=self.states[torch.from_numpy(chosen[mine]).to(device)],
            lengths=torch.from_numpy(lengths[mine]),
        )
        weight = len(positions) / len(rows) if share else 0.0
        return Minibatch(torch.from_numpy(rows).to(device), torch.from_numpy(positions).to(device), weight, evaluate)


def _sequences(valid: np.ndarray, ended: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices into the flattened [T, N] of all valid transitions, environment after environment, and where among them
    a sequence starts: at the rollout's and an episode's beginning, and after `longest` steps."""
    n_envs = valid.shape[1]
    fresh = np.ones_like(valid)
    fresh[1:] = ended[:-1] | ~valid[:-1]
    env, step = np.nonzero(valid.T)
    begins = fresh[step, env]
    counted = np.arange(len(step))
    since = counted - np.maximum.accumulate(np.where(begins, counted, 0))
    return step * n_envs + env, np.flatnonzero(since % longest == 0)
