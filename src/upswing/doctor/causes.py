"""Every cause the doctor can name: how likely a run makes it, and what to change then.

A rule suspects causes by what it sees; the run's own settings and figures then decide between them (likelihoods.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from upswing.doctor import likelihoods as by
from upswing.doctor import remedies
from upswing.doctor.case import Case
from upswing.doctor.findings import Change
from upswing.doctor.reference import same_settings


@dataclass(frozen=True)
class Cause:
    """Something that can be wrong."""

    plausible: by.Plausibility
    change: Callable[[Case], Change | None]
    family: int = 3  # 0 bug, 1 environment and reward, 2 scale, 3 optimisation: the order of suspicion
    by_setting: bool = False  # plausible by the run's settings, not by what was seen to happen


def _out_of_step(case: Case) -> float | None:
    """Updates of a healthy size that lead nowhere or the wrong way, with nothing else to blame; or returns that nothing
    foretells."""
    blind = 0.7 * by.blindness(case) if case.stuck else 0.3 * by.blindness(case)
    if same_settings(case.reference, case.series.config):
        return 0.8  # what went well with the same settings now does not
    if not by.backwards(case) and (not by.aimless(case) or not by.small_steps(case)):
        return max(blind, 0.05)
    others = [cause.plausible(case) or 0.0 for name, cause in CAUSES.items() if cause.by_setting or name in _BY_FIGURE]
    return max(blind, 0.8 if max(others) < ODD else 0.15)


ODD = 0.65
"""A setting as unlikely as this in a healthy run is worth a warning where the return ends short: healthy recipes stay below."""

_BY_FIGURE = ("obs_scale", "reward_large", "reward_small", "std_small", "std_large", "units_dead", "stale_log_prob")

CAUSES: dict[str, Cause] = {
    # bugs
    "stale_log_prob": Cause(by.stale, remedies.none, 0),
    "normalizer_moved": Cause(by.flag("normalize_obs", True, 0.1), remedies.none, 0),
    "dropout": Cause(by.fixed(0.2), remedies.none, 0),
    "mask_bug": Cause(by.fixed(0.4), remedies.none, 0),
    "not_in_optimiser": Cause(by.lost_updates, remedies.none, 0),
    "no_advantage": Cause(by.fixed(0.4), remedies.none, 0),
    "bad_numbers": Cause(by.fixed(0.5), remedies.none, 1),
    # environment and reward
    "out_of_step": Cause(_out_of_step, remedies.none, 1),
    "sparse_reward": Cause(by.sparse, remedies.none, 1),
    "reward_outliers": Cause(by.reward_outliers, remedies.normalize_reward, 1),
    "reward_hacking": Cause(by.fixed(0.25), remedies.none, 1),
    "action_ignored": Cause(lambda case: 0.7 * (_out_of_step(case) or 0.0), remedies.none, 1),
    "time_limit_as_end": Cause(by.time_limit, remedies.none, 1),
    "ends_bootstrapped": Cause(by.ends_bootstrapped, remedies.real_ends, 1, by_setting=True),
    "resets_together": Cause(by.in_step, remedies.longer_rollout, 1),
    "maximum_reached": Cause(by.fixed(0.6), remedies.none, 1),
    "eval_differs": Cause(by.fixed(0.4), remedies.none, 1),
    "noise_needed": Cause(by.noise_needed, remedies.none, 1),
    # scale
    "reward_large": Cause(by.reward_large, remedies.normalize_reward, 2),
    "reward_small": Cause(by.reward_small, remedies.normalize_reward, 2),
    "adv_raw": Cause(by.adv_raw, remedies.normalize_advantage, 2, by_setting=True),
    "obs_scale": Cause(by.obs_scale, remedies.normalize_obs, 2),
    "obs_outliers": Cause(by.fixed(0.3), remedies.none, 2),
    "normalizer_frozen": Cause(by.normalizer_frozen, remedies.none, 2),
    "actions_unscaled": Cause(lambda case: 0.0 if case.discrete is True else 0.3, remedies.none, 2),
    # optimisation
    "lr_high": Cause(by.rate_high, remedies.lower_rate, by_setting=True),
    "lr_low": Cause(by.rate_low, remedies.raise_rate, by_setting=True),
    "epochs_many": Cause(by.epochs_many, remedies.fewer_epochs, by_setting=True),
    "epochs_few": Cause(by.setting("n_epochs", (1, 0.7), (2, 0.4), (4, 0.1)), remedies.more_epochs, by_setting=True),
    "batch_small": Cause(
        by.batch((4, 0.9), (16, 0.5), (32, 0.25), (64, 0.12), (256, 0.05)),
        remedies.larger_batch,
        by_setting=True,
    ),
    "batch_tiny": Cause(by.batch((8, 0.95), (64, 0.6), (256, 0.3), (2048, 0.05)), remedies.larger_batch),
    "batch_large": Cause(by.batch_large, remedies.smaller_batch, by_setting=True),
    "batch_over_pool": Cause(by.fixed(0.9), remedies.batch_to_pool),
    "batch_ragged": Cause(by.fixed(0.9), remedies.even_batch),
    "few_updates": Cause(by.few_updates, remedies.more_updates, by_setting=True),
    "more_budget": Cause(by.more_budget, remedies.more_steps),
    "rollout_short": Cause(by.rollout_short, remedies.longer_rollout, by_setting=True),
    "rollout_small": Cause(
        lambda case: by.along(case.series.pool, (16, 0.8), (128, 0.4), (1024, 0.15), (8192, 0.05)),
        remedies.larger_rollout,
    ),
    "gamma_low": Cause(by.gamma_low, remedies.raise_gamma, by_setting=True),
    "gamma_high": Cause(by.gamma_high, remedies.lower_gamma, by_setting=True),
    "lambda_low": Cause(
        by.setting("gae_lambda", (0.0, 0.95), (0.3, 0.8), (0.6, 0.4), (0.8, 0.1), (0.95, 0.03), log=False),
        remedies.raise_lambda,
        by_setting=True,
    ),
    "ent_high": Cause(
        by.setting("ent_coef", (0.003, 0.03), (0.01, 0.1), (0.03, 0.35), (0.1, 0.8), (0.3, 0.95), (1.0, 0.99)),
        remedies.lower_entropy,
        by_setting=True,
    ),
    "ent_low": Cause(by.ent_low, remedies.raise_entropy, by_setting=True),
    "clip_small": Cause(
        by.setting("clip_range", (0.005, 0.97), (0.02, 0.9), (0.05, 0.5), (0.1, 0.12), (0.2, 0.03)),
        remedies.usual_clip,
        by_setting=True,
    ),
    "clip_large": Cause(
        by.setting("clip_range", (0.2, 0.05), (0.4, 0.2), (0.6, 0.6), (1.0, 0.9)), remedies.usual_clip, by_setting=True
    ),
    "target_kl_small": Cause(by.target_kl_small, remedies.raise_target_kl, by_setting=True),
    "critic_untrained": Cause(by.critic_untrained, remedies.train_critic, by_setting=True),
    "critic_dominates": Cause(
        by.setting("vf_coef", (0.5, 0.1), (1.0, 0.2), (5.0, 0.7), (50.0, 0.95)), remedies.train_critic, by_setting=True
    ),
    "critic_small": Cause(by.fixed(0.12), remedies.larger_critic),
    "std_large": Cause(
        lambda case: by.std(case, (1.0, 0.1), (2.0, 0.4), (5.0, 0.85), (10.0, 0.95)), remedies.usual_std
    ),
    "std_small": Cause(
        lambda case: by.std(case, (1e-3, 0.95), (0.01, 0.8), (0.05, 0.3), (0.3, 0.05)), remedies.usual_std
    ),
    "grad_clip_small": Cause(
        by.setting("max_grad_norm", (1e-5, 0.9), (1e-3, 0.7), (1e-2, 0.4), (0.1, 0.05)),
        remedies.usual_grad_clip,
        by_setting=True,
    ),
    "schedule_short": Cause(by.schedule_short, remedies.longer_schedule, by_setting=True),
    "resume_leap": Cause(by.fixed(0.8), remedies.none),
    "eval_rare": Cause(by.fixed(0.9), remedies.evaluate_often),
    "eps_large": Cause(
        by.setting("adam_eps", (1e-5, 0.02), (1e-3, 0.2), (1e-2, 0.6), (0.1, 0.93), (1.0, 0.98)),
        remedies.usual_eps,
        by_setting=True,
    ),
    "clip_vf_small": Cause(
        by.setting("clip_range_vf", (1e-3, 0.95), (1e-2, 0.8), (0.1, 0.4), (0.2, 0.15), (1.0, 0.05)),
        remedies.no_value_clip,
        by_setting=True,
    ),
    "net_small": Cause(by.net_small, remedies.usual_network, by_setting=True),
    "units_dead": Cause(by.units_dead, remedies.none, 2),
    # speed
    "update_work": Cause(by.epochs_many, remedies.fewer_epochs),
    "device": Cause(by.fixed(0.2), remedies.none),
    "env_heavy": Cause(by.fixed(0.6), remedies.more_workers),
    "leak": Cause(by.fixed(0.4), remedies.none),
    "machine_busy": Cause(by.fixed(0.5), remedies.none),
    "longer_episodes": Cause(by.fixed(0.3), remedies.none),
}
