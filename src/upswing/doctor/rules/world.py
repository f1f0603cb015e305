"""A, N and T: what reaches the learner from the environment: advantages, observations, and how episodes end."""

from __future__ import annotations

import math

import numpy as np

from upswing.doctor.case import Case
from upswing.doctor.findings import (
    ERROR,
    INFO,
    OPTIMISATION,
    SCALE,
    SETUP,
    WARN,
    WORLD,
    Evidence,
    NotApplicable,
    NotChecked,
    Outcome,
    Passed,
)
from upswing.doctor.returns import FLAT
from upswing.doctor.rules.rule import Rule, found, measured, share_true
from upswing.doctor.rules.value import meaningful
from upswing.doctor.stats import median, smooth
from upswing.doctor.thresholds import limit, origin

LENGTH = "rollout/ep_len_mean"


def advantages(case: Case) -> Outcome:
    """A01: advantages are biased, absent, or reach the loss in raw units."""
    loss = case.series.column("train/policy_gradient_loss")
    raw = case.held("A01", np.abs(loss) > limit("A01.raw"), np.isfinite(loss))
    if raw is not None:
        value = median(np.abs(loss[raw.onset : raw.end + 1]))
        evidence = [
            Evidence(
                "train/policy_gradient_loss",
                value,
                ">",
                limit("A01.raw"),
                origin("A01.raw"),
                (case.step(raw.onset), case.step(raw.end)),
            )
        ]
        severity = WARN if case.failed else INFO
        return found(
            case,
            "A01",
            severity,
            value / limit("A01.raw"),
            evidence,
            raw,
            "raw",
            loss=value,
        )
    if not case.series.has("train/adv_mean", "train/adv_std"):
        return NotChecked("A01", "not_logged", ("train/adv_mean", "train/adv_std"))
    mean, std = case.series.column("train/adv_mean"), case.series.column("train/adv_std")
    seen = np.isfinite(mean) & np.isfinite(std) & meaningful(case)
    if (case.series.pool or 1e9) < limit("V01.pool"):
        return NotApplicable("A01", "small_rollouts")
    ratio = np.where(seen, mean / np.maximum(std, 1e-12), np.nan)
    stretch = case.held("A01", seen & (np.abs(smooth(ratio, 5)) > limit("A01.bias")), seen, past=0.5)
    if stretch is None:
        return Passed(
            "A01", (Evidence("advantage_bias", median(ratio[case.last]), "<", limit("A01.bias"), origin("A01.bias")),)
        )
    value = median(ratio[stretch.onset : stretch.end + 1])
    return found(
        case,
        "A01",
        WARN if case.failed else INFO,
        abs(value) / limit("A01.bias"),
        [
            Evidence(
                "advantage_bias",
                value,
                ">",
                limit("A01.bias"),
                origin("A01.bias"),
                (case.step(stretch.onset), case.step(stretch.end)),
            )
        ],
        stretch,
        ratio=value,
    )


def observation_scale(case: Case) -> Outcome:
    """N01: what the policy sees is badly scaled: features of very different sizes, or pressed against a clip."""
    largest, clipped = case.series.column("rollout/obs_std_max"), case.series.column("rollout/obs_clipped")
    offset = case.series.column("rollout/obs_offset")
    for variant, values, name in (
        ("large", largest, "N01.large"),
        ("offset", offset, "N01.offset"),
        ("clipped", clipped, "N01.clipped"),
    ):
        stretch = case.held_sparsely(values > limit(name), np.isfinite(values))
        if stretch is None:
            continue
        value = median(values[stretch.onset : stretch.end + 1])
        excess = value / limit(name)
        tag = {"large": "rollout/obs_std_max", "offset": "rollout/obs_offset", "clipped": "rollout/obs_clipped"}[
            variant
        ]
        gross = excess > limit("N01.gross")
        severity = WARN if case.failed or gross else INFO
        return found(
            case,
            "N01",
            severity,
            excess,
            [measured(case, tag, name, ">", stretch)],
            stretch,
            variant,
            demotable=not gross,
            value=value,
        )
    return Passed("N01", (measured(case, "rollout/obs_std_max", "N01.large", "<"),))


