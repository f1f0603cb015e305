"""How much a run's settings and figures speak for each cause, between 0 and 1: tables are straight lines between points.

A learning rate of 3e-2 is a likelier culprit than one of 3e-4; a critic that never loses a constant error is hardly
trained. What healthy runs have lies below 0.6.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from upswing.doctor.case import Case
from upswing.doctor.returns import FALLEN, FLAT, UNKNOWN
from upswing.doctor.rules.policy import adaptive_parts, clip_scale, limit_acted, target_kl
from upswing.doctor.rules.setup import dead_share
from upswing.doctor.rules.value import lasting_bias, meaningful, target_variance
from upswing.doctor.rules.world import ended_at_most, ends_together, episode_length
from upswing.doctor.shape import budget, mean_rate, shape_of
from upswing.doctor.stats import jitter, median
from upswing.doctor.thresholds import limit

Plausibility = Callable[[Case], float | None]
"""How much speaks for a cause, 0 to 1; None where nothing tells."""


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


def rate_high(case: Case) -> float | None:
    """How much speaks for steps that are too long: the rate, or a KL far beyond the clip range whatever the rate."""
    if adaptive_parts(case) is not None:
        return 0.4  # it finds its own size, whatever that is
    by_rate = along(start_rate(case), (1e-4, 0.1), (3e-4, 0.3), (1e-3, 0.45), (3e-3, 0.62), (1e-2, 0.94), (3e-2, 0.99))
    if by_rate is None or small_steps(case):
        return by_rate if by_rate is None or by_rate > 0.6 else 0.5 * by_rate
    kl = case.series.column("train/approx_kl") / clip_scale(case)
    return max(
        by_rate, along(median(kl), (0.03, 0.0), (0.1, 0.4), (0.3, 0.6)) or 0.0
    )  # steps too long, whatever the rate


def small_steps(case: Case) -> bool:
    """Whether nine of ten updates moved the policy by less than half of what is too far: no rate was too high there."""
    kl = case.series.column("train/approx_kl")
    kl = (kl / clip_scale(case))[np.isfinite(kl)]
    return len(kl) >= 3 and float(np.quantile(kl, 0.9)) < 0.5 * limit("P01.warn")


def rate_low(case: Case) -> float | None:
    """How much speaks for steps that are too short: the rate, and how far the weights can travel in all."""
    by_rate = along(start_rate(case), (3e-6, 0.98), (1e-5, 0.93), (3e-5, 0.7), (1e-4, 0.35), (3e-4, 0.1), (1e-3, 0.03))
    by_travel = along(shape_of(case.series).travel, (0.1, 0.95), (0.3, 0.85), (1.0, 0.4), (3.0, 0.1))
    return by_rate if by_rate is None or by_travel is None or by_rate < 0.2 else 0.5 * (by_rate + by_travel)


def epochs_many(case: Case) -> float | None:
    """How much speaks for too many epochs, by their number."""
    return along(case.series.setting("n_epochs"), (4, 0.1), (10, 0.25), (20, 0.45), (40, 0.8), (80, 0.97))


def few_updates(case: Case) -> float | None:
    """How much speaks for too few updates, or too few gradient steps in all."""
    shape = shape_of(case.series)
    by_iterations = along(shape.iterations, (2, 0.99), (10, 0.93), (20, 0.75), (40, 0.3), (100, 0.08))
    by_steps = along(shape.gradient_steps, (100, 0.6), (1000, 0.35), (3000, 0.2), (10000, 0.05))
    known = [value for value in (by_iterations, by_steps) if value is not None]
    return max(known) if known else None


def batch(*points: tuple[float, float]) -> Plausibility:
    """The likelihood by the size of a minibatch, however it was set."""
    return lambda case: along(shape_of(case.series).batch_size, *points)


def batch_large(case: Case) -> float | None:
    """Minibatches that leave few gradient steps."""
    shape = shape_of(case.series)
    by_size = along(shape.batch_size, (256, 0.2), (1024, 0.8), (4096, 1.0))
    by_steps = along(shape.gradient_steps, (100, 0.97), (500, 0.9), (1500, 0.7), (3000, 0.35), (6000, 0.1))
    return None if by_size is None or by_steps is None else by_size * by_steps


def target_kl_small(case: Case) -> float | None:
    """How much speaks for a target_kl that ends epochs too soon: 0 where it never ended any."""
    return 0.0 if limit_acted(case) is False else _BY_TARGET(case)


_BY_TARGET = setting("target_kl", (1e-4, 0.97), (1e-3, 0.9), (3e-3, 0.5), (0.01, 0.2), (0.03, 0.05))


def gamma_low(case: Case) -> float | None:
    """How much speaks for a horizon that is short, by itself or beside an episode."""
    gamma = case.series.setting("gamma")
    if gamma is None:
        return None
    alone = along(gamma, (0.5, 0.98), (0.7, 0.9), (0.8, 0.55), (0.9, 0.35), (0.95, 0.2), (0.99, 0.05), log=False)
    length = episode_length(case)
    if length is None or gamma < 0.7 or gamma >= 0.98:
        return alone
    share = (1.0 / max(1e-6, 1.0 - gamma)) / length
    return along(share, (0.005, 0.95), (0.01, 0.9), (0.025, 0.7), (0.05, 0.43), (0.1, 0.25), (0.5, 0.05))


def gamma_high(case: Case) -> float | None:
    """A horizon of many episodes: a longer one than an episode is common, twenty times as long is not."""
    gamma, length = case.series.setting("gamma"), episode_length(case)
    alone = along(gamma, (0.99, 0.05), (0.995, 0.15), (0.999, 0.3), (0.9999, 0.6), (1.0, 0.85), log=False)
    if alone is None or length is None or gamma < 0.999:
        return alone
    return along(1.0 / max(1e-6, 1.0 - gamma) / length, (1.0, 0.1), (10.0, 0.5), (20.0, 0.7), (100.0, 0.85))


def rollout_short(case: Case) -> float | None:
    """How much speaks for rollouts that see little of what an advantage sums: by the weight 1 - (γλ)^n_steps within."""
    gamma, lam, n = (case.series.setting(name) for name in ("gamma", "gae_lambda", "n_steps"))
    if n is None:
        return None
    seen = 1.0 - ((gamma or 0.99) * (lam if lam is not None else 0.95)) ** n
    return along(seen, (0.15, 0.95), (0.25, 0.9), (0.35, 0.6), (0.5, 0.25), (0.7, 0.08), log=False)


def reward_large(case: Case) -> float | None:
    """How much speaks for rewards that are too large for the critic, by the size of its targets."""
    if case.series.setting("normalize_reward") is True:
        return 0.03
    return along(return_size(case), (10, 0.05), (100, 0.2), (1e3, 0.5), (1e4, 0.95), (1e6, 0.99))


def reward_small(case: Case) -> float | None:
    """How much speaks for rewards too small to be noticed, by the size of the critic's targets."""
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


