"""Learning with torch: minibatch steps of autograd on a rollout."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from upswing.config import TrainConfig, derive
from upswing.engine.collector import Tensors
from upswing.engine.contract import EpochView, Hyper, Rollout, UpdateStats
from upswing.engine.group import Group
from upswing.engine.minibatches import Minibatch, Minibatches, cut
from upswing.engine.precision import Precision
from upswing.errors import TrainingDiverged
from upswing.policies import ActorCritic
from upswing.ppo.advantages import gae, normalize_advantages
from upswing.ppo.losses import (
    approx_kl,
    clip_fraction,
    effective_share,
    explained_variance,
    policy_loss,
    value_bias,
    value_loss,
)

MAX_WEIGHT = 2.0  # of a stale sample


class Batch(NamedTuple):
    """The valid transitions of a rollout, flattened: every tensor is [B] or [B, ...]."""

    obs: Tensors
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    weights: Tensor | None = None  # of stale samples; None: all are fresh


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


class Learner:
    """Updates a policy. Keeps its optimiser, the loss scale of mixed precision, and the generator of minibatches."""

    def __init__(self, config: TrainConfig, policy: ActorCritic, precision: Precision, seed: int, group: Group):
        self.config, self.policy, self.precision, self.group = config, policy, precision, group
        self.device = precision.device
        self.parameters = list(policy.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr=1.0, eps=config.adam_eps, fused=True)
        self.batch_size = derive(config).batch_size
        self.shuffling = torch.Generator().manual_seed(seed)

    def update(
        self, rollout: Rollout, hyper: Hyper, on_epoch: Callable[[EpochView], bool | None] | None = None
    ) -> UpdateStats:
        """The statistics of one PPO update on `rollout`; see the contract. Raises TrainingDiverged, with the last
        finite weights in place, where a gradient is not finite."""
        start = time.perf_counter()
        batch = self._batch(rollout)
        minibatches = cut(self.policy, rollout, self.batch_size, self.group)
        if rollout.staleness:
            batch = self._corrected(batch, minibatches)
        whole = batch._replace(advantages=self._scaled(batch.advantages, "batch"))
        watched = self.group.lead(on_epoch is not None)
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
        done = self._stats(batch, epochs, stopped, start)
        return done._replace(staleness=rollout.staleness, ess=effective_share(batch.weights))

    @torch.no_grad()
    def _corrected(self, batch: Batch, minibatches: Minibatches) -> Batch:
        """`batch`, which an older policy b collected, for the policy p that this update begins with.

        The clipped objective is taken around p, and each sample is weighted by how much likelier p is to act so than b:

            L(θ) = -E_b[ w · min(r·A, clip(r, 1-ε, 1+ε)·A) ],    w = p/b,  r = π_θ/p

        Source: Hilton, Cobbe and Schulman 2022 (arXiv:2110.00641), the decoupled objective; weights are truncated at
        MAX_WEIGHT (Ionides 2008, "Truncated importance sampling"). Advantages stay those of the critic that acted.
        """
        log_probs = torch.empty_like(batch.log_probs)
        for part in minibatches.shuffled(torch.Generator().manual_seed(0)):
            rows = part.rows[part.mine]
            mine = _take(batch, rows)
            with self.precision.forward():
                distribution, _ = part.evaluate(mine.obs)
            log_probs[rows] = distribution.log_prob(mine.actions)
        weights = (log_probs - batch.log_probs).exp().clamp(max=MAX_WEIGHT)
        return batch._replace(log_probs=log_probs, weights=weights)

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
        if batch.weights is not None:
            batch = batch._replace(advantages=batch.advantages * batch.weights)
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


def _take(batch: Batch, rows: Tensor | slice) -> Batch:
    obs = {key: part[rows] for key, part in batch.obs.items()} if isinstance(batch.obs, dict) else batch.obs[rows]
    rest: list[Any] = [None if part is None else part[rows] for part in batch[1:]]
    return Batch(obs, *rest)
