"""The engine for every policy and every device: a collector and a learner in torch that share a policy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch

from upswing.config import TrainConfig
from upswing.engine.adam import adam_arrays, load_adam_arrays
from upswing.engine.collector import Collector
from upswing.engine.contract import EpochView, Hyper, Rollout, StepView, UpdateStats
from upswing.engine.group import Group
from upswing.engine.learner import Learner
from upswing.engine.overlap import OverlappedCollector
from upswing.engine.precision import Precision
from upswing.envs.contract import VectorEnv
from upswing.errors import ConfigError
from upswing.policies import ActorCritic, load_policy_arrays, policy_arrays
from upswing.run.snapshot import Snapshot, pack, unpack


class TorchEngine:
    """Collects rollouts and updates the policy with torch: the state is the collector's and the learner's."""

    name = "torch"

    def __init__(
        self,
        config: TrainConfig,
        env: VectorEnv,
        policy: ActorCritic,
        env_seeds: list[int] | None,
        seed: int,
        group: Group | None = None,
    ):
        self.env, self.policy, self.group = env, policy, group or Group()
        self.precision = Precision(config.amp, next(policy.parameters()).device)
        self.collector = self._collector(config, seed + 2 * self.group.rank)
        self.normalizer = self.collector.normalizer
        self.learner = Learner(config, policy, self.precision, seed + 1, self.group)
        self.reset(env_seeds)

    def _collector(self, config: TrainConfig, seed: int) -> Collector | OverlappedCollector:
        """What collects as `config.collect` says."""

        def acting(policy: ActorCritic) -> Collector:
            return Collector(config, self.env, policy, self.precision, seed, self.group)

        if config.collect == "sync":
            return acting(self.policy)
        if self.group.size > 1:
            raise ConfigError(f"collect = {config.collect} works in one process, not under torchrun: set it to sync.")
        return OverlappedCollector(acting(copy.deepcopy(self.policy)), self.policy, config.collect == "auto")

    @property
    def num_timesteps(self) -> int:
        """Environment steps since the start of training."""
        return self.collector.num_timesteps

    @num_timesteps.setter
    def num_timesteps(self, count: int) -> None:
        self.collector.num_timesteps = count

    def reset(self, seeds: list[int] | None = None) -> None:
        """Begin new episodes in every environment; what was learned stays."""
        self.collector.reset(seeds)

    def collect(self, on_step: Callable[[StepView], bool | None] | None = None) -> Rollout:
        """The next n_steps of every environment; see the contract."""
        return self.collector.collect(on_step)

    def update(
        self, rollout: Rollout, hyper: Hyper, on_epoch: Callable[[EpochView], bool | None] | None = None
    ) -> UpdateStats:
        """The statistics of one PPO update on `rollout`; see the contract. Raises TrainingDiverged, with the last
        finite weights in place, where a gradient is not finite."""
        return self.learner.update(rollout, hyper, on_epoch)

    def snapshot(self, environments: bool = True) -> Snapshot:
        """Weights, statistics, optimiser, generators and, where wanted, environments and the next observation."""
        rest = self.collector.get_state(environments) | {
            "shuffling": self.learner.shuffling.get_state().numpy(),
            "loss_scale": self.precision.scaler.state_dict(),
        }
        packed, arrays = pack(rest, "torch")
        return Snapshot(
            model=policy_arrays(self.policy) | self.normalizer.arrays(),
            optimizer=adam_arrays(self.learner.optimizer, self.policy),
            environment=arrays,
            state={"engine": packed, "num_timesteps": self.num_timesteps},
        )

    def restore(self, snapshot: Snapshot, environments: bool = True) -> list[str]:
        """Continue from `snapshot`, of this engine or the other one; see the contract."""
        load_policy_arrays(self.policy, snapshot.model)
        self.normalizer.load(snapshot.model)
        self.collector.restored()
        load_adam_arrays(self.learner.optimizer, self.policy, snapshot.optimizer)
        if not environments:
            return []
        self.num_timesteps = int(snapshot.state["num_timesteps"])
        rest: dict[str, Any] = unpack(snapshot.state["engine"], snapshot.environment)
        if rest.get("loss_scale"):
            self.precision.scaler.load_state_dict(rest["loss_scale"])
        if "shuffling" in rest:
            self.learner.shuffling.set_state(torch.from_numpy(rest["shuffling"].copy()))
        return self.collector.set_state(rest)

    def close(self) -> None:
        """Close the environments."""
        self.collector.close()
