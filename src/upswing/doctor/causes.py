"""Every cause the doctor can name: how much a run's settings and figures speak for it, and what to change then.

A rule suspects causes by what it sees; the run's own settings then decide between them: a learning rate of 3e-2 is a
likelier culprit than one of 3e-4. The tables say how likely, between 0 and 1, as straight lines between points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from upswing.doctor import remedies
from upswing.doctor.case import Case
from upswing.doctor.findings import Change
from upswing.doctor.returns import FLAT
from upswing.doctor.rules.policy import adaptive_parts, limit_acted, target_kl
from upswing.doctor.rules.value import target_variance
from upswing.doctor.rules.world import episode_length
from upswing.doctor.shape import budget, mean_rate, shape_of
from upswing.doctor.stats import median

Plausibility = Callable[[Case], float | None]
"""How much speaks for a cause, 0 to 1; None where nothing tells."""


@dataclass(frozen=True)
class Cause:
    """Something that can be wrong."""

    plausible: Plausibility
    change: Callable[[Case], Change | None]
    family: int = 3  # 0 bug, 1 environment and reward, 2 scale, 3 optimisation: the order of suspicion
    by_setting: bool = False  # plausible by the run's settings, not by what was seen to happen


def along(value: float | None, *points: tuple[float, float], log: bool = True) -> float | None:
    """The likelihood at `value` on straight lines through (value, likelihood) `points`; on a logarithmic axis."""
    if value is None or not math.isfinite(value):
        return None
    xs, ys = zip(*points, strict=True)
    if log:
        return float(np.interp(math.log10(max(value, 1e-30)), [math.log10(x) for x in xs], ys))
    return float(np.interp(value, xs, ys))


def setting(name: str, *points: tuple[float, float], log: bool = True) -> Plausibility:
    """The likelihood by the number that setting `name` has; 0 where it is known to be off, None where it is unknown."""

    def plausible(case: Case) -> float | None:
        if case.series.is_off(name):
            return 0.0
        value = case.series.setting(name)
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
        return along(number, *points, log=log)

    return plausible


def flag(name: str, when: bool, otherwise: float = 0.03) -> Plausibility:
    """0.97 where the switch `name` is `when`, `otherwise` where it is not; None where it is unknown."""

    def plausible(case: Case) -> float | None:
        value = case.series.setting(name)
        return None if value is None else (0.97 if bool(value) == when else otherwise)

    return plausible


def fixed(value: float) -> Plausibility:
    """A cause for which settings say nothing."""
    return lambda case: value


def start_rate(case: Case) -> float | None:
    """The learning rate the run began with: the largest logged, else the mean of the plan."""
    logged = case.series.column("train/learning_rate")
    return float(np.nanmax(logged)) if np.isfinite(logged).any() else mean_rate(case.series)


def _rate_high(case: Case) -> float | None:
    if adaptive_parts(case) is not None:
        return 0.4  # it finds its own size, whatever that is
    return along(start_rate(case), (1e-4, 0.1), (3e-4, 0.3), (1e-3, 0.5), (3e-3, 0.8), (1e-2, 0.95), (3e-2, 0.99))


def _rate_low(case: Case) -> float | None:
    by_rate = along(start_rate(case), (3e-6, 0.98), (1e-5, 0.93), (3e-5, 0.7), (1e-4, 0.35), (3e-4, 0.1), (1e-3, 0.03))
    by_travel = along(shape_of(case.series).travel, (0.1, 0.9), (0.5, 0.6), (1.0, 0.4), (3.0, 0.1))
    if by_rate is None or by_travel is None:
        return by_rate
    return min(by_rate, 0.3 + 0.7 * by_travel) if by_travel < 0.15 else by_rate


def _epochs_many(case: Case) -> float | None:
    return along(case.series.setting("n_epochs"), (4, 0.1), (10, 0.25), (20, 0.45), (40, 0.8), (80, 0.97))


def _few_updates(case: Case) -> float | None:
    shape = shape_of(case.series)
    by_iterations = along(shape.iterations, (2, 0.99), (10, 0.93), (20, 0.75), (40, 0.3), (100, 0.08))
    by_travel = along(shape.travel, (0.05, 0.5), (0.5, 0.45), (1.0, 0.35), (3.0, 0.1))
    known = [value for value in (by_iterations, by_travel) if value is not None]
    return max(known) if known else None


def batch(*points: tuple[float, float]) -> Plausibility:
    """The likelihood by the size of a minibatch, however it was set."""
    return lambda case: along(shape_of(case.series).batch_size, *points)


def _target_kl_small(case: Case) -> float | None:
    return 0.0 if limit_acted(case) is False else _BY_TARGET(case)


_BY_TARGET = setting("target_kl", (1e-4, 0.97), (1e-3, 0.9), (3e-3, 0.5), (0.01, 0.2), (0.03, 0.05))


def _gamma_low(case: Case) -> float | None:
    gamma = case.series.setting("gamma")
    if gamma is None:
        return None
    length = episode_length(case) or 200.0
    share = (1.0 / max(1e-6, 1.0 - gamma)) / length
    base = along(gamma, (0.5, 0.98), (0.7, 0.9), (0.8, 0.55), (0.9, 0.35), (0.95, 0.2), (0.99, 0.05), log=False)
    return max(
        base or 0.0, (along(share, (0.005, 0.9), (0.02, 0.6), (0.1, 0.3), (0.5, 0.05)) or 0.0) if gamma < 0.98 else 0.0
    )


def _rollout_short(case: Case) -> float | None:
    gamma, lam, n = (case.series.setting(name) for name in ("gamma", "gae_lambda", "n_steps"))
    if n is None:
        return None
    seen = 1.0 - ((gamma or 0.99) * (lam if lam is not None else 0.95)) ** n
    return along(seen, (0.15, 0.95), (0.25, 0.9), (0.35, 0.6), (0.5, 0.25), (0.7, 0.08), log=False)


def _reward_large(case: Case) -> float | None:
    if case.series.setting("normalize_reward") is True:
        return 0.03
    return along(return_size(case), (10, 0.05), (100, 0.2), (1e3, 0.5), (1e4, 0.95), (1e6, 0.99))


def _reward_small(case: Case) -> float | None:
    if case.series.setting("normalize_reward") is True:
        return 0.03
    return along(
        return_size(case), (1e-9, 0.0), (1e-8, 0.98), (1e-3, 0.95), (1e-2, 0.9), (0.05, 0.5), (0.3, 0.1), (1.0, 0.03)
    )


def return_size(case: Case) -> float | None:
    """The size of the critic's targets early in the run, when they still varied; None where unknown."""
    size = np.sqrt(target_variance(case))
    if case.series.has("train/return_mean"):
        size = np.hypot(size, case.series.column("train/return_mean"))
    known = size[np.isfinite(size)]
    return float(np.quantile(known, 0.75)) if len(known) else None