def truncation(case: Case) -> Outcome:
    """T01: time limits pass for real ends, or real ends for time limits."""
    if case.series.setting("bootstrap_terminations") is True and case.series.source.name != "maniskill":
        ended = ended_at_most(case)
        if not ended < 0.2:
            severity = WARN if case.failed else INFO
            evidence = [Evidence("bootstrap_terminations", 1.0, "=", None, "setting")]
            return found(
                case,
                "T01",
                severity,
                2.0,
                evidence,
                variant="bootstrapped",
                ended=ended,
            )
    at_limit = _share_at_limit(case)
    if at_limit is None:
        return NotChecked("T01", "not_logged", ("rollout/truncated_fraction", "episodes"))
    share, length = at_limit
    cut = case.series.column("rollout/truncated_fraction")
    told = median(cut)
    if told > share + limit("T01.cut"):
        evidence = [Evidence("rollout/truncated_fraction", told, ">", share + limit("T01.cut"), origin("T01.cut"))]
        severity = WARN if case.failed else INFO
        return found(case, "T01", severity, 2.0, evidence, variant="cut", share=share, told=told)
    if share < limit("T01.share"):
        return Passed("T01", (Evidence("at_limit", share, "<", limit("T01.share"), origin("T01.share")),))
    if not np.isfinite(cut).any():
        return NotChecked("T01", "not_logged", ("rollout/truncated_fraction",))
    count = case.series.column("rollout/iteration_episodes")
    weight = np.where(np.isfinite(cut), np.where(np.isfinite(count), count, 1.0), 0.0)
    truncated = float((np.nan_to_num(cut) * weight).sum() / max(weight.sum(), 1.0))
    if truncated > 0.5 * share:
        return Passed("T01", (Evidence("rollout/truncated_fraction", truncated, "=", None, None),))
    return found(
        case,
        "T01",
        WARN if case.failed else INFO,
        2.0,
        [
            Evidence("at_limit", share, ">", limit("T01.share"), origin("T01.share")),
            Evidence("rollout/truncated_fraction", truncated, "<", 0.5 * share, "derived"),
        ],
        variant="limit",
        share=share,
        length=length,
    )


def ended_at_most(case: Case) -> float:
    """The share of episodes that really ended, in the quarter of the run where most did: what the policy then learns to
    avoid ends no more. NaN where it was not logged."""
    cut = case.series.column("rollout/truncated_fraction")
    quarters = [median(part) for part in np.array_split(cut, 4) if np.isfinite(part).any()]
    return 1.0 - min(quarters) if quarters else float("nan")


def _share_at_limit(case: Case) -> tuple[float, int] | None:
    """The share of episodes that end after exactly the longest length seen, and that length; None where unknown."""
    if case.series.episodes is None:
        return None
    lengths = case.series.episodes.lengths
    lengths = lengths[np.isfinite(lengths)]
    if len(lengths) < 20:
        return None
    longest = float(lengths.max())
    return float((lengths >= longest).mean()), int(longest)


def horizon(case: Case) -> Outcome:
    """T02: the learner looks too few steps ahead, or far more than its episodes last."""
    gamma, lam = case.series.setting("gamma"), case.series.setting("gae_lambda")
    if gamma is None:
        return NotChecked("T02", "setting_unknown", ("gamma",))
    reach = 1.0 / max(1e-9, 1.0 - gamma)
    length = episode_length(case)
    n_steps = case.series.setting("n_steps")
    if reach < limit("T02.reach"):
        evidence = [Evidence("horizon", reach, "<", limit("T02.reach"), origin("T02.reach"))]
        return found(
            case,
            "T02",
            WARN,
            limit("T02.reach") / reach,
            evidence,
            variant="gamma",
            demotable=False,
            gamma=gamma,
            reach=reach,
        )
    cut = median(case.series.column("rollout/truncated_fraction"))
    if gamma > limit("T02.endless") and cut > limit("T02.cut"):
        evidence = [Evidence("gamma", gamma, ">", limit("T02.endless"), origin("T02.endless"))]
        return found(case, "T02", WARN, 2.0, evidence, variant="endless", gamma=gamma, cut=cut)
    if n_steps is not None and lam is not None:
        seen = 1.0 - (gamma * lam) ** n_steps
        if seen < limit("T02.seen") and (length is None or length > n_steps):
            evidence = [Evidence("advantage_seen", seen, "<", limit("T02.seen"), origin("T02.seen"))]
            return found(
                case,
                "T02",
                WARN,
                limit("T02.seen") / seen,
                evidence,
                variant="rollout",
                n_steps=n_steps,
                seen=seen,
                reach=1.0 / max(1e-9, 1.0 - gamma * lam),
            )
    return _horizon_against_episodes(case, float(gamma), lam, reach, length)


