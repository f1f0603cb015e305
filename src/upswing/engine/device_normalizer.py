"""The normaliser for environments that live on a device: the same statistics, without a copy to the host."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from upswing.config import TrainConfig
from upswing.engine.normalizer import Normalizer
from upswing.engine.placed import place
from upswing.envs.contract import VectorEnv
from upswing.errors import ConfigError
from upswing.ppo.normalize import EPSILON, Moments
from upswing.run.snapshot import Arrays


def make_normalizer(config: TrainConfig, env: VectorEnv, gather: Callable[[Any], Any] | None = None) -> Normalizer:
    """The normaliser for `env`; `gather` joins what several processes have seen."""
    device = place(env)
    if device is None:
        return Normalizer(config, env.observation_space, env.n_envs, *([gather] if gather else []))
    return DeviceNormalizer(config, env, device, *([gather] if gather else []))


class DeviceNormalizer(Normalizer):
    """See Normalizer. Moments are float64 tensors on `device`, in memory that stays the same; checkpoints hold arrays as
    everywhere. Arrays are scaled, too: they become tensors."""

    def __init__(
        self,
        config: TrainConfig,
        env: VectorEnv,
        device: torch.device,
        gather: Callable[[Any], Any] = lambda part: part,
    ):
        super().__init__(config, env.observation_space, env.n_envs, gather)
        self.device = device
        self.discounted: Any = torch.zeros(env.n_envs, dtype=torch.float64, device=device)
        self.obs = {key: _on(moments, device) for key, moments in self.obs.items()}
        self.returns = None if self.returns is None else _on(self.returns, device)

    def on_host(self) -> Normalizer:
        """The same statistics as arrays."""
        host = copy.copy(self)
        host.__class__ = Normalizer  # type: ignore[assignment]
        host.obs = {key: _off(moments) for key, moments in self.obs.items()}
        host.returns = None if self.returns is None else _off(self.returns)
        host.discounted = self.discounted.cpu().numpy()
        return host

    def twin(self) -> Normalizer:
        """A normaliser of its own with the same statistics."""
        return copy.deepcopy(self)

    def take(self, other: Normalizer) -> None:
        """Hold the statistics that `other`, of the same kind, holds now."""
        for key, moments in self.obs.items():
            _write(moments, other.obs[key])
        if self.returns is not None:
            _write(self.returns, other.returns)

    def observe(self, obs: Any) -> Any:
        """`obs` [N, ...] scaled, after its values were added to the statistics."""
        for key, moments in self.obs.items():
            _write(moments, merge_tensors(moments, self.gather(obs[key] if isinstance(obs, dict) else obs)))
        return self.scale(obs)

    def scale(self, obs: Any) -> Any:
        """`obs` [N, ...] scaled by the statistics as they are."""
        if isinstance(obs, dict):
            return {key: self._scaled(key, part) for key, part in obs.items()}
        return self._scaled("", obs)

    def _scaled(self, key: str, part: Any) -> Any:
        if key not in self.obs:
            return part
        moments: Any = self.obs[key]
        scaled = (torch.as_tensor(part, device=self.device) - moments.mean) / (moments.var + EPSILON).sqrt()
        return scaled.clamp(-self.clip_obs, self.clip_obs).float()

    def learn_rewards(self, rewards: Any, ended: Any, valid: Any) -> Any:
        """Rewards [N] as learned from, after their discounted returns were added; every row must be valid."""
        if valid is not None:
            raise ConfigError("An environment on a device must not return rows that are not valid.")
        if self.returns is None:
            return rewards
        discounted = self.discounted * self.gamma + rewards
        _write(self.returns, merge_tensors(self.returns, self.gather(discounted)))
        self.discounted.copy_(discounted.masked_fill(ended, 0.0))
        variance: Any = self.returns.var
        return (rewards / (variance + EPSILON).sqrt()).clamp(-self.clip_reward, self.clip_reward).float()

    def set_discounted(self, discounted: np.ndarray) -> None:
        """Continue from running discounted returns [N]."""
        self.discounted.copy_(torch.from_numpy(np.array(discounted)))

    def arrays(self) -> Arrays:
        """The statistics by name, for a checkpoint; empty when nothing is normalised."""
        return self.on_host().arrays()

    def load(self, arrays: Arrays) -> None:
        """Continue from the statistics in `arrays`. Raises StorageError where one is missing."""
        host = self.on_host()
        host.load(arrays)
        for key, moments in self.obs.items():
            _write(moments, host.obs[key])
        if self.returns is not None:
            _write(self.returns, host.returns)


def merge_tensors(moments: Any, batch: Tensor) -> Any:
    """Moments of what was seen before and of `batch` [B, *shape] together; see `upswing.ppo.normalize.merge`."""
    n, batch = len(batch), batch.double()
    mean, var, total = batch.mean(0), batch.var(0, unbiased=False), moments.weight + n
    shift = mean - moments.mean
    spread = moments.var * moments.weight + var * n + shift**2 * (moments.weight * n / total)
    return Moments(moments.mean + shift * (n / total), spread / total, total)


def _on(moments: Moments, device: torch.device) -> Any:
    return Moments(*(torch.tensor(part, dtype=torch.float64, device=device) for part in moments))  # type: ignore[arg-type]


def _off(moments: Any) -> Moments:
    return Moments(moments.mean.cpu().numpy(), moments.var.cpu().numpy(), float(moments.weight))


def _write(moments: Any, values: Any) -> None:
    """Replace the numbers of `moments`, in their memory."""
    for tensor, value in zip(moments, values, strict=True):
        tensor.copy_(torch.as_tensor(value))
