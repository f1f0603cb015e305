"""What each rule's finding looks like in one number, and where that number goes when a remedy works.

The autopilot and the trial judge a change by it: it moves within ten to twenty updates, long before the return tells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from upswing.doctor.stats import median, spread

Value = Callable[[Mapping[str, Any]], float | None]
"""The number in one iteration's record; None where it is undefined there."""

LEAST_SHARE = 0.1  # of the level before: a smaller movement is none
SIGMAS = 2.0  # of the difference of both medians


class Mechanism(NamedTuple):
    """The number that a finding is seen by."""

    name: str  # a metric's tag, or a key of the texts' measures
    direction: int  # +1: it rises when a remedy works; -1: it falls
    value: Value


class Movement(NamedTuple):
    """Where the number was before a change and where it is after."""

    before: float
    after: float
    as_predicted: bool


def _plain(tag: str) -> Value:
    return lambda record: record.get(tag)


def _size(tag: str) -> Value:
    return lambda record: None if record.get(tag) is None else abs(record[tag])


def _entropy(record: Mapping[str, Any]) -> float | None:
    loss = record.get("train/entropy_loss")
    return None if loss is None else -loss


def _relative_value_loss(record: Mapping[str, Any]) -> float | None:
    loss, deviation = record.get("train/value_loss"), record.get("train/return_std")
    return loss / deviation**2 if loss is not None and deviation else None


def _return_size(record: Mapping[str, Any]) -> float | None:
    mean, deviation = record.get("train/return_mean"), record.get("train/return_std")
    return math.hypot(mean, deviation) if mean is not None and deviation is not None else None


def _advantage_bias(record: Mapping[str, Any]) -> float | None:
    mean, deviation = record.get("train/adv_mean"), record.get("train/adv_std")
    return abs(mean) / deviation if mean is not None and deviation else None


def _env_share(record: Mapping[str, Any]) -> float | None:
    parts = [record.get(f"time/{part}_s") for part in ("env", "collect", "update")]
    return None if None in parts else parts[0] / (parts[1] + parts[2])  # type: ignore[operator]


def _falls(tag: str) -> Mechanism:
    return Mechanism(tag, -1, _plain(tag))


def _rises(tag: str) -> Mechanism:
    return Mechanism(tag, +1, _plain(tag))


RETURN = _rises("rollout/iteration_rew_mean")
"""What everything is for. Codes that have no number of their own are judged by it alone."""

MECHANISMS: dict[str, Mechanism] = {
    "P01": _falls("train/approx_kl"),
    "P02": _rises("train/approx_kl"),
    "P03": _falls("train/clip_fraction"),
    "P04": _falls("train/kl_update"),
    "P06": _rises("train/n_epochs_done"),
    "P07": Mechanism("entropy", +1, _entropy),
    "P08": Mechanism("entropy", -1, _entropy),
    "P09": _falls("train/std"),
    "P10": _falls("rollout/action_saturation"),
    "V01": _rises("train/explained_variance"),
    "V03": Mechanism("train/value_bias", -1, _size("train/value_bias")),
    "V04": Mechanism("return_size", -1, _return_size),
    "V05": Mechanism("relative_value_loss", -1, _relative_value_loss),
    "V06": Mechanism("relative_value_loss", -1, _relative_value_loss),
    "O01": _falls("train/grad_norm_max"),
    "O03": _falls("train/dormant_units"),
    "A01": Mechanism("advantage_bias", -1, _advantage_bias),
    "N01": _falls("rollout/obs_std_max"),
    "F01": _falls("time/update_s"),
    "F02": Mechanism("env_share", -1, _env_share),
}


def mechanism_of(code: str) -> Mechanism:
    """What findings of `code` are seen by."""
    return MECHANISMS.get(code, RETURN)


def values_of(mechanism: Mechanism, records: list[Mapping[str, Any]]) -> np.ndarray:
    """The mechanism's number in each of `records` that has one."""
    found = (mechanism.value(record) for record in records)
    return np.array([value for value in found if value is not None and math.isfinite(value)], float)


def movement(mechanism: Mechanism, before: np.ndarray, after: np.ndarray) -> Movement:
    """How the median moved from the updates `before` to those `after`.

    As predicted means in the mechanism's direction, by a tenth of the level before and by twice the standard error of
    the difference, from robust spreads: σ² (1/n + 1/m) with the normal approximation π/2 for medians.
    """
    old, new = median(before), median(after)
    if not len(before) or not len(after):
        return Movement(old, new, False)
    error = math.sqrt(math.pi / 2 * (spread(before) ** 2 / len(before) + spread(after) ** 2 / len(after)))
    least = max(LEAST_SHARE * abs(old), SIGMAS * error)
    return Movement(old, new, mechanism.direction * (new - old) >= least and new != old)
