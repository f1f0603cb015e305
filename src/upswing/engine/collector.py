"""Collecting with torch: what the policy does in the environments, step by step, and what it remembers between rollouts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from upswing.config import TrainConfig
from upswing.engine.contract import Rollout, StepView
from upswing.engine.device_normalizer import make_normalizer
from upswing.engine.group import Group
from upswing.engine.placed import copied, indices, joined, on_host, place, to_env, total
from upswing.engine.precision import Precision
from upswing.envs.contract import Observation, VectorEnv, new_episodes
from upswing.envs.state import restore_environments
from upswing.policies import ActorCritic, forget

Tensors = Tensor | dict[str, Tensor]


class Collector:
    """A policy in its environments. Keeps the normaliser, the generator of actions, and the observation and the memory
    the next rollout starts from."""

    def __init__(
        self, config: TrainConfig, env: VectorEnv, policy: ActorCritic, precision: Precision, seed: int, group: Group
    ):
        self.config, self.env, self.policy, self.precision, self.group = config, env, policy, precision, group
        self.device = precision.device
        self.normalizer = make_normalizer(config, env, group.gather)
        self.sampling = torch.Generator(self.device).manual_seed(seed)
        self.num_timesteps = 0
        self.noise: Tensor | None = None  # gSDE's exploration matrices
        self.storage: Rollout | None = None  # reused

    def reset(self, seeds: list[int] | None = None) -> None:
        """Begin new episodes in every environment; what was learned stays."""
        self.obs = self.normalizer.observe(self.env.reset(seeds))
        self.normalizer.discounted[:] = 0.0
        self.memory = self.policy.initial_state(self.env.n_envs)

    def collect(self, on_step: Callable[[StepView], bool | None] | None = None) -> Rollout:
        """The next n_steps of every environment; see the contract."""
        start, env_s = time.perf_counter(), 0.0
        rollout = self.storage = self.storage or self._storage()
        rollout.episodes, raw_reward = [], 0.0
        endings: list[tuple[int, Any, Observation, Tensor]] = []
        for t in range(self.config.n_steps):
            if self._noise_is_due(t):
                self._draw_noise()
            actions = self._act(rollout, t)
            before = time.perf_counter()
            step = self.env.step(actions)
            env_s += time.perf_counter() - before
            ended = step.terminated | step.truncated
            self.num_timesteps += self.env.n_envs * self.group.size
            raw_reward = raw_reward + total(step.rewards, step.valid)
            _write(rollout.rewards, t, self.normalizer.learn_rewards(step.rewards, ended, step.valid))
            _write(rollout.terminated, t, step.terminated)
            _write(rollout.truncated, t, step.truncated)
            _write(rollout.valid, t, True if step.valid is None else step.valid)
            self.obs = self.normalizer.observe(step.obs)
            if step.final_obs is not None:
                rows = indices(ended)
                endings.append((t, rows, self.normalizer.scale(copied(step.final_obs)), self.memory[rows]))
            self.memory = forget(self.memory, new_episodes(step))
            rollout.episodes += step.episodes
            if on_step is not None:
                on_step(StepView(t, self.num_timesteps, step.rewards, ended, step.episodes, actions, step))
        self._value_endings(rollout, endings)
        rollout.raw_reward_mean = float(raw_reward) / max(1, int(rollout.valid.sum()))
        whole = self.group.join(rollout)
        whole.env_s, whole.collect_s = env_s, time.perf_counter() - start
        return whole

    @torch.no_grad()
    def _act(self, rollout: Rollout, t: int) -> Any:
        """Actions [N, ...] for the environments; observation, action, log-probability and value are stored at row t."""
        obs = self._tensors(self.obs)
        with self.precision.forward():
            distribution, values, memory = self.policy.step(obs, self.memory)
        actions = distribution.sample(self.sampling, self.noise)
        if isinstance(obs, dict):
            for key, part in obs.items():
                rollout.obs[key][t] = part
        else:
            rollout.obs[t] = obs
        rollout.actions[t] = actions
        rollout.log_probs[t] = distribution.log_prob(actions)
        rollout.values[t] = values
        rollout.memory[t], self.memory = self.memory, memory
        return to_env(distribution.to_env(actions), place(self.env))

    @torch.no_grad()
    def _value_endings(self, rollout: Rollout, endings: list[tuple[int, Any, Observation, Tensor]]) -> None:
        """Values of the true last observations, in one batch, and of the observations after the last step."""
        rollout.last_values.copy_(self._values(self._tensors(self.obs), self.memory))
        rollout.final_values.zero_()
        if endings:
            steps = torch.cat([torch.full((len(rows),), t, device=self.device) for t, rows, *_ in endings])
            rows = torch.as_tensor(joined([rows for _, rows, *_ in endings]), device=self.device)
            obs = self._tensors(joined([final for _, _, final, _ in endings]))
            rollout.final_values[steps, rows] = self._values(obs, torch.cat([memory for *_, memory in endings]))

    def _values(self, obs: Tensors, memory: Tensor) -> Tensor:
        with self.precision.forward():
            return self.policy.step_values(obs, memory)

    def _draw_noise(self) -> None:
        self.noise = self.policy.exploration_noise(self.env.n_envs, self.sampling)

    def _noise_is_due(self, t: int) -> bool:
        every = self.config.sde_sample_freq
        return self.config.use_sde and (t == 0 or (every > 0 and t % every == 0))

    def _storage(self) -> Rollout:
        shape = (self.config.n_steps, self.env.n_envs)
        with torch.no_grad():
            obs = self._tensors(self.obs)
            actions = self.policy.get_distribution(obs).mode()

        def like(tensor: Tensor) -> Tensor:
            return torch.empty((shape[0], *tensor.shape), dtype=tensor.dtype, device=self.device)

        def empty(dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=self.device)

        return Rollout(
            obs={key: like(part) for key, part in obs.items()} if isinstance(obs, dict) else like(obs),
            actions=like(actions),
            log_probs=empty(),
            values=empty(),
            rewards=empty(),
            terminated=empty(torch.bool),
            truncated=empty(torch.bool),
            final_values=empty(),
            last_values=torch.zeros(shape[1], device=self.device),
            valid=empty(torch.bool),
            memory=like(self.memory),
        )

    def _tensors(self, obs: Observation) -> Tensors:
        if isinstance(obs, dict):
            return {key: torch.as_tensor(part, device=self.device) for key, part in obs.items()}
        return torch.as_tensor(obs, device=self.device)

    def restored(self) -> None:
        """Act by weights and statistics that have been replaced: both are the ones in use, so that nothing is to do."""

    def get_state(self, environments: bool = True) -> dict[str, Any]:
        """What is needed to go on exactly, where the environments can be saved and are to be."""
        return {
            "environment": self.env.get_state() if environments and self.group.size == 1 else None,
            "obs": on_host(self.obs),
            "discounted": self.normalizer.on_host().discounted,
            "sampling": self.sampling.get_state().numpy(),
            "memory": self.memory.cpu().numpy() if self.policy.state_size else None,
        }

    def set_state(self, state: dict[str, Any]) -> list[str]:
        """Go on from what `get_state` gave, of this engine or, without a generator, of the other one; returns what
        could not be restored."""
        lost = []
        if "sampling" not in state:
            lost.append("The other engine's random generators could not be restored: new ones are used.")
        elif self.group.leads:
            self.sampling.set_state(torch.from_numpy(state["sampling"].copy()))
        else:  # only the first process's was saved
            self.sampling.manual_seed(self.sampling.initial_seed() + self.num_timesteps)
        if afresh := restore_environments(self.env, state["environment"]):
            lost.append(afresh)
        else:
            saved: Any = state["obs"]
            self.obs = saved if place(self.env) is None else self._tensors(saved)  # type: ignore[assignment]
            self.normalizer.set_discounted(state["discounted"])
            if self.policy.state_size:
                self.memory = torch.tensor(state["memory"], device=self.device)
        return lost

    def close(self) -> None:
        """Close the environments."""
        self.env.close()


def _write(storage: Tensor, t: int, row: Any) -> None:
    storage[t] = torch.as_tensor(row, device=storage.device)
