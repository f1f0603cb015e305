"""The engine for every policy and every device: a collector and a learner in torch that share a policy."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from upswing.config import TrainConfig
from upswing.engine.adam import adam_arrays, load_adam_arrays
from upswing.engine.captured_learner import CapturedLearner, why_not_captured
from upswing.engine.collector import Collector
from upswing.engine.contract import EpochView, Hyper, Rollout, StepView, UpdateStats
from upswing.engine.device_collector import DeviceCollector
from upswing.engine.group import Group
from upswing.engine.learner import Learner
from upswing.engine.overlap import OverlappedCollector
from upswing.engine.placed import place
from upswing.engine.precision import Precision
from upswing.envs.contract import VectorEnv
from upswing.envs.device.vector import DeviceVectorEnv
from upswing.errors import ConfigError, OutOfMemory
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
        self.notices: list[str] = []  # what to say about the choices made
        captures = self._captures(config)
        self.collector = self._collector(config, seed + 2 * self.group.rank, captures)
        self.normalizer = self.collector.normalizer
        learner = CapturedLearner if captures else Learner
        self.learner = learner(config, policy, self.precision, seed + 1, self.group)
        self.reset(env_seeds)

    def _captures(self, config: TrainConfig) -> bool:
        """Whether rollouts and updates are functions of tensors that can be captured, as `config.capture` says."""
        reason = why_not_captured(config, self.policy, self.group)
        if config.capture == "on" and reason is not None:
            raise ConfigError(f"capture = on is impossible, because {reason}: set it to auto.")
        captures = reason is None and (config.capture == "on" or (config.capture == "auto" and self.precision.on_gpu))
        if captures:
            how = (
                "recorded as CUDA graphs"
                if self.precision.on_gpu
                else "called one by one: there is no GPU to record for"
            )
            self.notices.append(f"capture {config.capture}: what a gradient step does is {how}.")
        elif self.precision.on_gpu and config.capture == "auto":
            self.notices.append(f"capture auto: no CUDA graphs are recorded, because {reason}.")
        return captures

    def _collector(self, config: TrainConfig, seed: int, captures: bool) -> Collector | OverlappedCollector:
        """What collects as `config.collect` says."""

        def acting(policy: ActorCritic) -> Collector:
            place_and_seed = config, self.env, policy, self.precision, seed, self.group
            if isinstance(self.env, DeviceVectorEnv):
                return DeviceCollector(*place_and_seed, capture=captures)
            return Collector(*place_and_seed)

        if config.collect == "sync":
            return acting(self.policy)
        if self.group.size > 1:
            raise ConfigError(f"collect = {config.collect} works in one process, not under torchrun: set it to sync.")
        if place(self.env) is not None:
            if config.collect == "auto":
                return acting(self.policy)
            raise ConfigError(
                "collect = overlap hides the time of environments on the host, and these are on a device: set it to sync."
            )
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
        with self._memory("a rollout"):
            return self.collector.collect(on_step)

    def update(
        self, rollout: Rollout, hyper: Hyper, on_epoch: Callable[[EpochView], bool | None] | None = None
    ) -> UpdateStats:
        """The statistics of one PPO update on `rollout`; see the contract. Raises TrainingDiverged, with the last
        finite weights in place, where a gradient is not finite."""
        with self._memory("an update"):
            return self.learner.update(rollout, hyper, on_epoch)

    @contextmanager
    def _memory(self, part: str) -> Iterator[None]:
        """Turns a lack of memory in `part` of an iteration into a sentence. Weights are whole: no step was half taken."""
        try:
            yield
        except torch.OutOfMemoryError as error:
            config, size = self.learner.config, self.learner.batch_size
            why = str(error).removeprefix("CUDA out of memory. ").split(". ")[0].rstrip(".")
            raise OutOfMemory(
                f"The memory of {self.precision.device} does not suffice for {part} ({why}): start from this run's checkpoint "
                f"with --checkpoint-path and a smaller batch_size (it is {size}), a smaller n_envs × n_steps (it is "
                f"{config.n_envs * config.n_steps}), or amp = bf16."
            ) from error

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
        self.learner.forget()
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
