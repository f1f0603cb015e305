"""V and O: whether the critic foresees returns, and whether the gradients that train both networks behave."""

from __future__ import annotations

import numpy as np

from upswing.doctor.case import Case
from upswing.doctor.findings import (
    INFO,
    OPTIMISATION,
    SCALE,
    WARN,
    Evidence,
    NotApplicable,
    NotChecked,
    Outcome,
    Passed,
)
from upswing.doctor.returns import FALLEN
from upswing.doctor.rules.outcome import capped
from upswing.doctor.rules.rule import Rule, found, measured, share_true
from upswing.doctor.stats import jitter, median, smooth, spread
from upswing.doctor.thresholds import limit, origin

EV, LOSS = "train/explained_variance", "train/value_loss"


def target_variance(case: Case) -> np.ndarray:
    """The variance of the critic's targets [U]: logged, or from the value loss, since EV = 1 - Var(R - V) / Var(R).

    The estimate takes the loss of the update for Var(R - V), which a good update makes too small: it errs downwards.
    """
    if case.series.has("train/return_std"):
        return case.series.column("train/return_std") ** 2
    loss, explained = case.series.column(LOSS), case.series.column(EV)
    if not np.isfinite(explained).any():
        return np.full(case.n, np.nan)
    return loss / np.maximum(1.0 - explained, 1e-3)


def meaningful(case: Case) -> np.ndarray:
    """Iterations [U] whose targets still vary: in a solved task all returns are alike and nothing is left to explain."""
    variance = target_variance(case)
    if not np.isfinite(variance).any():
        return np.ones(case.n, bool)
    usual = np.nanquantile(variance, 0.9)
    return ~(variance < limit("V02.variance") * usual)


def ev_bad(case: Case) -> Outcome:
    """V01: the critic foresees returns no better than a constant would, or hardly better."""
    explained = case.series.column(EV)
    pool = case.series.pool
    if pool is not None and pool < limit("V01.pool"):
        return NotApplicable("V01", "small_rollouts")
    seen = np.isfinite(explained) & meaningful(case)
    if share_true(meaningful(case), np.isfinite(explained)) < 0.3:
        return NotApplicable("V01", "constant_returns")
    masked = np.where(seen, explained, np.nan)
    for name, variant in (("V01.negative", "negative"), ("V01.low", "low")):
        stretch = case.held("V01", seen & (smooth(masked, 5) < limit(name)), seen, past=0.5)
        if stretch is None:
            continue
        value = median(masked[stretch.onset : stretch.end + 1])
        harmful = case.failed or (case.stuck and (variant == "negative" or _never(case, masked)))
        if not harmful and (variant == "low" or case.returns.solved):
            return found(case, "V01", INFO, 1.0, [measured(case, EV, name, "<", stretch)], stretch, variant, ev=value)
        return found(
            case,
            "V01",
            WARN,
            2.0 if variant == "negative" else 1.2,
            [measured(case, EV, name, "<", stretch)],
            stretch,
            variant,
            demotable=variant == "low" or capped(case),
            ev=value,
        )
    return Passed("V01", (measured(case, EV, "V01.low", ">"),))


def _never(case: Case, explained: np.ndarray) -> bool:
    """Whether the critic has never, over a whole run, foreseen anything."""
    smoothed = smooth(explained, 5)[case.warm :]
    blind = case.n >= 20 and np.isfinite(smoothed).any() and float(np.nanmax(smoothed)) < limit("V01.never")
    return blind and not capped(case)


def ev_undefined(case: Case) -> Outcome:
    """V02: returns hardly vary any more, so that explained variance says nothing."""
    explained = case.series.column(EV)
    varies = meaningful(case)
    recent = np.zeros(case.n, bool)
    recent[case.last] = True
    undefined = share_true(~np.isfinite(explained) | ~varies, recent)
    if undefined < 0.7:
        return Passed("V02")
    return NotApplicable("V02", "constant_returns")