def _horizon_against_episodes(
    case: Case, gamma: float, lam: float | None, reach: float, length: float | None
) -> Outcome:
    """T02 where only a failing return makes it a suspicion: horizons that suit some tasks and not others."""
    if not case.n or not case.failed:
        return Passed("T02", (Evidence("horizon", reach, ">", limit("T02.reach"), origin("T02.reach")),))
    if length is not None and reach < limit("T02.episodes") * length and gamma < 0.98:
        evidence = [Evidence("horizon", reach, "<", limit("T02.episodes") * length, origin("T02.episodes"))]
        return found(
            case,
            "T02",
            WARN if reach < limit("T02.gross") * length else INFO,
            evidence=evidence,
            excess=limit("T02.episodes") * length / reach,
            variant="short",
            reach=reach,
            length=length,
        )
    if lam is not None and lam < limit("T02.lambda"):
        evidence = [Evidence("gae_lambda", lam, "<", limit("T02.lambda"), origin("T02.lambda"))]
        return found(case, "T02", WARN, 2.0, evidence, variant="lambda", lam=lam)
    if gamma > limit("T02.far") and length is not None and reach > 5.0 * length:
        evidence = [Evidence("horizon", reach, ">", 5.0 * length, origin("T02.far"))]
        return found(
            case,
            "T02",
            INFO,
            reach / (5.0 * length),
            evidence,
            variant="far",
            reach=reach,
            length=length,
        )
    return Passed("T02", (Evidence("horizon", reach, ">", limit("T02.reach"), origin("T02.reach")),))


def episode_length(case: Case) -> float | None:
    """How long episodes typically get: as logged (the 90 % quantile of means), or the environment's limit; None unknown."""
    lengths = case.series.column(LENGTH)
    if np.isfinite(lengths).any():
        return float(np.nanquantile(lengths, 0.9))
    known = case.series.environment.get("max_episode_steps")
    return float(known) if isinstance(known, int | float) else None


def _together(case: Case) -> tuple[float, float]:
    """The shares of iterations in which all environments or none ended an episode, and in which none did."""
    n_envs, count = case.series.setting("n_envs"), case.series.column("rollout/iteration_episodes")
    seen = np.isfinite(count)
    return share_true((count == 0) | (count == n_envs), seen), share_true(count == 0, seen)


def ends_together(case: Case) -> bool:
    """Whether all environments end their episodes at the same moment, again and again."""
    together, empty = _together(case)
    return bool(together > 0.9 and empty > 0.3)


def sync_reset(case: Case) -> Outcome:
    """T03: all environments end their episodes at the same moment, again and again."""
    n_envs, n_steps = case.series.setting("n_envs"), case.series.setting("n_steps")
    length = episode_length(case)
    if n_envs is None or n_steps is None:
        return NotChecked("T03", "setting_unknown", ("n_envs", "n_steps"))
    if n_envs < 4 or length is None or n_steps >= length:
        return NotApplicable("T03", "rollout_spans_episode")
    together, _ = _together(case)
    if not ends_together(case):
        return Passed("T03", (Evidence("together", together, "<", 0.9, "chosen"),))
    return found(
        case,
        "T03",
        WARN if case.failed and case.returns.state != FLAT else INFO,
        2.0,
        [Evidence("together", together, ">", 0.9, "chosen")],
        share=together,
        length=length,
        n_steps=n_steps,
        period=math.ceil(length / n_steps),
    )


RULES = (
    Rule("T01", WORLD, truncation),
    Rule("T02", SETUP, horizon, setup=True),
    Rule("T03", WORLD, sync_reset, ("rollout/iteration_episodes",)),
    Rule("N01", SCALE, observation_scale, ("rollout/obs_std_max|rollout/obs_offset|rollout/obs_clipped",)),
    Rule("A01", OPTIMISATION, advantages, ("train/policy_gradient_loss|train/adv_mean",)),
)

__all__ = ["ERROR", "RULES", "episode_length"]
