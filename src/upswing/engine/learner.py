"""Learning with torch: minibatch steps of autograd on a rollout."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from upswing.config import TrainConfig, derive
from upswing.engine.contract import EpochView, Hyper, Rollout, UpdateStats
from upswing.engine.group import Group
from upswing.engine.minibatches import Minibatch, Minibatches, cut
from upswing.engine.objective import Batch, MinibatchStats, compiled, objective, on_device, take
from upswing.engine.precision import Precision
from upswing.errors import ConfigError, TrainingDiverged
from upswing.policies import ActorCritic
from upswing.ppo.advantages import gae, normalize_advantages
from upswing.ppo.losses import effective_share, explained_variance, value_bias

MAX_WEIGHT = 2.0  # of a stale sample


class Learner:
    """Updates a policy. Keeps its optimiser, the loss scale of mixed precision, and the generator of minibatches."""

    def __init__(self, config: TrainConfig, policy: ActorCritic, precision: Precision, seed: int, group: Group):
        self.config, self.policy, self.precision, self.group = config, policy, precision, group
        self.device = precision.device
        self.parameters = list(policy.parameters())
        self.optimizer = torch.optim.Adam(
            self.parameters, lr=1.0, eps=config.adam_eps, fused=True, capturable=precision.on_gpu
        )
        self.batch_size = derive(config).batch_size
        self.shuffling = torch.Generator(self.device).manual_seed(seed)
        if config.compile and policy.state_size:
            raise ConfigError(
                "compile = true needs minibatches of one shape, and a policy with memory has none: set it to false."
            )
        self.objective = compiled(objective) if config.compile else objective

    def forget(self) -> None:
        """Nothing is kept that depends on where weights and moments lie in memory."""

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
        hyper = on_device(hyper, self.device) if self.config.compile else hyper  # numbers would be compiled in
        for group in self.optimizer.param_groups:
            group["lr"] = hyper.learning_rate
        epochs: list[list[MinibatchStats]] = []
        stopped = False
        for epoch in range(hyper.n_epochs):
            epochs.append([])
            for part in minibatches.shuffled(self.shuffling):
                stats, stopped = self._minibatch(take(whole, part.rows), part, hyper)
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
        for part in minibatches.shuffled(torch.Generator(self.device).manual_seed(0)):
            rows = part.rows[part.mine]
            mine = take(batch, rows)
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
        advantages, returns = advantages_of(rollout, self.config)
        keep = None if rollout.whole or bool(rollout.valid.all()) else rollout.valid.flatten().nonzero()[:, 0]

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
        batch = take(batch, part.mine)
        if batch.weights is not None:
            batch = batch._replace(advantages=batch.advantages * batch.weights)
        loss, stats = self.objective(
            part.evaluate, self.precision.forward, batch, part.weight, hyper, self.config.vf_coef
        )
        kl = stats.approx_kl
        if hyper.target_kl is not None and bool(self.group.sum(kl.clone()) > 1.5 * hyper.target_kl):
            return stats, True
        norm = self.precision.step(
            loss, self.optimizer, self.parameters, self.config.max_grad_norm, self.group.sum_gradients
        )
        return stats._replace(grad_norm=norm.detach()), False

    def _stats(self, batch: Batch, epochs: list[list[MinibatchStats]], stopped: bool, start: float) -> UpdateStats:
        """The update's figures, aggregated as metrics.py states."""
        every = torch.stack([torch.stack(list(stats)) for epoch in epochs for stats in epoch])
        if self.group.size > 1:
            every = torch.cat([self.group.sum(every[:, :6].clone()), self.group.largest(every[:, 6:].clone())], dim=1)
        return self._told(*self._read(batch, every), len(epochs), len(epochs[-1]), stopped, start)

    def _told(
        self, every: Tensor, about: list[float], n_epochs: int, n_last: int, stopped: bool, start: float
    ) -> UpdateStats:
        """The figures of an update of `n_epochs`, the last of which had `n_last` minibatches, from those of `every`
        minibatch [n, 8] and those `about` the batch, on the host."""
        explained, bias, adv_mean, adv_std, return_mean, return_std, std = about
        mean = MinibatchStats(*every.double().mean(dim=0))
        last = every[-n_last:]
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
        return UpdateStats(
            policy_gradient_loss=float(mean.policy_gradient_loss),
            value_loss=float(mean.value_loss),
            entropy_loss=float(mean.entropy_loss),
            loss=float(every[-1, 3]),
            approx_kl=float(last[:, 4].mean()),
            kl_update=float(kl.mean()),
            kl_max=float(kl.max()),
            clip_fraction=float(mean.clip_fraction),
            explained_variance=_known(explained),
            grad_norm=float(norm.sum()) / steps,
            grad_norm_max=float(norm.max()) if len(norm) else 0.0,
            grad_clip_fraction=float((norm > self.config.max_grad_norm).sum()) / steps,
            ratio_error=float(every[0, 7]),
            adv_mean=adv_mean,
            adv_std=adv_std,
            return_mean=return_mean,
            return_std=return_std,
            value_bias=_known(bias),
            std=_known(std),
            n_epochs_done=n_epochs,
            gradient_steps=len(norm),
            kl_stopped=stopped,
            update_s=time.perf_counter() - start,
        )

    @torch.no_grad()
    def _read(self, batch: Batch, every: Tensor) -> tuple[Tensor, list[float]]:
        """`every` on the host, and figures of the whole batch; NaN for what is not defined. All is read here, at once."""
        std = self.policy.get_distribution(take(batch, slice(0, 1)).obs).std()
        figures = [
            explained_variance(batch.values, batch.returns),
            value_bias(batch.values, batch.returns),
            batch.advantages.mean(),
            batch.advantages.std(unbiased=False),
            batch.returns.mean(),
            batch.returns.std(unbiased=False),
            torch.full_like(batch.returns[0], torch.nan) if std is None else std.mean(),
        ]
        read = torch.cat([every.flatten(), torch.stack(figures)]).cpu()
        return read[: every.numel()].view(every.shape), read[every.numel() :].tolist()


def advantages_of(rollout: Rollout, config: TrainConfig, by_doubling: bool = False) -> tuple[Tensor, Tensor]:
    """Advantages and returns of `rollout`, each [T, N]; `by_doubling` wants all its rows to be valid. See gae."""
    return gae(
        rollout.rewards,
        rollout.values,
        rollout.last_values,
        rollout.terminated,
        rollout.truncated,
        rollout.final_values,
        config.gamma,
        config.gae_lambda,
        config.bootstrap_terminations,
        None if by_doubling else rollout.valid,
        by_doubling,
    )


def _known(figure: float) -> float | None:
    return None if math.isnan(figure) else figure
