"""P01 to P06: how far an update moves the policy."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from upswing.doctor.case import Case
from upswing.doctor.findings import (
    ERROR,
    INFO,
    OPTIMISATION,
    WARN,
    Evidence,
    NotApplicable,
    NotChecked,
    Outcome,
    Passed,
)
from upswing.doctor.returns import FLAT
from upswing.doctor.rules.rule import Rule, found, measured, share_true
from upswing.doctor.stats import median, smooth
from upswing.doctor.thresholds import limit, origin

KL, CLIP, ENTROPY, STD, RATE = (
    "train/approx_kl",
    "train/clip_fraction",
    "train/entropy_loss",
    "train/std",
    "train/learning_rate",
)


def clip_scale(case: Case) -> np.ndarray:
    """(ε / 0.2)² at every iteration: a clip range of ε bounds log ratios by about ε, hence the KL by about ε²/2."""
    epsilon = case.series.column("train/clip_range")
    if not np.isfinite(epsilon).any():
        given = case.series.setting("clip_range", 0.2)
        epsilon = np.full(case.n, given if isinstance(given, int | float) else 0.2)
    epsilon = np.where(np.isfinite(epsilon), epsilon, np.nanmax(epsilon, initial=0.1))
    return (np.clip(epsilon, 0.1, 0.4) / 0.2) ** 2


def target_kl(case: Case) -> float | None:
    """The KL that the run itself aims at: target_kl, or an adaptive learning rate's; None where it has no aim."""
    target = case.series.setting("target_kl")
    if isinstance(target, int | float):
        return float(target)
    adaptive = adaptive_parts(case)
    return adaptive[0] if adaptive else None


def adaptive_parts(case: Case) -> tuple[float, float, float] | None:
    """Target KL, lowest and highest value of an adaptive learning rate; None where it is not adaptive."""
    setting = case.series.setting("learning_rate")
    if not (isinstance(setting, str) and setting.startswith("adaptive:")):
        return None
    try:
        parts = [float(part) for part in setting.split(":")[1:]]
    except ValueError:
        return None
    defaults = [math.nan, 0.01, 1e-5, 1e-2]
    target, low, high = (parts + defaults[len(parts) :])[1:4]
    return target, low, high


def kl_high(case: Case) -> Outcome:
    """P01: updates move the policy further than the clip range, or the run's own target, means them to."""
    kl, target = case.series.column(KL), target_kl(case)
    if target is not None:
        name, bound = "P01.target_factor", np.full(case.n, limit("P01.target_factor") * target)
    else:
        name, bound = "P01.warn", limit("P01.warn") * clip_scale(case) * case.noisy
    seen = np.isfinite(kl)
    stretch = case.held("P01", kl > bound, seen)
    if stretch is None:
        return Passed("P01", (Evidence(KL, case.now(KL), "<", float(bound[-1]), origin(name)),))
    part = slice(stretch.onset, stretch.end + 1)
    value, allowed = median(kl[part]), median(bound[part])
    excess = value / allowed
    evidence = [Evidence(KL, value, ">", allowed, origin(name), (case.step(stretch.onset), case.step(stretch.end)))]
    if case.series.has(CLIP):
        evidence.append(measured(case, CLIP, "P03.clip", ">", stretch))
    severe = ERROR if excess > limit("P01.error_factor") and (case.failed or not case.rising) else WARN
    return found(
        case,
        "P01",
        severe,
        excess,
        evidence,
        stretch,
        kl=value,
        limit=allowed,
        target=target,
        demotable=excess < 10,
    )


