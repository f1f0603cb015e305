"""Exact changes of settings, each from what the run itself shows. None where nothing exact can be said."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from upswing.doctor.case import Case
from upswing.doctor.findings import Change
from upswing.doctor.rules.policy import clip_scale, target_kl
from upswing.doctor.rules.world import episode_length
from upswing.doctor.shape import schedule_of, shape_of
from upswing.doctor.stats import median

MOST_BUDGET = 4.0  # times the budget: more is not a change but another experiment
LOW_RATE, USUAL_RATE = 1e-4, 3e-4
USUAL_KL = 0.015  # where updates of healthy runs lie, at a clip range of 0.2


def none(case: Case) -> Change | None:
    """No setting mends it: the cause's text says what to do."""
    return None


def rounded(value: float) -> float:
    """`value` to two significant digits."""
    return float(f"{value:.1e}")


def rescaled(setting: Any, factor: float) -> Any:
    """A learning rate or another schedule, multiplied by `factor`; None where it cannot be told."""
    if isinstance(setting, int | float):
        return rounded(setting * factor)
    if not isinstance(setting, str):
        return None
    kind, _, rest = setting.replace("lin_", "linear:", 1).partition(":")
    try:
        if kind == "piecewise":
            points = (point.split("=") for point in rest.split(","))
            return "piecewise:" + ",".join(f"{at}={rounded(float(value) * factor):g}" for at, value in points)
        if kind == "adaptive":
            first, *others = rest.split(":")
            return ":".join([kind, f"{rounded(float(first) * factor):g}", *others])
        return ":".join([kind, *(f"{rounded(float(part) * factor):g}" for part in rest.split(":"))])
    except ValueError:
        return None


def start_of(setting: Any) -> float | None:
    """The value a schedule begins with; None where it cannot be told."""
    schedule = schedule_of(setting, "learning_rate") if setting is not None else None
    return schedule.start if schedule is not None else None


def _rate(case: Case) -> Any:
    setting = case.series.setting("learning_rate")
    if setting is not None:
        return setting
    logged = case.series.column("train/learning_rate")
    return float(np.nanmax(logged)) if np.isfinite(logged).any() else None


def lower_rate(case: Case) -> Change | None:
    """A learning rate that brings the KL back: KL grows about as the square of the rate until the clip catches it."""
    old, kl = _rate(case), case.over_run("train/approx_kl")
    aim = target_kl(case) or USUAL_KL * median(clip_scale(case))
    if math.isfinite(kl) and kl > aim:
        factor = min(0.5, max(0.03, (aim / kl) ** 0.75))
    else:
        start = start_of(old)
        factor = 1e-3 / start if start is not None and start > 3e-3 else 0.5
    return _scaled("learning_rate", old, factor)


def raise_rate(case: Case) -> Change | None:
    """A learning rate that lets updates move the policy, at most 30 times the old; a tiny one becomes a usual one."""
    old, kl = (
        _rate(case),
        median(case.series.column("train/approx_kl")[case.warm : max(case.warm + 3, int(0.6 * case.n))]),
    )
    aim = target_kl(case) or 0.5 * USUAL_KL * median(clip_scale(case))
    factor = 2.0
    if math.isfinite(kl) and 0 < kl < aim:
        factor = min(30.0, max(2.0, math.sqrt(aim / kl)))
    start = start_of(old)
    if start is not None and 0 < start < LOW_RATE:
        factor = max(factor, min(100.0, USUAL_RATE / start))
    return _scaled("learning_rate", old, factor)


def longer_schedule(case: Case) -> Change | None:
    """A learning rate that falls over the whole run."""
    old = _rate(case)
    start = old if isinstance(old, int | float) else start_of(old)
    return Change("learning_rate", old, f"linear:{start:g}", True) if start else None


def _scaled(field: str, old: Any, factor: float) -> Change | None:
    new = rescaled(old, factor)
    return None if new is None else Change(field, old, new, True)


