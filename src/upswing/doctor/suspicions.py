"""What each finding suspects before it looks at the settings: causes and weights between 0 and 1, in one table.

A key is a rule's code, or code:variant where its variants suspect different causes. The settings then decide between
the suspects, see causes.py. Weights come from what each fault was seen to do on recorded runs.
"""

from __future__ import annotations

from upswing.doctor.findings import Suspect

_TOO_FAR = {
    "lr_high": 0.8, "rollout_small": 0.5, "rollout_short": 0.3, "target_kl_small": 0.5, "epochs_many": 0.6, "batch_small": 0.35, "adv_raw": 0.5, "clip_large": 0.35, "stale_log_prob": 0.3,
    "reward_large": 0.2, "ent_high": 0.5,
}  # fmt: skip
_BLIND_CRITIC = {
    "out_of_step": 0.55, "critic_untrained": 0.6, "reward_large": 0.5, "lr_high": 0.45, "ends_bootstrapped": 0.45,
    "time_limit_as_end": 0.4, "reward_small": 0.4, "gamma_high": 0.4, "obs_scale": 0.4, "lr_low": 0.4, "few_updates": 0.35,
    "lambda_low": 0.3, "epochs_few": 0.2, "critic_small": 0.2, "rollout_short": 0.2, "gamma_low": 0.3, "reward_outliers": 0.5,
    "clip_vf_small": 0.5, "eps_large": 0.4, "units_dead": 0.4, "net_small": 0.3,
}  # fmt: skip
_NO_PROGRESS = {
    "not_in_optimiser": 0.45,
    "lr_high": 0.5, "lr_low": 0.5, "few_updates": 0.5, "gamma_low": 0.5, "rollout_short": 0.5, "ent_high": 0.5,
    "ends_bootstrapped": 0.5, "critic_untrained": 0.5, "clip_small": 0.45, "reward_large": 0.45, "adv_raw": 0.45,
    "lambda_low": 0.4, "epochs_many": 0.4, "target_kl_small": 0.4, "obs_scale": 0.4, "std_large": 0.4, "std_small": 0.4,
    "out_of_step": 0.4, "schedule_short": 0.4, "sparse_reward": 0.35, "gamma_high": 0.3, "ent_low": 0.3,
    "reward_small": 0.3, "time_limit_as_end": 0.3, "actions_unscaled": 0.3, "more_budget": 0.3, "batch_large": 0.3,
    "resets_together": 0.3, "batch_small": 0.3, "critic_dominates": 0.3, "rollout_small": 0.25, "clip_large": 0.25,
    "normalizer_frozen": 0.2, "grad_clip_small": 0.4, "reward_outliers": 0.4, "stale_log_prob": 0.15, "eps_large": 0.45,
    "clip_vf_small": 0.4, "net_small": 0.45, "units_dead": 0.45, "epochs_few": 0.35, "action_ignored": 0.2,
}  # fmt: skip
_LOST = {
    "lr_high": 0.7, "epochs_many": 0.5, "adv_raw": 0.4, "rollout_short": 0.4, "ent_low": 0.3, "reward_large": 0.3,
    "gamma_high": 0.3, "batch_small": 0.3, "clip_large": 0.3, "reward_outliers": 0.3, "ent_high": 0.3, "rollout_small": 0.3,
    "critic_untrained": 0.3, "gamma_low": 0.3, "ends_bootstrapped": 0.3, "lambda_low": 0.3, "obs_scale": 0.3,
    "out_of_step": 0.4, "stale_log_prob": 0.15, "lr_low": 0.2, "target_kl_small": 0.2, "few_updates": 0.2, "net_small": 0.2,
}  # fmt: skip

_NEEDLESS = {
    "ent_high": 0.9, "lr_low": 0.6, "clip_small": 0.6, "target_kl_small": 0.6, "schedule_short": 0.6, "few_updates": 0.5,
    "eps_large": 0.5, "grad_clip_small": 0.4, "epochs_few": 0.4,
}  # fmt: skip