def kl_low(case: Case) -> Outcome:
    """P02: updates hardly move the policy, from early on, and the return does not get where it should."""
    kl, target, rate = case.series.column(KL), target_kl(case), case.series.column(RATE)
    bound = (
        limit("P02.low") * clip_scale(case) if target is None else np.full(case.n, limit("P02.target_factor") * target)
    )
    start = np.nanmax(rate) if np.isfinite(rate).any() else float("nan")
    annealed = np.where(np.isfinite(rate) & (start > 0), np.clip(rate / start, 1e-3, 1.0) ** 2, 1.0)
    bound = bound * annealed
    seen = np.isfinite(kl)
    early = (
        seen
        & (np.arange(case.n) < max(case.warm + 3, 0.6 * case.n))
        & (np.arange(case.n) >= min(case.warm, case.n // 4))
    )
    if deterministic(case):
        return NotApplicable("P02", "deterministic")
    if share_true(kl < bound, early) < 0.7:
        return Passed("P02", (Evidence(KL, median(kl[early]), ">", median(bound[early]), origin("P02.low")),))
    value, allowed = median(kl[early]), median(bound[early])
    crawling = value < limit("P02.crawl") * allowed
    if not (case.stuck or crawling) or case.returns.solved:
        return Passed("P02", (Evidence(KL, value, "<", allowed, origin("P02.low")),))
    stretch = case.held("P02", kl < bound, seen)
    severity = WARN if case.failed or crawling or case.returns.state == FLAT else INFO
    return found(
        case,
        "P02",
        severity,
        allowed / max(value, 1e-12),
        [Evidence(KL, value, "<", allowed, origin("P02.low"), (case.step(case.warm), case.step(int(0.6 * case.n))))],
        stretch,
        demotable=not crawling,
        kl=value,
        limit=allowed,
    )


def deterministic(case: Case) -> bool:
    """Whether a discrete policy has lost practically all of its entropy: it cannot move, whatever the settings."""
    entropy = -case.series.column("train/entropy_loss")
    known = entropy[np.isfinite(entropy)]
    return len(known) > 0 and case.discrete is not False and 0 <= median(known[-case.width :]) < 0.01 * known.max()


def clip_high(case: Case) -> Outcome:
    """P03: most probability ratios end outside the clip range. The same evidence as P01, in another figure."""
    clipped = case.series.column(CLIP)
    stretch = case.held("P03", clipped > limit("P03.clip"), np.isfinite(clipped))
    if stretch is None:
        return Passed("P03", (measured(case, CLIP, "P03.clip", "<"),))
    value = case.value_at(CLIP, stretch)
    return found(
        case,
        "P03",
        WARN,
        value / limit("P03.clip"),
        [measured(case, CLIP, "P03.clip", ">", stretch)],
        stretch,
        share=value,
    )


def implied_kl(clipped: np.ndarray, epsilon: np.ndarray) -> np.ndarray:
    """The KL [U] at which Gaussian log ratios would be clipped as often: log r ~ N(-σ²/2, σ²), KL = σ²/2."""
    rounded = np.round(epsilon, 2)
    implied = np.full(len(clipped), np.nan)
    for value in np.unique(rounded):
        here = rounded == value
        implied[here] = np.interp(clipped[here], *_clip_curve(float(value)))
    return implied


@cache
def _clip_curve(epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Clip fractions, rising, and the KL that belongs to each."""
    sigmas = np.geomspace(epsilon / 8, 2.0, 160)
    shares = np.array([clipped_share(sigma, epsilon) for sigma in sigmas])
    upto = int(np.argmax(shares)) + 1  # for huge σ the shares fall again
    return shares[:upto], sigmas[:upto] ** 2 / 2


def clipped_share(sigma: float, epsilon: float) -> float:
    """P(|r - 1| > ε) for log r ~ N(-σ²/2, σ²)."""
    upper = (math.log1p(epsilon) + sigma**2 / 2) / (sigma * math.sqrt(2))
    lower = (math.log1p(-epsilon) + sigma**2 / 2) / (sigma * math.sqrt(2)) if epsilon < 1 else -math.inf
    return 0.5 * math.erfc(upper) + 0.5 * math.erfc(-lower)


def kl_clip_mismatch(case: Case) -> Outcome:
    """P04: the KL is far larger than the clip fraction of the same minibatches explains: few, huge ratios."""
    if not case.series.has("train/kl_update"):
        return NotChecked("P04", "other_minibatches", ("train/kl_update",))
    kl, clipped = case.series.column("train/kl_update"), case.series.column(CLIP)
    epsilon = 0.2 * np.sqrt(clip_scale(case))
    smoothed = smooth(clipped, 5)
    implied = np.where((smoothed > 0.005) & (smoothed < 0.6), implied_kl(smoothed, epsilon), np.nan)
    seen = np.isfinite(implied) & np.isfinite(kl)
    stretch = case.held("P04", (smooth(kl, 5) > limit("P04.factor") * implied) & (kl > 0.01), seen)
    if stretch is None:
        return Passed("P04")
    part = slice(stretch.onset, stretch.end + 1)
    factor = median((kl / implied)[part])
    evidence = [
        Evidence(
            "train/kl_update", median(kl[part]), ">", limit("P04.factor") * median(implied[part]), origin("P04.factor")
        )
    ]
    return found(
        case,
        "P04",
        WARN if case.stuck and factor > 3 * limit("P04.factor") else INFO,
        factor / limit("P04.factor"),
        evidence,
        stretch,
        factor=factor,
    )


def lr_pinned(case: Case) -> Outcome:
    """P05: an adaptive learning rate sits at one of its bounds."""
    parts, rate = adaptive_parts(case), case.series.column(RATE)
    if parts is None:
        return NotApplicable("P05", "rate_not_adaptive")
    _, low, high = parts
    later = np.isfinite(rate) & (np.arange(case.n) >= case.warm)
    at_low, at_high = share_true(rate <= low * 1.001, later), share_true(rate >= high * 0.999, later)
    share = max(at_low, at_high)
    if not share > limit("P05.share"):
        return Passed("P05")
    floor = at_low >= at_high
    return found(
        case,
        "P05",
        WARN if floor and case.stuck else INFO,
        share / limit("P05.share"),
        [Evidence(RATE, median(rate[later]), "=", low if floor else high, "adaptive_bound")],
        variant="floor" if floor else "ceiling",
        share=share,
        bound=low if floor else high,
    )


def epochs_done(case: Case) -> np.ndarray:
    """How many epochs each update did [U]: logged, or from the running count."""
    done = case.series.column("train/n_epochs_done")
    if not np.isfinite(done).any() and case.series.has("train/n_updates"):
        done = np.diff(case.series.column("train/n_updates"), prepend=np.nan)
    return done


def limit_acted(case: Case) -> bool | None:
    """Whether a KL limit ever ended an update early; None where nothing tells."""
    stopped = case.series.column("train/kl_stopped")
    if np.isfinite(stopped).any():
        return bool((stopped > 0).any())
    done = epochs_done(case)
    done = done[np.isfinite(done)]
    return bool(done.max() > done.min()) if len(done) >= 3 else None


def epochs_cut(case: Case) -> Outcome:
    """P06: the KL limit ends most updates within their first epoch."""
    planned, done = case.series.setting("n_epochs"), epochs_done(case)
    if case.series.setting("target_kl") is None and not (case.series.column("train/kl_stopped") > 0).any():
        return (
            NotApplicable("P06", "no_target_kl")
            if case.series.config
            else NotChecked("P06", "setting_unknown", ("target_kl",))
        )
    if planned is None or not np.isfinite(done).any():
        return NotChecked("P06", "not_logged", ("train/n_epochs_done",))
    seen = np.isfinite(done) & (np.arange(case.n) >= case.warm)
    share = share_true(done <= 1, seen)
    if planned <= 1 or not share > limit("P06.share"):
        return Passed("P06")
    return found(
        case,
        "P06",
        WARN if case.stuck else INFO,
        share / limit("P06.share"),
        [Evidence("train/n_epochs_done", median(done[seen]), "<", float(planned), "setting")],
        share=share,
        planned=planned,
    )


RULES = (
    Rule("P01", OPTIMISATION, kl_high, (KL,)),
    Rule("P02", OPTIMISATION, kl_low, (KL,), least=5),
    Rule("P03", OPTIMISATION, clip_high, (CLIP,)),
    Rule("P04", OPTIMISATION, kl_clip_mismatch, (CLIP,)),
    Rule("P05", OPTIMISATION, lr_pinned, (RATE,)),
    Rule("P06", OPTIMISATION, epochs_cut),
)