def fewer_epochs(case: Case) -> Change | None:
    """Fewer passes over a rollout: down to Stable-Baselines3's 10, or half of what it is."""
    old = case.series.setting("n_epochs")
    if not old or old <= 1:
        return None
    return Change("n_epochs", old, 10 if old > 20 else max(1, old // 2), True)


def more_epochs(case: Case) -> Change | None:
    """Twice the passes over a rollout, at most 10."""
    old = case.series.setting("n_epochs")
    return Change("n_epochs", old, min(10, 2 * old), True) if old and old < 10 else None


def _batch(case: Case) -> tuple[int | None, int | None]:
    shape = shape_of(case.series)
    return shape.batch_size, round(shape.pool) if shape.pool else None


def larger_batch(case: Case) -> Change | None:
    """Four times the minibatch, at most the rollout."""
    batch, pool = _batch(case)
    if not batch or (pool and batch >= pool):
        return None
    return Change("batch_size", batch, min(4 * batch, pool or 4 * batch))


def smaller_batch(case: Case) -> Change | None:
    """A quarter of the minibatch."""
    return _down_to(32, case)


def batch_to_pool(case: Case) -> Change | None:
    """The batch that is used in fact."""
    batch, pool = _batch(case)
    return Change("batch_size", batch, pool) if batch and pool else None


def even_batch(case: Case) -> Change | None:
    """The divisor of the rollout that lies nearest to the batch size."""
    batch, pool = _batch(case)
    if not batch or not pool or pool % batch == 0:
        return None
    divisors = [d for n in range(1, math.isqrt(pool) + 1) if pool % n == 0 for d in (n, pool // n)]
    return Change("batch_size", batch, min(divisors, key=lambda d: abs(math.log(d / batch))))


def more_updates(case: Case) -> Change | None:
    """About 50 updates from fewer environments or shorter rollouts; where updates are plenty, more gradient steps in each;
    else a larger budget, at most MOST_BUDGET times the old."""
    shape, n_envs, n_steps = shape_of(case.series), case.series.setting("n_envs"), case.series.setting("n_steps")
    total = case.series.setting("total_timesteps")
    factor = 50 / max(1.0, shape.iterations or 50)
    if factor > 1.2:
        cut = [
            Change(name, old, new)
            for name, old, least in (("n_envs", n_envs, 8), ("n_steps", n_steps, 64))
            if isinstance(old, int) and (new := max(least, _power_of_two(old / factor))) < old
        ]
        deepest = max(cut, key=lambda change: change.old / change.new, default=None)
        if deepest is not None and deepest.old / deepest.new >= min(3.0, factor):
            return deepest
    if factor <= 1.2 and (busier := more_epochs(case) or _down_to(64, case)) is not None:
        return busier
    if not isinstance(total, int | float):
        return None
    wanted = max(factor, 3.0 / (shape.travel or 3.0), 2.0)
    return Change("total_timesteps", total, int(rounded(total * min(MOST_BUDGET, wanted))))


def _down_to(size: int, case: Case) -> Change | None:
    batch, _ = _batch(case)
    return Change("batch_size", batch, max(size, batch // 4)) if batch and batch > size else None


def _power_of_two(value: float) -> int:
    return 2 ** max(0, math.floor(math.log2(max(1.0, value))))


def more_steps(case: Case) -> Change | None:
    """Twice the budget."""
    total = case.series.setting("total_timesteps")
    return Change("total_timesteps", total, int(2 * total)) if isinstance(total, int | float) else None


def longer_rollout(case: Case) -> Change | None:
    """Rollouts that see most of the weight that GAE gives to the future, or a whole episode where that is shorter."""
    n, gamma, lam = (case.series.setting(name) for name in ("n_steps", "gamma", "gae_lambda"))
    if not isinstance(n, int):
        return None
    reach = 1.0 / max(1e-6, 1.0 - (gamma or 0.99) * (lam if lam is not None else 0.95))
    length = episode_length(case)
    wanted = max(4 * n, 6.0 * reach) if length is None else max(4 * n, min(6.0 * reach, 2.0 * length))
    return Change("n_steps", n, 2 ** math.ceil(math.log2(wanted)))


def larger_rollout(case: Case) -> Change | None:
    """Four times the rollout, through more environments."""
    n_envs = case.series.setting("n_envs")
    return Change("n_envs", n_envs, 4 * n_envs) if isinstance(n_envs, int) else None


def raise_gamma(case: Case) -> Change | None:
    """A horizon that fits the episodes: 0.99 for a hundred steps, 0.999 for thousands."""
    old, length = case.series.setting("gamma"), episode_length(case)
    if old is None:
        return None
    new = 0.999 if length is not None and length > 600 else 0.99
    return Change("gamma", old, new) if new > old else Change("gamma", old, 0.999)


def lower_gamma(case: Case) -> Change | None:
    """A shorter horizon."""
    old = case.series.setting("gamma")
    return Change("gamma", old, 0.99 if old and old > 0.99 else 0.98) if old else None


def raise_lambda(case: Case) -> Change | None:
    """The usual λ."""
    old = case.series.setting("gae_lambda")
    return Change("gae_lambda", old, 0.95) if old is not None and old < 0.95 else None


def lower_entropy(case: Case) -> Change | None:
    """A tenth of the entropy bonus, at most 0.01, which is much in most recipes."""
    old = case.series.setting("ent_coef")
    if isinstance(old, int | float) and old > 0.1:
        return Change("ent_coef", old, 0.01, True)
    return None if old == 0 else _scaled("ent_coef", old, 0.1)


def raise_entropy(case: Case) -> Change | None:
    """Twice the entropy bonus, 0.01 where there was none."""
    old = case.series.setting("ent_coef")
    if isinstance(old, int | float) and old < 0.001:
        return Change("ent_coef", old, 0.01, True)
    return _scaled("ent_coef", old, 2.0)


def usual_clip(case: Case) -> Change | None:
    """The usual clip range."""
    old = case.series.setting("clip_range")
    return Change("clip_range", old, 0.2, True) if start_of(old) not in (None, 0.2) else None


def raise_target_kl(case: Case) -> Change | None:
    """A KL limit that lets epochs finish."""
    old = case.series.setting("target_kl")
    return (
        Change("target_kl", old, max(0.03, rounded(3 * old)) if old < 0.03 else None, True)
        if isinstance(old, int | float)
        else None
    )


def normalize_reward(case: Case) -> Change | None:
    """Scale rewards by the running spread of the discounted return."""
    return (
        None
        if case.series.setting("normalize_reward") is True
        else Change("normalize_reward", case.series.setting("normalize_reward"), True)
    )


def normalize_obs(case: Case) -> Change | None:
    """Scale observations by their running mean and standard deviation."""
    return (
        None
        if case.series.setting("normalize_obs") is True
        else Change("normalize_obs", case.series.setting("normalize_obs"), True)
    )


def normalize_advantage(case: Case) -> Change | None:
    """Normalise advantages."""
    return None if case.series.setting("normalize_advantage") is True else Change("normalize_advantage", False, True)


def real_ends(case: Case) -> Change | None:
    """Let terminations end the return."""
    return (
        Change("bootstrap_terminations", True, False) if case.series.setting("bootstrap_terminations") is True else None
    )


def train_critic(case: Case) -> Change | None:
    """The usual weight of the value loss."""
    old = case.series.setting("vf_coef")
    return Change("vf_coef", old, 0.5) if isinstance(old, int | float) and not 0.1 <= old <= 1.0 else None


def larger_critic(case: Case) -> Change | None:
    """A wider value network."""
    kwargs = case.series.setting("policy_kwargs", {})
    old = kwargs.get("net_arch", [64, 64]) if isinstance(kwargs, dict) else None
    actor = old.get("pi", [64, 64]) if isinstance(old, dict) else old
    return Change("policy_kwargs.net_arch", old, {"pi": actor, "vf": [256, 256]}) if actor is not None else None


def usual_std(case: Case) -> Change | None:
    """The usual initial σ of 1, that is, a logarithm of 0."""
    kwargs = case.series.setting("policy_kwargs", {})
    old = kwargs.get("log_std_init", 0.0) if isinstance(kwargs, dict) else None
    return Change("policy_kwargs.log_std_init", old, 0.0) if old != 0.0 else None


def usual_eps(case: Case) -> Change | None:
    """The usual ε of Adam."""
    old = case.series.setting("adam_eps")
    return Change("adam_eps", old, 1e-5) if isinstance(old, int | float) and old > 1e-3 else None


def no_value_clip(case: Case) -> Change | None:
    """The critic's values left free."""
    old = case.series.setting("clip_range_vf")
    return Change("clip_range_vf", old, None) if old is not None else None


def usual_network(case: Case) -> Change | None:
    """Two hidden layers of 64 units."""
    kwargs = case.series.setting("policy_kwargs", {})
    old = kwargs.get("net_arch") if isinstance(kwargs, dict) else None
    return Change("policy_kwargs.net_arch", old, [64, 64]) if old is not None else None


def usual_grad_clip(case: Case) -> Change | None:
    """The usual gradient clip."""
    old = case.series.setting("max_grad_norm")
    return Change("max_grad_norm", old, 0.5) if isinstance(old, int | float) and old < 0.1 else None


def evaluate_often(case: Case) -> Change | None:
    """Twenty evaluations over the run."""
    shape = shape_of(case.series)
    if shape.total is None:
        return None
    every = max(shape.pool or 1.0, shape.total / 20)
    return Change("eval_freq", case.series.setting("eval_freq"), int(every))


def more_workers(case: Case) -> Change | None:
    """Let the measurement choose how environments are stepped."""
    old = case.series.setting("vectorization")
    return Change("vectorization", old, "auto") if old not in (None, "auto") else None
