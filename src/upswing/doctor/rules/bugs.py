"""B: signs that a program does not compute what PPO says. They come first: tuning around a bug is lost time."""

from __future__ import annotations

import numpy as np

from upswing.doctor.case import Case, Stretch
from upswing.doctor.findings import BUG, ERROR, INFO, Evidence, NotApplicable, Outcome, Passed
from upswing.doctor.rules.rule import Rule, found, measured, share_true
from upswing.doctor.stats import median
from upswing.doctor.thresholds import limit, origin

_MAY_BE_UNDEFINED = ("train/explained_variance", "train/value_bias", "train/std")  # constant returns, discrete actions


def nonfinite(case: Case) -> Outcome:
    """B01: NaN or infinity among the figures of the update."""
    bad = {
        tag: step
        for tag, step in case.series.nonfinite.items()
        if tag.startswith("train/") and tag not in _MAY_BE_UNDEFINED
    }
    if not bad:
        return Passed("B01")
    first = min(bad, key=lambda tag: bad[tag])
    onset = int(np.searchsorted(case.series.steps, bad[first])) if case.n else 0
    return found(
        case,
        "B01",
        ERROR,
        8.0,
        [Evidence(tag, float("nan"), "", None, "identity", (int(step), int(step))) for tag, step in bad.items()],
        Stretch(min(onset, max(0, case.n - 1)), case.n - 1, True, 1.0),
        demotable=False,
        tag=first,
        step=int(bad[first]),
    )


def ratio_not_one(case: Case) -> Outcome:
    """B02: probability ratios differ from 1 before the first gradient step of an update."""
    errors = case.series.column("train/ratio_error")
    bound = "B02.ratio" if case.series.setting("amp", "off") == "off" else "B02.ratio_amp"
    seen = np.isfinite(errors)
    share = share_true(errors > limit(bound), seen)
    typical = median(errors)
    if share < limit("B02.share"):
        return Passed("B02", (measured(case, "train/ratio_error", bound, "<"),))
    onset = int(np.flatnonzero(seen & (errors > limit(bound)))[0])
    return found(
        case,
        "B02",
        ERROR,
        typical / limit(bound),
        [Evidence("train/ratio_error", typical, ">", limit(bound), origin(bound), _whole(case))],
        Stretch(onset, case.n - 1, True, share),
        demotable=False,
        value=typical,
        share=share,
    )


def negative_kl(case: Case) -> Outcome:
    """B03: a KL estimate that cannot be negative is."""
    if case.series.source.name == "rsl-rl":
        return NotApplicable("B03", "no_k3")
    values = case.series.column("train/approx_kl")
    seen = np.isfinite(values)
    bad = seen & (values < limit("B03.kl"))
    if share_true(bad, seen) < 0.05:
        return Passed("B03")
    first = int(np.flatnonzero(bad)[0])
    return found(
        case,
        "B03",
        ERROR,
        8.0,
        [Evidence("train/approx_kl", float(values[bad].min()), "<", limit("B03.kl"), origin("B03.kl"), _whole(case))],
        Stretch(first, case.n - 1, True, share_true(bad, seen)),
        demotable=False,
        value=float(values[bad].min()),
    )


def frozen(case: Case) -> Outcome:
    """B04: updates do not change the policy, although the learning rate is above 0."""
    kl, entropy = case.series.column("train/approx_kl"), case.series.column("train/entropy_loss")
    rate = case.series.column("train/learning_rate")
    start = np.nanmax(rate) if np.isfinite(rate).any() else float("nan")
    scale = np.where(np.isfinite(rate) & (start > 0), np.clip(rate / start, 0.0, 1.0) ** 2, 1.0)
    seen = np.isfinite(kl) & ~(rate <= 0)
    still = seen & (np.abs(kl) < limit("B04.kl") * scale)
    clipped = case.series.column("train/clip_fraction")
    still &= ~(clipped > 0)
    moved = np.nanmax(entropy) - np.nanmin(entropy) if np.isfinite(entropy).any() else 0.0
    if share_true(still, seen) < 0.7 or moved > limit("B04.entropy") or not seen.any():
        return Passed("B04", (measured(case, "train/approx_kl", "B04.kl", ">"),))
    if case.returns.state in ("rising",):
        return Passed("B04")
    return found(
        case,
        "B04",
        ERROR if case.n >= 5 else INFO,
        limit("B04.kl") / max(1e-12, abs(median(kl))),
        [Evidence("train/approx_kl", median(kl), "<", limit("B04.kl"), origin("B04.kl"), _whole(case))],
        Stretch(0, case.n - 1, True, 1.0),
        demotable=False,
        kl=median(kl),
        lr=float(start) if np.isfinite(start) else case.series.setting("learning_rate", "?"),
    )


def _whole(case: Case) -> tuple[int, int]:
    return (case.step(0), case.step(case.n - 1))


RULES = (
    Rule("B01", BUG, nonfinite, least=1),
    Rule("B02", BUG, ratio_not_one, ("train/ratio_error",), least=1),
    Rule("B03", BUG, negative_kl, ("train/approx_kl",)),
    Rule("B04", BUG, frozen, ("train/approx_kl", "train/entropy_loss")),
)