def _adv_raw(case: Case) -> float | None:
    known = flag("normalize_advantage", False)(case)
    if known is not None:
        return known
    loss = np.abs(case.series.column("train/policy_gradient_loss"))
    return None if not np.isfinite(loss).any() else (0.9 if median(loss) > 0.5 else 0.1)


def _critic_untrained(case: Case) -> float | None:
    by_weight = setting("vf_coef", (1e-4, 0.98), (0.01, 0.9), (0.05, 0.5), (0.15, 0.15), (0.5, 0.08))(case)
    if case.series.setting("vf_coef") == 0:
        return 0.99
    explained = case.series.column("train/explained_variance")
    never = np.isfinite(explained).any() and float(np.nanmax(explained)) < 0.1
    return max(by_weight or 0.0, 0.45 if never else 0.05)


def _obs_scale(case: Case) -> float | None:
    if case.series.setting("normalize_obs") is True:
        return 0.03
    if case.series.has("rollout/obs_std_max"):
        size = max(
            case.now("rollout/obs_std_max"),
            case.now("rollout/obs_offset") if case.series.has("rollout/obs_offset") else 0,
        )
        return along(size, (2, 0.05), (10, 0.4), (30, 0.85), (100, 0.97))
    return 0.5 if (_no_learning(case) or 0.0) > 0.5 else 0.3  # not seen: likelier where nothing at all is learned


