"""Every metric, declared once: name, unit, meaning, how it is aggregated, healthy band and where the band comes from.

TensorBoard tags, metrics.jsonl keys, the live view and the documentation read this file. Under Stable-Baselines3's
tags stands Stable-Baselines3's meaning; more precise figures have tags of their own.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Band:
    """A range in which a metric is usually healthy. A hint to a reader, never a verdict."""

    low: float | None
    high: float | None
    origin: str


@dataclass(frozen=True)
class Metric:
    """What is known about one metric."""

    tag: str
    meaning: str
    aggregation: str
    unit: str = ""
    band: Band | None = None


_FOLKLORE = "practitioners' notes on PPO; depends on clip_range and target_kl"

_ALL = (
    # ── rollout: raw episodes, as the environment counts them ───────────────────────────────────────────────────
    Metric(
        "rollout/ep_rew_mean",
        "mean return of finished episodes, raw rewards",
        "last stats_window_size episodes",
        "reward",
    ),
    Metric("rollout/ep_len_mean", "mean length of finished episodes", "last stats_window_size episodes", "steps"),
    Metric(
        "rollout/success_rate",
        "share of finished episodes that succeeded at some step",
        "last stats_window_size episodes",
        "share",
        Band(0.0, 1.0, "definition"),
    ),
    Metric(
        "rollout/iteration_rew_mean",
        "mean return of the episodes that finished in this iteration",
        "this iteration",
        "reward",
    ),
    Metric(
        "rollout/iteration_episodes", "episodes that finished in this iteration", "this iteration, count", "episodes"
    ),
    Metric(
        "rollout/truncated_fraction",
        "share of finished episodes that were cut off by a limit",
        "this iteration",
        "share",
    ),
    Metric("rollout/reward_mean", "mean raw reward of a step", "this iteration", "reward"),
    Metric(
        "rollout/obs_std_max",
        "largest standard deviation of an observed feature, as the policy sees it",
        "a sample of the rollout, now and then",
        "",
        Band(1e-3, 10.0, "scales at which common initialisations and learning rates work"),
    ),
    Metric(
        "rollout/obs_offset",
        "largest distance of an observed feature's mean from 0, in its standard deviations (in units where they are below 1)",
        "a sample of the rollout, now and then",
        "",
        Band(0.0, 10.0, "scales at which common initialisations and learning rates work"),
    ),
    Metric(
        "rollout/obs_clipped",
        "share of normalised observations that reach clip_obs",
        "a sample of the rollout, now and then",
        "share",
        Band(0.0, 0.05, "a normaliser that fits clips almost nothing"),
    ),
    Metric(
        "rollout/action_saturation",
        "share of action components at or beyond the bounds of the action space",
        "a sample of the rollout, now and then",
        "share",
    ),
    # ── time ────────────────────────────────────────────────────────────────────────────────────────────────────
    Metric("time/fps", "environment steps per second of collecting and updating", "this iteration", "steps/s"),
    Metric(
        "time/fps_mean",
        "environment steps per second of collecting and updating",
        "since the start of this process",
        "steps/s",
    ),
    Metric("time/iterations", "iterations done: one collects and one updates", "count", "iterations"),
    Metric("time/total_timesteps", "environment steps taken, over all environments", "count", "steps"),
    Metric("time/collect_s", "time spent collecting the rollout", "this iteration", "s"),
    Metric("time/env_s", "part of collecting spent inside the environments", "this iteration", "s"),
    Metric("time/update_s", "time spent updating the policy", "this iteration", "s"),
    Metric("time/elapsed_s", "wall-clock time since training began, everything included", "since the first start", "s"),
    Metric("time/peak_memory_mb", "peak resident memory of the training process", "maximum so far", "MB"),
    # ── train: the update ───────────────────────────────────────────────────────────────────────────────────────
    Metric(
        "train/approx_kl",
        "approximate KL from the old to the new policy, k3 = mean(r - 1 - log r)",
        "mean over the minibatches of the last epoch (SB3)",
        "nats",
        Band(0.003, 0.03, _FOLKLORE),
    ),
    Metric(
        "train/kl_update",
        "the same estimator over the whole update",
        "mean over all minibatches of all epochs",
        "nats",
        Band(0.001, 0.03, _FOLKLORE),
    ),
    Metric("train/kl_max", "largest approximate KL of one minibatch", "maximum over the update", "nats"),
    Metric(
        "train/clip_fraction",
        "share of probability ratios outside 1 ± clip_range",
        "mean over all minibatches of all epochs (SB3)",
        "share",
        Band(0.02, 0.3, _FOLKLORE),
    ),
    Metric("train/clip_range", "ε in force", "this iteration"),
    Metric("train/clip_range_vf", "value clipping distance in force", "this iteration"),
    Metric(
        "train/entropy_loss",
        "minus the mean entropy of the policy",
        "mean over all minibatches of all epochs (SB3)",
        "nats",
    ),
    Metric(
        "train/explained_variance",
        "1 - Var(R - V) / Var(R): how much of the returns the critic foresaw; before the update",
        "all valid transitions of the rollout",
        "",
        Band(0.5, 1.0, "practitioners' notes on PPO; low is normal early and where returns are pure chance"),
    ),
    Metric("train/learning_rate", "learning rate in force", "this iteration"),
    Metric("train/ent_coef", "entropy coefficient in force", "this iteration"),
    Metric("train/loss", "policy loss + ent_coef × entropy loss + vf_coef × value loss", "the last minibatch (SB3)"),
    Metric("train/policy_gradient_loss", "clipped surrogate loss", "mean over all minibatches of all epochs (SB3)"),
    Metric(
        "train/value_loss",
        "mean squared error of the critic against the returns",
        "mean over all minibatches of all epochs (SB3)",
    ),
    Metric("train/std", "σ of a continuous policy, mean over action dimensions", "after the update", "action"),
    Metric("train/n_updates", "epochs done since the start (SB3's count)", "count", "epochs"),
    Metric("train/gradient_steps", "gradient steps since the start", "count", "steps"),
    Metric(
        "train/n_epochs_done",
        "epochs this update did before target_kl or a hook stopped it",
        "this iteration",
        "epochs",
    ),
    Metric("train/kl_stopped", "1 where target_kl ended the update early", "this iteration"),
    Metric(
        "train/staleness",
        "updates by which the policy that learned was ahead of the one that acted; above 0 only with collect = overlap",
        "this iteration",
        "updates",
    ),
    Metric(
        "train/ess",
        "effective share of the samples after weighting them for staleness; undefined where none were stale",
        "all valid transitions of the rollout",
        "share",
        Band(0.8, 1.0, "chosen: one update of a healthy size moves little probability"),
    ),
    Metric("train/grad_norm", "global gradient norm before clipping", "mean over all minibatches of all epochs"),
    Metric("train/grad_norm_max", "largest global gradient norm before clipping", "maximum over the update"),
    Metric(
        "train/grad_clip_fraction",
        "share of gradient steps that were scaled down to max_grad_norm",
        "mean over the update",
        "share",
    ),
    Metric(
        "train/ratio_error",
        "largest |ratio - 1| in the first minibatch, before any step: 0 in a correct program",
        "maximum over the first minibatch",
        "",
        Band(0.0, 1e-4, "identity: the policy has not changed yet"),
    ),
    Metric("train/adv_mean", "mean advantage before normalisation", "all valid transitions of the rollout", "reward"),
    Metric(
        "train/adv_std",
        "standard deviation of advantages before normalisation",
        "all valid transitions of the rollout",
        "reward",
    ),
    Metric(
        "train/return_mean",
        "mean target of the critic, in the reward units learned from",
        "all valid transitions of the rollout",
        "reward",
    ),
    Metric(
        "train/return_std",
        "standard deviation of the critic's targets",
        "all valid transitions of the rollout",
        "reward",
    ),
    Metric(
        "train/value_bias",
        "mean(R - V) / std(R): a constant error that explained variance cannot see",
        "all valid transitions of the rollout",
        "",
        Band(-0.5, 0.5, "half a standard deviation of the returns"),
    ),
    Metric(
        "train/dormant_units",
        "share of the policy's hidden units that hardly react to what it sees",
        "a sample of the rollout, now and then",
        "share",
        Band(0.0, 0.5, "Sokar et al. 2023 (arXiv:2302.12902)"),
    ),
    # ── eval: a frozen policy in environments of its own ────────────────────────────────────────────────────────
    Metric("eval/mean_reward", "mean return of an evaluation, raw rewards", "n_eval_episodes episodes", "reward"),
    Metric("eval/std_reward", "standard deviation of those returns", "n_eval_episodes episodes", "reward"),
    Metric("eval/mean_ep_length", "mean length of those episodes", "n_eval_episodes episodes", "steps"),
    Metric("eval/reward", "mean of each episode's return divided by its length", "n_eval_episodes episodes", "reward"),
    Metric("eval/return", "eval/mean_reward under ManiSkill's name", "n_eval_episodes episodes", "reward"),
    Metric("eval/episode_len", "eval/mean_ep_length under ManiSkill's name", "n_eval_episodes episodes", "steps"),
    Metric("eval/success_once", "share of episodes that succeeded at some step", "n_eval_episodes episodes", "share"),
    Metric("eval/success_at_end", "share of episodes that ended in success", "n_eval_episodes episodes", "share"),
    Metric("eval/eval_s", "time the evaluation took", "one evaluation", "s"),
)

METRICS: dict[str, Metric] = {metric.tag: metric for metric in _ALL}
"""Every metric by its tag."""