TABLE: dict[str, dict[str, float]] = {
    "B01": {"lr_high": 0.7, "bad_numbers": 0.6, "reward_large": 0.4, "std_small": 0.3},
    "B02": {"stale_log_prob": 0.9, "normalizer_moved": 0.5, "dropout": 0.2},
    "B03": {"mask_bug": 0.7, "stale_log_prob": 0.5},
    "B04": {
        "not_in_optimiser": 0.8, "lr_low": 0.6, "reward_large": 0.6, "critic_dominates": 0.6, "no_advantage": 0.5,
        "grad_clip_small": 0.3, "lr_high": 0.3, "eps_large": 0.5, "units_dead": 0.4,
    },
    "P01": _TOO_FAR,
    "P02": {
        "lr_low": 0.8, "clip_small": 0.5, "target_kl_small": 0.5, "reward_large": 0.5, "critic_dominates": 0.5, "adv_raw": 0.4,
        "epochs_few": 0.3, "reward_small": 0.3, "batch_large": 0.3, "few_updates": 0.2, "grad_clip_small": 0.4, "obs_scale": 0.3,
        "eps_large": 0.7, "net_small": 0.3, "units_dead": 0.5, "out_of_step": 0.4, "gamma_low": 0.3, "ent_high": 0.4,
        "sparse_reward": 0.3, "schedule_short": 0.4, "reward_outliers": 0.3, "critic_untrained": 0.3, "rollout_short": 0.2,
    },
    "P03": {**_TOO_FAR, "clip_small": 0.8},
    "P04": {"std_small": 0.6, "lr_high": 0.5, "reward_large": 0.2},
    "P05:floor": {"rollout_small": 0.6, "batch_small": 0.4, "epochs_many": 0.4},
    "P05:ceiling": {"out_of_step": 0.4, "batch_large": 0.3},
    "P06": {"target_kl_small": 0.7, "lr_high": 0.6, "batch_small": 0.2},
    "P07": {"lr_high": 0.7, "ent_low": 0.6, "reward_large": 0.4, "adv_raw": 0.4, "epochs_many": 0.4, "batch_small": 0.2, "obs_scale": 0.3},
    "P08": {
        "not_in_optimiser": 0.5, "ent_high": 0.7, "lr_low": 0.6, "out_of_step": 0.5, "sparse_reward": 0.5, "few_updates": 0.5, "reward_large": 0.5,
        "critic_dominates": 0.5, "no_advantage": 0.3, "clip_small": 0.3, "rollout_short": 0.3, "adv_raw": 0.3, "obs_scale": 0.3,
        "gamma_low": 0.3, "target_kl_small": 0.3,
    },
    "P08:end": {
        "ent_high": 0.8, "lr_low": 0.5, "clip_small": 0.4, "out_of_step": 0.4, "target_kl_small": 0.3, "sparse_reward": 0.3,
        "few_updates": 0.3, "obs_scale": 0.3, "critic_untrained": 0.3,
    },
    "P08:needless": _NEEDLESS,
    "P09:needless": {**_NEEDLESS, "std_large": 0.7},
    "P09": {"ent_high": 0.8, "actions_unscaled": 0.5, "out_of_step": 0.4, "lr_high": 0.3, "rollout_short": 0.2, "gamma_low": 0.2},
    "P10": {"actions_unscaled": 0.7, "std_large": 0.6, "ent_high": 0.5, "lr_high": 0.3},
    "V01": _BLIND_CRITIC,
    "V03": {
        "critic_untrained": 0.6, "reward_large": 0.6, "ends_bootstrapped": 0.5, "lr_low": 0.4, "lr_high": 0.3, "gamma_high": 0.3,
        "time_limit_as_end": 0.3, "obs_scale": 0.3, "few_updates": 0.3, "lambda_low": 0.3, "clip_vf_small": 0.5, "eps_large": 0.4,
    },
    "V04:large": {"reward_large": 0.95},
    "V04:small": {"reward_small": 0.9},
    "V04:outliers": {"reward_outliers": 0.9, "gamma_high": 0.3},
    "V05": {"lr_high": 0.6, "gamma_high": 0.4, "reward_large": 0.4, "reward_outliers": 0.4},
    "V06": {"lr_high": 0.5, "rollout_small": 0.5, "batch_small": 0.4, "gamma_high": 0.2},
    "O01": {"reward_outliers": 0.5, "lr_high": 0.4, "reward_large": 0.4, "critic_dominates": 0.3},
    "O03": {"units_dead": 0.6, "epochs_many": 0.6, "lr_high": 0.6, "obs_scale": 0.5},
    "A01:raw": {"adv_raw": 0.95, "reward_large": 0.4},
    "A01": {
        "critic_untrained": 0.5, "reward_large": 0.5, "ends_bootstrapped": 0.5, "gamma_high": 0.3, "lr_low": 0.3, "lr_high": 0.3,
        "obs_scale": 0.3, "few_updates": 0.3, "lambda_low": 0.4, "clip_vf_small": 0.5, "eps_large": 0.4,
    },
    "N01": {"obs_scale": 0.9},
    "N01:clipped": {"normalizer_frozen": 0.7, "obs_outliers": 0.3},
    "T01:bootstrapped": {"ends_bootstrapped": 0.95},
    "T01:cut": {"ends_bootstrapped": 0.9},
    "T01:limit": {"time_limit_as_end": 0.9},
    "T02:gamma": {"gamma_low": 0.95},
    "T02:rollout": {"rollout_short": 0.95},
    "T02:short": {"gamma_low": 0.7, "lambda_low": 0.3},
    "T02:lambda": {"lambda_low": 0.9},
    "T02:far": {"gamma_high": 0.8},
    "T02:endless": {"gamma_high": 0.95},
    "T03": {"resets_together": 0.9, "rollout_small": 0.5, "rollout_short": 0.5},
    "S01": {"few_updates": 0.95, "lr_low": 0.5, "batch_large": 0.4, "epochs_few": 0.3},
    "S01:travel": {"schedule_short": 0.9, "lr_low": 0.85, "batch_large": 0.8, "epochs_few": 0.7, "few_updates": 0.6},
    "S02:over": {"batch_over_pool": 0.9},
    "S02:ragged": {"batch_ragged": 0.9},
    "S03": {"rollout_small": 0.6, "lr_high": 0.5, "batch_small": 0.4},
    **{f"S04:{variant}": {cause: 0.95} for variant, cause in (
        ("learning_rate.low", "lr_low"), ("learning_rate.high", "lr_high"), ("batch_size.low", "batch_small"),
        ("batch_size.high", "batch_large"), ("n_epochs.low", "epochs_few"), ("n_epochs.high", "epochs_many"),
        ("gae_lambda.low", "lambda_low"), ("clip_range.low", "clip_small"), ("clip_range.high", "clip_large"),
        ("clip_range_vf.low", "clip_vf_small"), ("ent_coef.high", "ent_high"), ("vf_coef.low", "critic_untrained"),
        ("vf_coef.high", "critic_dominates"), ("max_grad_norm.low", "grad_clip_small"),
        ("target_kl.low", "target_kl_small"), ("adam_eps.high", "eps_large"),
    )},
    "S05": {"eval_rare": 0.95, "few_updates": 0.5},
    "L01:dead": {"schedule_short": 0.95},
    "L01:leap": {"resume_leap": 0.9},
    "R01": _NO_PROGRESS,
    "R02": _LOST,
    "R03": {"out_of_step": 0.4, "eval_differs": 0.6, "noise_needed": 0.5, "normalizer_frozen": 0.5, "reward_hacking": 0.4},
    "R04:never": {
        "sparse_reward": 0.8, "action_ignored": 0.4, "lr_high": 0.4, "reward_large": 0.3, "out_of_step": 0.3, "ent_low": 0.3,
        "more_budget": 0.3, "obs_scale": 0.3,
    },
    "R04:constant": {"maximum_reached": 0.8, "sparse_reward": 0.3},
    "F01:share": {"update_work": 0.8, "batch_tiny": 0.6, "device": 0.3},
    "F01:slowing": {"leak": 0.6, "machine_busy": 0.6, "longer_episodes": 0.3},
    "F01:suspected": {"update_work": 0.5, "env_heavy": 0.5},
    "F02": {"env_heavy": 0.9},
}  # fmt: skip


def suspects(code: str, variant: str = "") -> tuple[Suspect, ...]:
    """The causes that a finding suspects."""
    weights = TABLE.get(f"{code}:{variant}") or TABLE.get(code, {})
    return tuple(Suspect(cause, weight) for cause, weight in weights.items())
