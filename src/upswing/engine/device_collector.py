"""Collecting where the environments are tensors on the policy's device: the host says "step", and looks at nothing.

A step is one function of tensors in fixed memory: act, advance the environments, scale, value last observations, store
all of it in the row that a counter on the device points at. The host calls it n_steps times, or replays it from a CUDA
graph, and reads once: which episodes have ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from upswing.engine.collector import Collector
from upswing.engine.contract import Rollout, StepView
from upswing.engine.replay import Replay
from upswing.policies import forget


class DeviceCollector(Collector):
    """A Collector for a DeviceVectorEnv. The numbers are Collector's. A hook on steps is served by it, a step at a time."""

    env: Any  # a DeviceVectorEnv
    obs: Any  # a tensor
    normalizer: Any  # a DeviceNormalizer

    def __init__(self, *args: Any, capture: bool = False):
        super().__init__(*args)
        self.capture = capture
        self.tallies: dict[str, Tensor] = {}  # [T, N] each: statistics of the episodes that ended there
        self._step: Replay | None = None

    def collect(self, on_step: Callable[[StepView], bool | None] | None = None) -> Rollout:
        """The next n_steps of every environment; see the contract."""
        if on_step is not None:
            rollout = super().collect(on_step)
            rollout.whole = True
            return rollout
        start = time.perf_counter()
        rollout = self._prepared()
        assert self._step is not None
        for t in range(self.config.n_steps):
            if self._noise_is_due(t):
                self._draw_noise()
            self._step()
        self.num_timesteps += rollout.rewards.numel() * self.group.size
        with torch.no_grad():
            rollout.last_values.copy_(self._values(self.obs, self.memory))
        self._read(rollout)
        whole = self.group.join(rollout)
        whole.env_s, whole.collect_s = 0.0, time.perf_counter() - start
        return whole

    def _prepared(self) -> Rollout:
        """The storage to fill from its first row on, what the next actions are for in memory that stays, and the step."""
        if self._step is None:
            self.obs = self.obs.clone()
            self.memory = self.memory.clone()
            self.storage = self.storage or self._storage()
            self.at = torch.zeros(1, dtype=torch.int64, device=self.device)
            self.total = torch.zeros((), dtype=torch.float64, device=self.device)
            self.tallies = self._tallies()
            self._static = self.obs, self.memory
            self._step = Replay(self._one_step, self.device, (self.sampling, self.env.generator), self.capture)
        for static, current in zip(self._static, (self.obs, self.memory), strict=True):
            if static is not current:  # a reset, a checkpoint or a hook on steps came between
                static.copy_(current)
        self.obs, self.memory = self._static
        self.at.zero_()
        self.total.zero_()
        assert self.storage is not None
        self.storage.whole = True
        self.storage.valid.fill_(True)
        return self.storage

    def _tallies(self) -> dict[str, Tensor]:
        shape = (self.config.n_steps, self.env.n_envs)
        return {
            "returns": torch.zeros(shape, dtype=torch.float64, device=self.device),
            "lengths": torch.zeros(shape, dtype=torch.int64, device=self.device),
            "succeeded": torch.zeros((shape[0], 2, shape[1]), dtype=torch.bool, device=self.device),
        }

    def _draw_noise(self) -> None:
        before = self.noise
        super()._draw_noise()
        if before is not None and self.noise is not None:
            self.noise = before.copy_(self.noise)

    @torch.no_grad()
    def _one_step(self) -> None:
        """The step of all environments that `at` counts."""
        rollout, static = self.storage, self._static
        assert rollout is not None
        obs, memory = static
        with self.precision.forward():
            distribution, values, after = self.policy.step(obs, memory)
        actions = distribution.sample(self.sampling, self.noise)
        seen = self.env.advance(distribution.to_env(actions))
        ended = seen.terminated | seen.truncated
        rewards = self.normalizer.learn_rewards(seen.rewards, ended, None)
        following = self.normalizer.observe(seen.obs)
        final_values = self._values(self.normalizer.scale(seen.final_obs), after)
        rows = {
            "obs": obs,
            "actions": actions,
            "log_probs": distribution.log_prob(actions),
            "values": values,
            "rewards": rewards,
            "terminated": seen.terminated,
            "truncated": seen.truncated,
            "final_values": final_values.masked_fill(~ended, 0.0),
            "memory": memory,
        }
        for name, row in rows.items():
            self._put(getattr(rollout, name), row)
        for name, storage in self.tallies.items():
            self._put(storage, getattr(seen, name))
        self.total += seen.rewards.sum(dtype=torch.float64)
        obs.copy_(following)
        memory.copy_(forget(after, ended))
        self.at += 1

    def _put(self, storage: Tensor, row: Any) -> None:
        """Write `row` where `at` points."""
        if storage.numel():
            storage.index_copy_(0, self.at, row[None])

    def _read(self, rollout: Rollout) -> None:
        """Episodes and the mean reward: the one moment in which the host waits for the device."""
        step, env = (rollout.terminated | rollout.truncated).nonzero().unbind(1)
        returns, lengths = (self.tallies[name][step, env] for name in ("returns", "lengths"))
        rollout.episodes = self.env.episodes(env, returns, lengths, self.tallies["succeeded"][step, :, env].t())
        rollout.raw_reward_mean = float(self.total) / rollout.rewards.numel()