def adv_raw(case: Case) -> float | None:
    """How much speaks for advantages that are not normalised: the switch, else the size of the policy loss."""
    known = flag("normalize_advantage", False)(case)
    if known is not None:
        return known
    loss = np.abs(case.series.column("train/policy_gradient_loss"))
    return None if not np.isfinite(loss).any() else (0.9 if median(loss) > 0.5 else 0.1)


def critic_untrained(case: Case) -> float | None:
    """Its weight in the loss; or a constant error that it never loses, as even a poor critic does in a few updates."""
    weight = case.series.setting("vf_coef")
    if weight == 0:
        return 0.99
    by_weight = setting("vf_coef", (1e-4, 0.98), (0.01, 0.9), (0.05, 0.5), (0.15, 0.15), (0.5, 0.08))(case) or 0.0
    excused = max(rate_low(case) or 0.0, few_updates(case) or 0.0)  # what keeps every critic from getting there
    reachable = along(return_size(case), (30, 1.0), (300, 0.4), (3000, 0.1)) or 0.5
    by_bias = along(lasting_bias(case), (0.25, 0.05), (0.45, 0.6), (0.6, 0.78), (1.0, 0.87), (2.0, 0.93)) or 0.05
    explained = case.series.column("train/explained_variance")
    never = 0.45 if np.isfinite(explained).any() and float(np.nanmax(explained)) < limit("V01.never") else 0.0
    return max(by_weight, never * reachable, by_bias * reachable * (1.0 - 0.8 * excused))


def obs_scale(case: Case) -> float | None:
    """How much speaks for observations of unsuitable size."""
    if case.series.setting("normalize_obs") is True:
        return 0.03
    if case.series.has("rollout/obs_std_max"):
        size = max(
            case.now("rollout/obs_std_max"),
            case.now("rollout/obs_offset") if case.series.has("rollout/obs_offset") else 0,
        )
        return along(size, (2, 0.05), (10, 0.4), (30, 0.85), (100, 0.97))
    return 0.5 if blindness(case) > 0.5 else 0.3  # not seen: likelier where nothing at all is learned


