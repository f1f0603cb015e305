"""What loss curves say, and what they do not: level and jitter, measured."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from upswing.doctor.stats import median, spread
from upswing.lab.gather import Setting
from upswing.lab.statistics import Interval, claimed, interval, rank_test

POLICY, VALUE = "train/policy_gradient_loss", "train/value_loss"
NEAR_ZERO = 0.05  # in standard deviations of the advantages, which normalisation makes the policy loss's unit
FEWEST = 12  # points from which a spread around a trend can be told


class Level(NamedTuple):
    """The policy loss of a setting, median of |loss| over its runs."""

    first: float  # over the first quarter
    last: float  # over the last quarter


def policy_level(setting: Setting) -> Level | None:
    """How far the policy loss is from 0 at first and in the end; None where it was not logged."""
    columns = [m.series.column(POLICY) for m in setting.members]
    columns = [np.abs(column[np.isfinite(column)]) for column in columns]
    columns = [column for column in columns if len(column) >= 4]
    if not columns:
        return None
    return Level(
        median(np.array([median(column[: max(1, len(column) // 4)]) for column in columns])),
        median(np.array([median(column[-max(1, len(column) // 4) :]) for column in columns])),
    )


def always_near_zero(setting: Setting) -> Level | None:
    """The level of a policy loss that is near 0 from the first quarter on, so that it tells nothing of convergence.

    With normalised advantages the surrogate -mean(r·A) is about 0 while r is about 1, for the mean of A is 0: whatever
    was learned. Source: equation 7 of Schulman et al. 2017 (arXiv:1707.06347) with mean(A) = 0.
    """
    level = policy_level(setting)
    normalised = setting.config.get("normalize_advantage", True)
    return level if level and normalised and max(level) < NEAR_ZERO else None


def relative_jitter(values: np.ndarray) -> float:
    """The robust relative spread of a positive curve around its own trend, over its second half; NaN for short curves.

    1.4826 × the median of |v / trend - 1|, the trend being the running median of a fifth of the points. A curve that
    falls steadily by a factor of ten has none of it; one that swings by a tenth around any level has 0.1.
    """
    values = values[np.isfinite(values)]
    values = values[len(values) // 2 :]
    if len(values) < FEWEST:
        return float("nan")
    half = max(2, len(values) // 10)
    padded = np.pad(values, half, mode="reflect", reflect_type="odd")
    trend = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)
    keep = trend > 1e-12 * max(1e-300, float(np.max(np.abs(values))))
    return spread(values[keep] / trend[keep]) if keep.sum() >= FEWEST else float("nan")


def value_jitter(setting: Setting) -> np.ndarray:
    """The jitter of the value loss of each run [N], NaN left out."""
    found = np.array([relative_jitter(m.series.column(VALUE)) for m in setting.members])
    return found[np.isfinite(found)]


class Jitter(NamedTuple):
    """How unsteady the value loss of a setting is."""

    setting: str
    jitter: Interval
    steadier: bool  # than the reference: shown, not only seen
    jumpier: bool


def jitters(settings: tuple[Setting, ...], reference: str) -> list[Jitter]:
    """The jitter of each setting's value loss beside the reference's, for the settings where it can be told."""
    values = {setting.label: value_jitter(setting) for setting in settings}
    values = {label: each for label, each in values.items() if len(each)}
    base = values.get(reference, np.empty(0))
    others = [label for label in values if label != reference and len(base)]
    shown = dict(zip(others, claimed([rank_test(values[label], base) for label in others]), strict=True))
    return [
        Jitter(
            label,
            interval(each),
            shown.get(label, False) and median(each) < median(base),
            shown.get(label, False) and median(each) > median(base),
        )
        for label, each in values.items()
    ]