def _no_learning(case: Case) -> float | None:
    """Rewards that have nothing to do with actions leave a policy that moves and a critic that cannot foresee."""
    explained = case.series.column("train/explained_variance")
    if not np.isfinite(explained).any():
        return None
    best = float(np.nanmax(explained[case.warm :])) if case.n > case.warm else float(np.nanmax(explained))
    blind = along(max(best, 0.0), (0.0, 0.75), (0.1, 0.65), (0.3, 0.35), (0.6, 0.12), log=False) or 0.0
    return blind if case.returns.state == FLAT else 0.4 * blind


def _stale(case: Case) -> float | None:
    if case.series.has("train/ratio_error"):
        return 0.98 if case.over_run("train/ratio_error") > 1e-4 else 0.01
    kl, rate = case.over_run("train/approx_kl"), start_rate(case)
    if not math.isfinite(kl) or rate is None:
        return None
    target = target_kl(case) or 0.05
    unexplained = kl > target and rate <= 1e-3 and (case.series.setting("n_epochs") or 10) <= 20
    return 0.6 if unexplained else 0.1


def _net_small(case: Case) -> float | None:
    kwargs = case.series.setting("policy_kwargs")
    widths = network_widths(kwargs.get("net_arch", [64])) if isinstance(kwargs, dict) else []
    return along(min(widths), (1, 0.97), (2, 0.9), (4, 0.6), (8, 0.3), (16, 0.08)) if widths else None


def network_widths(arch: object) -> list[int]:
    """The widths of the hidden layers that `net_arch` names, however it is nested."""
    parts = arch.values() if isinstance(arch, dict) else arch if isinstance(arch, list | tuple) else ()
    return [w for part in parts for w in ([part] if isinstance(part, int) else network_widths(part)) if w > 0]


def _units_dead(case: Case) -> float | None:
    silent = case.series.column("train/dormant_units")
    silent = silent[np.isfinite(silent)]
    return along(float(silent[0]), (0.3, 0.1), (0.6, 0.6), (0.95, 0.97), log=False) if len(silent) else None


def _std(case: Case, *points: tuple[float, float]) -> float | None:
    if case.discrete is True:
        return 0.0
    std = case.series.column("train/std")
    known = std[np.isfinite(std)]
    return along(float(known[0]), *points) if len(known) else None


def _more_budget(case: Case) -> float | None:
    high = case.returns.slope[1]
    return 0.6 if math.isfinite(high) and high * budget(case.series) > 0.1 * max(case.returns.range, 1e-9) else 0.15


def _normalizer_frozen(case: Case) -> float | None:
    if case.series.has("rollout/obs_clipped"):
        return along(case.now("rollout/obs_clipped"), (0.005, 0.1), (0.05, 0.6), (0.2, 0.9), log=True)
    return 0.3 if case.series.setting("normalize_obs") is not False else 0.05


def _noise_needed(case: Case) -> float | None:
    """Speaks for it: the policy is still far from deterministic, so that its most likely action is but one of several."""
    entropy = -case.series.column("train/entropy_loss")
    known = entropy[np.isfinite(entropy)]
    if (case.discrete is not True and case.discrete is not None) or not len(known) or known.max() <= 0:
        return 0.3
    return along(median(known[-case.width :]) / known.max(), (0.05, 0.1), (0.3, 0.5), (0.7, 0.7), log=False)