def blindness(case: Case) -> float:
    """How much speaks for returns that nothing seen foretells: the critic is right on average and explains nothing."""
    explained = np.where(meaningful(case), case.series.column("train/explained_variance"), np.nan)[case.n // 2 :]
    if not np.isfinite(explained).any():
        return 0.0
    blind = along(max(median(explained), 0.0), (0.0, 1.0), (0.1, 0.8), (0.3, 0.2), (0.6, 0.0), log=False) or 0.0
    bias = lasting_bias(case)
    return blind * (1.0 if bias is None else along(bias, (0.1, 1.0), (0.5, 0.4), (1.0, 0.2)) or 0.0)


def reward_outliers(case: Case) -> float | None:
    """The mean reward of a rollout leaps about by as much as its size, and the critic foresees none of it."""
    rewards = case.series.column("rollout/reward_mean")
    if not np.isfinite(rewards).any():
        return 0.5 * blindness(case)
    leaps = jitter(rewards) / max(median(np.abs(rewards)), 1e-9)
    return blindness(case) * (along(leaps, (0.1, 0.1), (0.3, 0.3), (0.8, 0.8), (1.5, 0.93)) or 0.0)


def backwards(case: Case) -> bool:
    """Whether updates of a healthy size made the policy worse than it was before it had learned anything."""
    returns = case.returns
    if returns.state == UNKNOWN:
        return False
    kl = median(case.series.column("train/approx_kl") / clip_scale(case))
    least = max(4.0 * returns.noise, 0.05 * abs(returns.start))
    return returns.start - returns.final > least and not kl > limit("P01.warn")


def lost_updates(case: Case) -> float:
    """How much speaks for updates that the policy never keeps: none moves it, or each does and nothing adds up."""
    kl, entropy = median(case.series.column("train/approx_kl")), case.series.column("train/entropy_loss")
    entropy = entropy[np.isfinite(entropy)]
    if not abs(kl) >= limit("B04.kl"):
        return 0.6
    if len(entropy) < 8 or case.rising:
        return 0.05
    quarter = len(entropy) // 4
    drift = abs(float(entropy[-quarter:].mean() - entropy[:quarter].mean()))
    return 0.8 if drift < 0.02 and kl > 0.005 else 0.05


def aimless(case: Case) -> bool:
    """Whether the return went nowhere: it never rose, or is back where it began."""
    returns, share = case.returns, case.returns.share_of_goal
    if returns.solved or returns.state == UNKNOWN:
        return False
    back = returns.state == FALLEN and returns.final - returns.start < 0.35 * (returns.best - returns.start)
    return returns.state == FLAT or back or (share is not None and share < 0.25)


def ends_bootstrapped(case: Case) -> float | None:
    """The switch; or targets as large as if episodes that fail after a few steps went on for ever."""
    by_flag = flag("bootstrap_terminations", True)(case)
    if by_flag == 0.97 and ended_at_most(case) < 0.2:
        by_flag = 0.2  # hardly anything ever ended but by the time limit
    beyond = beyond_ends(case)
    return (
        by_flag if beyond is None or by_flag == 0.97 else along(beyond, (0.1, 0.03), (0.3, 0.3), (0.5, 0.9), log=False)
    )


def even(case: Case) -> bool:
    """Whether each step pays about the same, as far as episodes tell: their returns are then as their lengths."""
    episodes = case.series.episodes
    if episodes is None or len(episodes.returns) < 20:
        return True
    each = episodes.returns / np.maximum(episodes.lengths, 1)
    each = each[np.isfinite(each)]
    return bool(np.median(np.abs(each - np.median(each))) <= 0.3 * abs(np.median(each)))


def beyond_ends(case: Case) -> float | None:
    """How far the critic's targets lie between those of episodes that end (0) and of endless ones (1); None unknown.

    With a reward of r a step and episodes of L steps the mean target is r (1 - γ (1 - γ^L) / (L (1 - γ))) / (1 - γ): the
    geometric series, averaged over where in the episode a step lies. Without ends it is r / (1 - γ).
    """
    gamma, series = case.series.setting("gamma"), case.series
    if not gamma or not 0.0 < gamma < 1.0 or series.setting("normalize_reward") is not False or not even(case):
        return None
    target, reward, length = (
        series.column(tag)[case.n // 2 :] for tag in ("train/return_mean", "rollout/reward_mean", "rollout/ep_len_mean")
    )
    same_sign = (np.sign(reward) == np.sign(median(reward))) & (np.abs(reward) > 1e-9)
    ended = gamma * (1.0 - gamma**length) / (length * (1.0 - gamma))  # 1 for the shortest episodes, 0 for endless ones
    share = 1.0 - (1.0 - target * (1.0 - gamma) / reward) / ended
    share = share[same_sign & (ended > 0.4)]
    return median(share) if np.isfinite(share).sum() >= max(3, 0.25 * len(target)) else None


def time_limit(case: Case) -> float | None:
    """How much speaks for a time limit that passes for an end: no truncation told, and many episodes equally long."""
    cut = case.series.column("rollout/truncated_fraction")
    if np.nanmax(cut, initial=0.0) > 0:
        return 0.03  # it is told of
    lengths = case.series.episodes.lengths if case.series.episodes is not None else np.empty(0)
    lengths = lengths[np.isfinite(lengths)]
    if len(lengths) >= 20:
        return along(float((lengths >= lengths.max()).mean()), (0.05, 0.05), (0.2, 0.3), (0.8, 0.5), log=False)
    return 0.2


def in_step(case: Case) -> float | None:
    """How much speaks for environments that reset together."""
    return 0.3 if ends_together(case) else 0.05


def schedule_short(case: Case) -> float | None:
    """How much speaks for a learning rate that falls to nothing too soon, by the share of the run spent there."""
    return along(dead_share(case), (0.05, 0.03), (0.1, 0.4), (0.3, 0.93), (0.6, 0.98), log=False)


def stale(case: Case) -> float | None:
    """How much speaks for log-probabilities of an older policy: first ratios that are not 1, else an unexplained KL."""
    if case.series.has("train/ratio_error"):
        return 0.98 if case.over_run("train/ratio_error") > 1e-4 else 0.01
    kl, rate = case.over_run("train/approx_kl"), start_rate(case)
    if not math.isfinite(kl) or rate is None:
        return None
    target = target_kl(case) or 0.05
    unexplained = kl > target and rate <= 1e-3 and (case.series.setting("n_epochs") or 10) <= 20
    return 0.6 if unexplained else 0.1


def ent_low(case: Case) -> float | None:
    """How much speaks for an entropy bonus that is too small."""
    value = case.series.setting("ent_coef")
    if isinstance(value, int | float) and value < 0:
        return 0.95  # it punishes exploring
    return along(value, (1e-9, 0.3), (1e-3, 0.25), (0.01, 0.1), (0.1, 0.02)) if isinstance(value, int | float) else None


def net_small(case: Case) -> float | None:
    """How much speaks for a network that is too narrow, by its narrowest layer."""
    kwargs = case.series.setting("policy_kwargs")
    widths = network_widths(kwargs.get("net_arch", [64])) if isinstance(kwargs, dict) else []
    return along(min(widths), (1, 0.97), (2, 0.9), (4, 0.6), (8, 0.3), (16, 0.08)) if widths else None


def network_widths(arch: object) -> list[int]:
    """The widths of the hidden layers that `net_arch` names, however it is nested."""
    parts = arch.values() if isinstance(arch, dict) else arch if isinstance(arch, list | tuple) else ()
    return [w for part in parts for w in ([part] if isinstance(part, int) else network_widths(part)) if w > 0]


def units_dead(case: Case) -> float | None:
    """How much speaks for hidden units that never answered, by their share at the beginning."""
    silent = case.series.column("train/dormant_units")
    silent = silent[np.isfinite(silent)]
    return along(float(silent[0]), (0.3, 0.1), (0.6, 0.6), (0.95, 0.97), log=False) if len(silent) else None


def std(case: Case, *points: tuple[float, float]) -> float | None:
    """How much speaks for the standard deviation that a continuous policy began with, along `points`; 0 for choices."""
    if case.discrete is True:
        return 0.0
    std = case.series.column("train/std")
    known = std[np.isfinite(std)]
    return along(float(known[0]), *points) if len(known) else None


def more_budget(case: Case) -> float | None:
    """How much speaks for a run that only ended too soon: whether the return may still be rising."""
    high = case.returns.slope[1]
    return 0.6 if math.isfinite(high) and high * budget(case.series) > 0.1 * max(case.returns.range, 1e-9) else 0.15


def normalizer_frozen(case: Case) -> float | None:
    """How much speaks for observation statistics that stand still, by the share of observations clipped."""
    if case.series.has("rollout/obs_clipped"):
        return along(case.now("rollout/obs_clipped"), (0.005, 0.1), (0.05, 0.6), (0.2, 0.9), log=True)
    return 0.3 if case.series.setting("normalize_obs") is not False else 0.05


def noise_needed(case: Case) -> float | None:
    """Speaks for it: the policy is still far from deterministic, so that its most likely action is but one of several."""
    entropy = -case.series.column("train/entropy_loss")
    known = entropy[np.isfinite(entropy)]
    if (case.discrete is not True and case.discrete is not None) or not len(known) or known.max() <= 0:
        return 0.3
    return along(median(known[-case.width :]) / known.max(), (0.05, 0.1), (0.3, 0.5), (0.7, 0.7), log=False)


def sparse(case: Case) -> float | None:
    """How much speaks for a reward that is hardly ever met, by the share of iterations with the same return."""
    tag = "rollout/iteration_rew_mean" if case.series.has("rollout/iteration_rew_mean") else "rollout/ep_rew_mean"
    values = case.series.column(tag)
    values = values[np.isfinite(values)]
    if len(values) < 5:
        return None
    same = float((np.abs(values - median(values)) < 1e-9 * max(1.0, abs(median(values)))).mean())
    return along(same, (0.0, 0.08), (0.5, 0.5), (0.9, 0.9), log=False)
