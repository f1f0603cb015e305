"""What an engine is: it collects a rollout and updates the policy from it. Both engines mean the same by it.

    rollout = engine.collect(on_step)
    stats = engine.update(rollout, hyper, on_epoch)

Shapes are time-major: [T, N] for T = n_steps and N = n_envs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from upswing.envs.contract import Episode, Step, VectorEnv


class Hyper(NamedTuple):
    """The settings of one update that schedules and hooks may change."""

    learning_rate: float
    clip_range: float
    clip_range_vf: float | None
    ent_coef: float
    n_epochs: int
    target_kl: float | None


@dataclass
class Rollout:
    """T steps of N environments under one frozen policy. Arrays or tensors of the engine's own kind."""

    obs: Any  # [T, N, ...] as the policy saw them (normalised), or a dict of such
    actions: Any  # [T, N] or [T, N, A], as sampled, before any clipping to the environment's bounds
    log_probs: Any  # [T, N]
    values: Any  # [T, N]
    rewards: Any  # [T, N] as learned from (normalised)
    terminated: Any  # [T, N] bool
    truncated: Any  # [T, N] bool
    final_values: Any  # [T, N]: value of the true last observation where an episode ended, else 0
    last_values: Any  # [N]: value of the observation after the last step
    valid: Any  # [T, N] bool: False where a step only reset the environment
    memory: Any = None  # [T, N, S]: what a policy with memory knew before each step; S = 0 for others
    episodes: list[Episode] = field(default_factory=list)
    whole: bool = False  # whether every row is known to be valid, without looking
    staleness: int = 0  # updates by which the policy that learns is ahead of the one that acted
    raw_reward_mean: float = 0.0  # mean raw reward of a valid step
    env_s: float = 0.0  # seconds spent in the environments
    collect_s: float = 0.0  # seconds in all


class UpdateStats(NamedTuple):
    """What one update did. Tags and exact meanings are in metrics.py, under train/."""

    policy_gradient_loss: float
    value_loss: float
    entropy_loss: float
    loss: float
    approx_kl: float
    kl_update: float  # k3 over all valid transitions and epochs done
    kl_max: float
    clip_fraction: float
    explained_variance: float | None
    grad_norm: float
    grad_norm_max: float
    grad_clip_fraction: float
    ratio_error: float  # max |ratio - 1| of the first minibatch: 0 in a correct program
    adv_mean: float
    adv_std: float
    return_mean: float
    return_std: float
    value_bias: float | None
    std: float | None  # mean σ of a continuous policy
    n_epochs_done: int
    gradient_steps: int
    kl_stopped: bool
    update_s: float
    staleness: int = 0  # updates since the policy that acted
    ess: float | None = None  # effective share of the samples after correcting for that; None where there was no need


class EpochView(NamedTuple):
    """What a hook on epochs sees after each pass over the batch."""

    epoch: int  # from 0
    approx_kl: float  # k3, mean over this epoch's minibatches
    clip_fraction: float


class StepView(NamedTuple):
    """What a hook on steps sees after each step of all environments."""

    step: int  # 0 … n_steps - 1 within the rollout
    num_timesteps: int  # environment steps since the start of training
    rewards: Any  # [N] raw
    dones: Any  # [N] bool
    episodes: list[Episode]
    actions: Any = None  # [N] or [N, A] as the environments were given them
    outcome: Step | None = None  # all that the environments answered; its arrays may be reused by the next step


class Engine(Protocol):
    """Collects rollouts and updates the policy. State that outlives a call: policy, optimiser, normalisers, randomness."""

    policy: Any  # a torch module: upswing.policies.ActorCritic
    normalizer: Any  # upswing.engine.normalizer.Normalizer
    env: VectorEnv
    name: str  # "torch" or "native"
    num_timesteps: int  # environment steps since the start of training; may be set

    def collect(self, on_step: Callable[[StepView], bool | None] | None = None) -> Rollout:
        """The next n_steps of every environment. `on_step` may return False to ask for a stop after this rollout, or
        raise to end the collecting at once; the engine can go on from there."""
        ...

    def update(
        self, rollout: Rollout, hyper: Hyper, on_epoch: Callable[[EpochView], bool | None] | None = None
    ) -> UpdateStats:
        """The statistics of one PPO update on `rollout`. `on_epoch` may return False to end the epochs."""
        ...

    def reset(self, seeds: list[int] | None = None) -> None:
        """Begin new episodes in every environment; `seeds` gives each its own. What was learned stays."""
        ...

    def snapshot(self, environments: bool = True) -> Any:
        """An upswing.run.Snapshot of weights, normalisers, optimiser, generators and (where wanted) environments."""
        ...

    def restore(self, snapshot: Any, environments: bool = True) -> list[str]:
        """Continue from `snapshot`; returns a sentence for each thing that could not be restored. Without `environments`
        what was learned is restored alone: weights, normalisation statistics and optimiser."""
        ...

    def close(self) -> None:
        """Close the environments."""
        ...