def _sparse(case: Case) -> float | None:
    tag = "rollout/iteration_rew_mean" if case.series.has("rollout/iteration_rew_mean") else "rollout/ep_rew_mean"
    values = case.series.column(tag)
    values = values[np.isfinite(values)]
    if len(values) < 5:
        return None
    same = float((np.abs(values - median(values)) < 1e-9 * max(1.0, abs(median(values)))).mean())
    return along(same, (0.0, 0.08), (0.5, 0.5), (0.9, 0.9), log=False)


CAUSES: dict[str, Cause] = {
    # bugs
    "stale_log_prob": Cause(_stale, remedies.none, 0),
    "normalizer_moved": Cause(flag("normalize_obs", True, 0.1), remedies.none, 0),
    "dropout": Cause(fixed(0.2), remedies.none, 0),
    "mask_bug": Cause(fixed(0.4), remedies.none, 0),
    "not_in_optimiser": Cause(fixed(0.6), remedies.none, 0),
    "no_advantage": Cause(fixed(0.4), remedies.none, 0),
    "bad_numbers": Cause(fixed(0.5), remedies.none, 1),
    # environment and reward
    "out_of_step": Cause(_no_learning, remedies.none, 1),
    "sparse_reward": Cause(_sparse, remedies.none, 1),
    "reward_outliers": Cause(fixed(0.3), remedies.normalize_reward, 1),
    "reward_hacking": Cause(fixed(0.25), remedies.none, 1),
    "action_ignored": Cause(fixed(0.3), remedies.none, 1),
    "time_limit_as_end": Cause(fixed(0.3), remedies.none, 1),
    "ends_bootstrapped": Cause(flag("bootstrap_terminations", True), remedies.real_ends, 1, by_setting=True),
    "resets_together": Cause(fixed(0.3), remedies.longer_rollout, 1),
    "maximum_reached": Cause(fixed(0.6), remedies.none, 1),
    "eval_differs": Cause(fixed(0.4), remedies.none, 1),
    "noise_needed": Cause(_noise_needed, remedies.none, 1),
    # scale
    "reward_large": Cause(_reward_large, remedies.normalize_reward, 2),
    "reward_small": Cause(_reward_small, remedies.normalize_reward, 2),
    "adv_raw": Cause(_adv_raw, remedies.normalize_advantage, 2, by_setting=True),
    "obs_scale": Cause(_obs_scale, remedies.normalize_obs, 2),
    "obs_outliers": Cause(fixed(0.3), remedies.none, 2),
    "normalizer_frozen": Cause(_normalizer_frozen, remedies.none, 2),
    "actions_unscaled": Cause(lambda case: 0.0 if case.discrete is True else 0.3, remedies.none, 2),
    # optimisation
    "lr_high": Cause(_rate_high, remedies.lower_rate, by_setting=True),
    "lr_low": Cause(_rate_low, remedies.raise_rate, by_setting=True),
    "epochs_many": Cause(_epochs_many, remedies.fewer_epochs, by_setting=True),
    "epochs_few": Cause(setting("n_epochs", (1, 0.6), (2, 0.4), (4, 0.1)), remedies.more_epochs),
    "batch_small": Cause(
        batch((4, 0.9), (16, 0.5), (32, 0.25), (64, 0.12), (256, 0.05)),
        remedies.larger_batch,
        by_setting=True,
    ),
    "batch_tiny": Cause(batch((8, 0.95), (64, 0.6), (256, 0.3), (2048, 0.05)), remedies.larger_batch),
    "batch_large": Cause(batch((512, 0.05), (4096, 0.3), (32768, 0.7)), remedies.smaller_batch, by_setting=True),
    "batch_over_pool": Cause(fixed(0.9), remedies.batch_to_pool),
    "batch_ragged": Cause(fixed(0.9), remedies.even_batch),
    "few_updates": Cause(_few_updates, remedies.more_updates, by_setting=True),
    "more_budget": Cause(_more_budget, remedies.more_steps),
    "rollout_short": Cause(_rollout_short, remedies.longer_rollout, by_setting=True),
    "rollout_small": Cause(
        lambda case: along(case.series.pool, (16, 0.8), (128, 0.4), (1024, 0.15), (8192, 0.05)), remedies.larger_rollout
    ),
    "gamma_low": Cause(_gamma_low, remedies.raise_gamma, by_setting=True),
    "gamma_high": Cause(
        setting("gamma", (0.99, 0.05), (0.995, 0.15), (0.999, 0.3), (0.9999, 0.7), (1.0, 0.85), log=False),
        remedies.lower_gamma,
        by_setting=True,
    ),
    "lambda_low": Cause(
        setting("gae_lambda", (0.0, 0.95), (0.3, 0.8), (0.6, 0.4), (0.8, 0.1), (0.95, 0.03), log=False),
        remedies.raise_lambda,
        by_setting=True,
    ),
    "ent_high": Cause(
        setting("ent_coef", (0.003, 0.03), (0.01, 0.1), (0.03, 0.35), (0.1, 0.8), (0.3, 0.95), (1.0, 0.99)),
        remedies.lower_entropy,
        by_setting=True,
    ),
    "ent_low": Cause(setting("ent_coef", (1e-9, 0.4), (1e-3, 0.3), (0.01, 0.1), (0.1, 0.02)), remedies.raise_entropy),
    "clip_small": Cause(
        setting("clip_range", (0.005, 0.97), (0.02, 0.9), (0.05, 0.5), (0.1, 0.12), (0.2, 0.03)),
        remedies.usual_clip,
        by_setting=True,
    ),
    "clip_large": Cause(
        setting("clip_range", (0.2, 0.05), (0.4, 0.2), (0.6, 0.6), (1.0, 0.9)), remedies.usual_clip, by_setting=True
    ),
    "target_kl_small": Cause(_target_kl_small, remedies.raise_target_kl, by_setting=True),
    "critic_untrained": Cause(_critic_untrained, remedies.train_critic, by_setting=True),
    "critic_dominates": Cause(
        setting("vf_coef", (0.5, 0.1), (1.0, 0.2), (5.0, 0.7), (50.0, 0.95)), remedies.train_critic, by_setting=True
    ),
    "critic_small": Cause(fixed(0.12), remedies.larger_critic),
    "std_large": Cause(lambda case: _std(case, (1.0, 0.1), (2.0, 0.4), (5.0, 0.85), (10.0, 0.95)), remedies.usual_std),
    "std_small": Cause(
        lambda case: _std(case, (1e-3, 0.95), (0.01, 0.8), (0.05, 0.3), (0.3, 0.05)), remedies.usual_std
    ),
    "grad_clip_small": Cause(
        setting("max_grad_norm", (1e-4, 0.7), (1e-2, 0.3), (0.1, 0.05)), remedies.usual_grad_clip, by_setting=True
    ),
    "schedule_short": Cause(fixed(0.1), remedies.none),
    "resume_leap": Cause(fixed(0.8), remedies.none),
    "eval_rare": Cause(fixed(0.9), remedies.evaluate_often),
    "eps_large": Cause(
        setting("adam_eps", (1e-5, 0.02), (1e-3, 0.2), (1e-2, 0.6), (0.1, 0.93), (1.0, 0.98)),
        remedies.usual_eps,
        by_setting=True,
    ),
    "clip_vf_small": Cause(
        setting("clip_range_vf", (1e-3, 0.95), (1e-2, 0.8), (0.1, 0.4), (0.2, 0.15), (1.0, 0.05)),
        remedies.no_value_clip,
        by_setting=True,
    ),
    "net_small": Cause(_net_small, remedies.usual_network, by_setting=True),
    "units_dead": Cause(_units_dead, remedies.none, 2),
    # speed
    "update_work": Cause(_epochs_many, remedies.fewer_epochs),
    "device": Cause(fixed(0.2), remedies.none),
    "env_heavy": Cause(fixed(0.6), remedies.more_workers),
    "leak": Cause(fixed(0.4), remedies.none),
    "machine_busy": Cause(fixed(0.5), remedies.none),
    "longer_episodes": Cause(fixed(0.3), remedies.none),
}
