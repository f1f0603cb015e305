"""The engine for every policy and every device: a rollout, then minibatch steps of torch autograd."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from upswing.config import TrainConfig, derive
from upswing.engine.adam import adam_arrays, load_adam_arrays
from upswing.engine.contract import EpochView, Hyper, Rollout, StepView, UpdateStats
from upswing.engine.device_normalizer import make_normalizer
from upswing.engine.group import Group
from upswing.engine.minibatches import Minibatch, cut
from upswing.engine.placed import copied, indices, joined, place, to_env, total
from upswing.engine.precision import Precision
from upswing.envs.contract import Observation, VectorEnv, new_episodes
from upswing.errors import TrainingDiverged
from upswing.policies import ActorCritic, forget, load_policy_arrays, policy_arrays
from upswing.ppo.advantages import gae, normalize_advantages
from upswing.ppo.losses import approx_kl, clip_fraction, explained_variance, policy_loss, value_bias, value_loss
from upswing.run.snapshot import Snapshot, pack, unpack

Tensors = Tensor | dict[str, Tensor]


class Batch(NamedTuple):
    """The valid transitions of a rollout, flattened: every tensor is [B] or [B, ...]."""

    obs: Tensors
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


class MinibatchStats(NamedTuple):
    """Figures of one minibatch, each a scalar tensor left on the device."""

    policy_gradient_loss: Tensor
    value_loss: Tensor
    entropy_loss: Tensor
    loss: Tensor
    approx_kl: Tensor
    clip_fraction: Tensor
    grad_norm: Tensor
    ratio_error: Tensor


class TorchEngine:
    """Collects rollouts and updates the policy with torch. Keeps the policy, its optimiser, the normaliser, the
    generators, and the observation and the memory the next rollout starts from."""

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
        self.config, self.env, self.group = config, env, group or Group()
        self.policy = policy
        self.device = next(policy.parameters()).device
        self.normalizer = make_normalizer(config, env, self.group.gather)
        self.parameters = list(policy.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr=1.0, eps=config.adam_eps, fused=True)
        self.precision = Precision(config.amp, self.device)
        self.batch_size = derive(config).batch_size
        self.sampling = torch.Generator(self.device).manual_seed(seed + 2 * self.group.rank)
        self.shuffling = torch.Generator().manual_seed(seed + 1)
        self.num_timesteps = 0
        self.noise: Tensor | None = None  # gSDE's exploration matrices
        self._rollout: Rollout | None = None  # storage, reused
        self.reset(env_seeds)

    def reset(self, seeds: list[int] | None = None) -> None:
        """Begin new episodes in every environment; what was learned stays."""
        self.obs = self.normalizer.observe(self.env.reset(seeds))
        self.normalizer.discounted[:] = 0.0
        self.memory = self.policy.initial_state(self.env.n_envs)

    # ── collect ─────────────────────────────────────────────────────────────────────────────────────────────────

    def collect(self, on_step: Callable[[StepView], bool | None] | None = None) -> Rollout:
        """The next n_steps of every environment; see the contract."""
        start, env_s = time.perf_counter(), 0.0
        rollout = self._rollout = self._rollout or self._storage()
        rollout.episodes, raw_reward = [], 0.0
        endings: list[tuple[int, Any, Observation, Tensor]] = []
        for t in range(self.config.n_steps):
            if self._noise_is_due(t):
                self.noise = self.policy.exploration_noise(self.env.n_envs, self.sampling)
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
        rollout.last_values = self._values(self._tensors(self.obs), self.memory).clone()
        rollout.final_values.zero_()
        if endings:
            steps = torch.cat([torch.full((len(rows),), t, device=self.device) for t, rows, *_ in endings])
            rows = torch.as_tensor(joined([rows for _, rows, *_ in endings]), device=self.device)
            obs = self._tensors(joined([final for _, _, final, _ in endings]))
            rollout.final_values[steps, rows] = self._values(obs, torch.cat([memory for *_, memory in endings]))

    def _values(self, obs: Tensors, memory: Tensor) -> Tensor:
        with self.precision.forward():
            return self.policy.step_values(obs, memory)

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

    # ── update ──────────────────────────────────────────────────────────────────────────────────────────────────

    def update(
        self, rollout: Rollout, hyper: Hyper, on_epoch: Callable[[EpochView], bool | None] | None = None
    ) -> UpdateStats:
        """The statistics of one PPO update on `rollout`; see the contract. Raises TrainingDiverged, with the last
        finite weights in place, where a gradient is not finite."""
        start = time.perf_counter()
        batch = self._batch(rollout)
        whole = batch._replace(advantages=self._scaled(batch.advantages, "batch"))
        watched = self.group.lead(on_epoch is not None)
        minibatches = cut(self.policy, rollout, self.batch_size, self.group)
        for group in self.optimizer.param_groups:
            group["lr"] = hyper.learning_rate
        epochs: list[list[MinibatchStats]] = []
        stopped = False
        for epoch in range(hyper.n_epochs):
            epochs.append([])
            for part in minibatches.shuffled(self.shuffling):
                stats, stopped = self._minibatch(_take(whole, part.rows), part, hyper)
                epochs[-1].append(stats)
                if stopped:
                    break
            if stopped or (watched and self._told_to_stop(epoch, epochs[-1], on_epoch)):
                break
        return self._stats(batch, epochs, stopped, start)

    def _told_to_stop(
        self, epoch: int, stats: list[MinibatchStats], on_epoch: Callable[[EpochView], bool | None] | None
    ) -> bool:
        kl, clipped = self.group.sum(torch.stack([torch.stack([s.approx_kl, s.clip_fraction]) for s in stats])).mean(0)
        view = EpochView(epoch, float(kl), float(clipped))
        return self.group.lead(on_epoch is not None and on_epoch(view) is False)

    def _batch(self, rollout: Rollout) -> Batch:
        advantages, returns = gae(
            rollout.rewards,
            rollout.values,
            rollout.last_values,
            rollout.terminated,
            rollout.truncated,
            rollout.final_values,
            self.config.gamma,
            self.config.gae_lambda,
            self.config.bootstrap_terminations,
            rollout.valid,
        )
        keep = None if bool(rollout.valid.all()) else rollout.valid.flatten().nonzero()[:, 0]

        def flat(tensor: Tensor) -> Tensor:
            tensor = tensor.flatten(0, 1)
            return tensor if keep is None else tensor[keep]

        obs = rollout.obs
        return Batch(
            {key: flat(part) for key, part in obs.items()} if isinstance(obs, dict) else flat(obs),
            flat(rollout.actions),
            flat(rollout.log_probs),
            flat(rollout.values),
            flat(advantages),
            flat(returns),
        )

    def _scaled(self, advantages: Tensor, scope: str) -> Tensor:
        wanted = self.config.normalize_advantage and self.config.advantage_scope == scope
        return normalize_advantages(advantages) if wanted else advantages

    def _minibatch(self, batch: Batch, part: Minibatch, hyper: Hyper) -> tuple[MinibatchStats, bool]:
        """One gradient step on `batch`, and whether its KL says to stop, in which case the step was not taken.

        Of a group, each process computes its share of the batch's means; their sums over the processes are the means.
        """
        batch = batch._replace(advantages=self._scaled(batch.advantages, "minibatch"))
        batch, weight = _take(batch, part.mine), part.weight
        with self.precision.forward():
            distribution, values = part.evaluate(batch.obs)
        log_ratio = distribution.log_prob(batch.actions) - batch.log_probs
        policy = weight * policy_loss(log_ratio, batch.advantages, hyper.clip_range)
        value = weight * value_loss(values, batch.values, batch.returns, hyper.clip_range_vf)
        entropy = -weight * distribution.entropy().mean()
        loss = policy + hyper.ent_coef * entropy + self.config.vf_coef * value
        with torch.no_grad():
            kl = weight * approx_kl(log_ratio)
            clipped = weight * clip_fraction(log_ratio, hyper.clip_range)
            ratio_error = (log_ratio.exp() - 1.0).abs().max()
        stop = hyper.target_kl is not None and bool(self.group.sum(kl.clone()) > 1.5 * hyper.target_kl)
        norm = torch.zeros((), device=self.device)
        if not stop:
            norm = self.precision.step(
                loss, self.optimizer, self.parameters, self.config.max_grad_norm, self.group.sum_gradients
            )
        detached = [figure.detach() for figure in (policy, value, entropy, loss, kl, clipped, norm, ratio_error)]
        return MinibatchStats(*detached), stop

    def _stats(self, batch: Batch, epochs: list[list[MinibatchStats]], stopped: bool, start: float) -> UpdateStats:
        """The update's figures, aggregated as metrics.py states; the one place where the device is read."""
        every = torch.stack([torch.stack(list(stats)) for epoch in epochs for stats in epoch])
        if self.group.size > 1:
            every = torch.cat([self.group.sum(every[:, :6].clone()), self.group.largest(every[:, 6:].clone())], dim=1)
        every = every.cpu()
        mean = MinibatchStats(*every.double().mean(dim=0))
        last = every[-len(epochs[-1]) :]
        kl, norm = every[:, 4], every[:, 6]
        if stopped:  # the minibatch that stopped the update took no step
            norm = norm[:-1]
        if self.precision.skips_steps:
            norm = norm[torch.isfinite(norm)]
        if not torch.isfinite(norm).all() or not torch.isfinite(every[:, 3]).all():
            raise TrainingDiverged(
                "A loss or gradient became NaN or infinite, and the step was not taken: lower learning_rate, and look "
                "for NaN or huge values in the environment's observations and rewards."
            )
        steps = max(1, len(norm))
        with torch.no_grad():
            first = _take(batch, slice(0, 1))
            std = self.policy.get_distribution(first.obs).std()
        return UpdateStats(
            policy_gradient_loss=float(mean.policy_gradient_loss),
            value_loss=float(mean.value_loss),
            entropy_loss=float(mean.entropy_loss),
            loss=float(every[-1, 3]),
            approx_kl=float(last[:, 4].mean()),
            kl_update=float(kl.mean()),
            kl_max=float(kl.max()),
            clip_fraction=float(mean.clip_fraction),
            explained_variance=explained_variance(batch.values, batch.returns),
            grad_norm=float(norm.sum()) / steps,
            grad_norm_max=float(norm.max()) if len(norm) else 0.0,
            grad_clip_fraction=float((norm > self.config.max_grad_norm).sum()) / steps,
            ratio_error=float(every[0, 7]),
            adv_mean=float(batch.advantages.mean()),
            adv_std=float(batch.advantages.std(unbiased=False)),
            return_mean=float(batch.returns.mean()),
            return_std=float(batch.returns.std(unbiased=False)),
            value_bias=value_bias(batch.values, batch.returns),
            std=None if std is None else float(std.mean()),
            n_epochs_done=len(epochs),
            gradient_steps=len(norm),
            kl_stopped=stopped,
            update_s=time.perf_counter() - start,
        )

    # ── state ───────────────────────────────────────────────────────────────────────────────────────────────────

    def snapshot(self, environments: bool = True) -> Snapshot:
        """Weights, statistics, optimiser, generators and, where wanted, environments and the next observation."""
        rest = {
            "environment": self.env.get_state() if environments and self.group.size == 1 else None,
            "obs": self.obs if place(self.env) is None else None,  # new episodes are begun
            "discounted": self.normalizer.discounted if place(self.env) is None else None,
            "sampling": self.sampling.get_state().numpy(),
            "shuffling": self.shuffling.get_state().numpy(),
            "memory": self.memory.cpu().numpy() if self.policy.state_size else None,
            "loss_scale": self.precision.scaler.state_dict(),
        }
        packed, arrays = pack(rest, "torch")
        return Snapshot(
            model=policy_arrays(self.policy) | self.normalizer.arrays(),
            optimizer=adam_arrays(self.optimizer, self.policy),
            environment=arrays,
            state={"engine": packed, "num_timesteps": self.num_timesteps},
        )

    def restore(self, snapshot: Snapshot, environments: bool = True) -> list[str]:
        """Continue from `snapshot`, of this engine or the other one; see the contract."""
        load_policy_arrays(self.policy, snapshot.model)
        self.normalizer.load(snapshot.model)
        load_adam_arrays(self.optimizer, self.policy, snapshot.optimizer)
        if not environments:
            return []
        self.num_timesteps = int(snapshot.state["num_timesteps"])
        rest: dict[str, Any] = unpack(snapshot.state["engine"], snapshot.environment)
        lost = []
        if rest.get("loss_scale"):
            self.precision.scaler.load_state_dict(rest["loss_scale"])
        if "sampling" in rest:
            self.shuffling.set_state(torch.from_numpy(rest["shuffling"].copy()))
            if self.group.leads:
                self.sampling.set_state(torch.from_numpy(rest["sampling"].copy()))
            else:  # only the first process's was saved
                self.sampling.manual_seed(self.sampling.initial_seed() + self.num_timesteps)
        else:
            lost.append("The other engine's random generators could not be restored: new ones are used.")
        if rest["environment"] is None:
            lost.append("The environments' state was not saved, or cannot be: new episodes were begun.")
        else:
            self.env.set_state(rest["environment"])
            self.obs = rest["obs"]
            self.normalizer.discounted = rest["discounted"].copy()
            if self.policy.state_size:
                self.memory = torch.tensor(rest["memory"], device=self.device)
        return lost

    def close(self) -> None:
        """Close the environments."""
        self.env.close()


def _write(storage: Tensor, t: int, row: Any) -> None:
    storage[t] = torch.as_tensor(row, device=storage.device)


def _take(batch: Batch, rows: Tensor | slice) -> Batch:
    obs = {key: part[rows] for key, part in batch.obs.items()} if isinstance(batch.obs, dict) else batch.obs[rows]
    return Batch(obs, *(tensor[rows] for tensor in batch[1:]))