def lasting_bias(case: Case) -> float | None:
    """The size of the critic's constant error over the second half; 0 where its sign changes, None where unknown."""
    bias = case.series.column("train/value_bias")
    if not np.isfinite(bias).any():
        return None
    late = bias[np.isfinite(bias) & meaningful(case) & (np.arange(case.n) >= case.n // 2)]
    if len(late) < 3:
        return 0.0
    usual = median(late)
    return abs(usual) if float((np.sign(late) == np.sign(usual)).mean()) >= 0.9 else 0.0


def value_bias(case: Case) -> Outcome:
    """V03: the critic is wrong by a constant, which explained variance cannot see."""
    tag = "train/value_bias"
    bias = case.series.column(tag)
    seen = np.isfinite(bias) & meaningful(case)
    if case.series.pool is not None and case.series.pool < limit("V01.pool"):
        return NotApplicable("V03", "small_rollouts")
    if not seen.any():
        return NotApplicable("V03", "constant_returns")
    smoothed = smooth(np.where(seen, bias, np.nan), 5)
    stretch = case.held("V03", seen & (np.abs(smoothed) > limit("V03.bias")), seen, past=0.5)
    if stretch is None:
        return Passed("V03", (measured(case, tag, "V03.bias", "<"),))
    value = case.value_at(tag, stretch)
    lasting = (lasting_bias(case) or 0.0) > limit("V03.bias") or abs(value) > limit("V03.gross") * limit("V03.bias")
    gross = case.stuck and lasting and not capped(case)
    untrained = _blind(case) and (lasting_bias(case) or 0.0) > limit("V03.bias")
    return found(
        case,
        "V03",
        WARN if case.failed or gross or untrained else INFO,
        abs(value) / limit("V03.bias"),
        [measured(case, tag, "V03.bias", ">", stretch)],
        stretch,
        demotable=not untrained,
        bias=value,
    )


def _blind(case: Case) -> bool:
    """Whether the critic explains little of what varies in the second half: beside a constant error, it learned nothing."""
    explained = np.where(meaningful(case), case.series.column(EV), np.nan)[case.n // 2 :]
    return bool(median(explained) < limit("V01.low"))


def value_scale(case: Case) -> Outcome:
    """V04: the critic's targets are very large or very small numbers."""
    normalized = case.series.setting("normalize_reward") is True
    size = np.sqrt(target_variance(case))
    if case.series.has("train/return_mean"):
        size = np.sqrt(size**2 + case.series.column("train/return_mean") ** 2)
    later = size[case.warm :]
    scale = (
        float(np.nanquantile(later, 0.75)) if np.isfinite(later).any() else float("nan")
    )  # solved tasks vary no more
    if not np.isfinite(scale):
        return NotChecked("V04", "not_logged", ("train/return_std",))
    if scale < 1e-9:
        return NotApplicable("V04", "constant_returns")
    if normalized:
        return _normalized_scale(case, scale)
    if limit("V04.small") <= scale <= limit("V04.large"):
        return Passed("V04", (Evidence("return_size", scale, "<", limit("V04.large"), origin("V04.large")),))
    if scale < limit("V04.small") and not case.series.has("train/return_mean"):
        returns = np.abs(case.series.column("rollout/ep_rew_mean"))
        if not np.nanmax(returns, initial=0.0) < 1.0:  # what varies little may still be large
            return NotChecked("V04", "not_logged", ("train/return_mean",))
    large = scale > limit("V04.large")
    name = "V04.large" if large else "V04.small"
    excess = scale / limit(name) if large else limit(name) / max(scale, 1e-30)
    return found(
        case,
        "V04",
        WARN if case.failed or (case.stuck and excess > (10 if large else 2)) else INFO,
        excess,
        [Evidence("return_size", scale, ">" if large else "<", limit(name), origin(name))],
        variant="large" if large else "small",
        size=scale,
        demotable=excess < 100,
    )


def _normalized_scale(case: Case, scale: float) -> Outcome:
    """V04 for rewards that are normalised: their returns are of the order of 1 to 10, unless rare ones stand out."""
    evidence = [Evidence("return_size", scale, ">", limit("V04.normalized"), origin("V04.normalized"))]
    if scale <= limit("V04.normalized"):
        return NotApplicable("V04", "reward_normalized")
    excess = scale / limit("V04.normalized")
    return found(case, "V04", WARN if case.stuck else INFO, excess, evidence, variant="outliers", size=scale)


def critic_blowup(case: Case) -> Outcome:
    """V05: the value loss, measured against the variance of its targets, jumps far beyond its usual size."""
    ratio = case.series.column(LOSS) / np.maximum(target_variance(case), 1e-12)
    if not case.series.has("train/return_std"):
        ratio = 1.0 - case.series.column(EV)  # before the update, but the same quantity
    ratio = np.where(meaningful(case), ratio, np.nan)
    later = np.isfinite(ratio) & (np.arange(case.n) >= case.warm)
    if later.sum() < 8:
        return NotChecked("V05", "too_short")
    usual, wide = median(ratio[later]), max(spread(ratio[later]), 0.02)
    high = later & (ratio > usual + limit("V05.mads") * wide) & (ratio > limit("V05.least"))
    if high.sum() < 2 or (case.series.pool or 1e9) < limit("V01.pool"):
        return Passed("V05")
    first = int(np.flatnonzero(high)[0])
    worst = float(np.nanmax(ratio[later]))
    bound = usual + limit("V05.mads") * wide
    return found(
        case,
        "V05",
        WARN if case.returns.state == FALLEN and high[case.last].any() else INFO,
        worst / max(bound, limit("V05.least")),
        [
            Evidence(
                "relative_value_loss",
                worst,
                ">",
                max(bound, limit("V05.least")),
                origin("V05.mads"),
                (case.step(first), case.step(int(np.flatnonzero(high)[-1]))),
            )
        ],
        n=int(high.sum()),
        worst=worst,
        onset=case.step(first),
    )


def value_jitter(case: Case) -> Outcome:
    """V06: the value loss scatters far more around its trend than it did earlier."""
    loss = np.where(meaningful(case), case.series.column(LOSS), np.nan)
    logs = np.log(np.where(loss > 0, loss, np.nan))[case.warm :]
    n = len(logs)
    if np.isfinite(logs).sum() < 40:
        return NotChecked("V06", "too_short")
    before, after = jitter(logs[: n // 2]), jitter(logs[3 * n // 4 :])
    ratio = after / max(before, 1e-3)
    if not (ratio > limit("V06.ratio") and after > limit("V06.least")):
        return Passed("V06", (Evidence("value_jitter", ratio, "<", limit("V06.ratio"), origin("V06.ratio")),))
    return found(
        case,
        "V06",
        WARN if case.returns.state == FALLEN else INFO,
        ratio / limit("V06.ratio"),
        [Evidence("value_jitter", ratio, ">", limit("V06.ratio"), origin("V06.ratio"))],
        ratio=ratio,
    )


def grad_spike(case: Case) -> Outcome:
    """O01: single gradients far larger than usual."""
    tag = "train/grad_norm_max" if case.series.has("train/grad_norm_max") else "train/grad_norm"
    norm = case.series.column(tag)
    before = _rolling_median(norm, 25)
    later = np.isfinite(norm) & np.isfinite(before) & (np.arange(case.n) >= max(case.warm, 5))
    spikes = later & (norm > limit("O01.factor") * before)
    if spikes.sum() < 2:
        return Passed("O01")
    first, worst = int(np.flatnonzero(spikes)[0]), float(np.nanmax((norm / before)[later]))
    fell = (
        case.returns.state == FALLEN
        and case.step(first) <= case.returns.x[-1]
        and case.step(first) >= case.returns.best_step * 0.5
    )
    return found(
        case,
        "O01",
        WARN if fell else INFO,
        worst / limit("O01.factor"),
        [
            Evidence(
                "grad_spike",
                worst,
                ">",
                limit("O01.factor"),
                origin("O01.factor"),
                (case.step(first), case.step(case.n - 1)),
            )
        ],
        n=int(spikes.sum()),
        worst=worst,
        onset=case.step(first),
    )


def _rolling_median(values: np.ndarray, window: int) -> np.ndarray:
    """The median of the `window` values before each; NaN where fewer than five are known."""
    padded = np.concatenate([np.full(window, np.nan), values[:-1]]) if len(values) else values
    views = np.lib.stride_tricks.sliding_window_view(padded, window)[: len(values)]
    enough = np.isfinite(views).sum(1) >= 5
    result = np.full(len(values), np.nan)
    if enough.any():
        result[enough] = np.nanmedian(views[enough], axis=1)
    return result


def plasticity(case: Case) -> Outcome:
    """O03: many units of the network have stopped reacting to what it sees."""
    tag = "train/dormant_units"
    silent = case.series.column(tag)
    stretch = case.held_sparsely(silent > limit("O03.share"), np.isfinite(silent))
    if stretch is None:
        return Passed("O03", (measured(case, tag, "O03.share", "<"),))
    value = case.value_at(tag, stretch)
    return found(
        case,
        "O03",
        WARN if case.failed or value >= limit("O03.gross") else INFO,
        value / limit("O03.share"),
        [measured(case, tag, "O03.share", ">", stretch)],
        stretch,
        share=value,
        demotable=value < limit("O03.gross"),
    )


RULES = (
    Rule("V01", OPTIMISATION, ev_bad, (EV,), least=5),
    Rule("V02", OPTIMISATION, ev_undefined, (EV,)),
    Rule("V03", OPTIMISATION, value_bias, ("train/value_bias",), least=5),
    Rule("V04", SCALE, value_scale, (LOSS, f"train/return_std|{EV}")),
    Rule("V05", OPTIMISATION, critic_blowup, (LOSS, EV)),
    Rule("V06", OPTIMISATION, value_jitter, (LOSS,)),
    Rule("O01", OPTIMISATION, grad_spike, ("train/grad_norm_max|train/grad_norm",), least=8),
    Rule("O03", OPTIMISATION, plasticity, ("train/dormant_units",)),
)
