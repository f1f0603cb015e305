"""The notation of settings that change during training, and what it means.

A schedule is a number, a text, or a Python callable of the *remaining progress* (1 at the start, 0 at the end,
as in Stable-Baselines3):

    3e-4                                  constant
    linear:3e-4          lin_3e-4         from 3e-4 to 0 over the run (the second form is RL-Zoo's)
    linear:3e-4:1e-5                      from 3e-4 to 1e-5
    cosine:3e-4:1e-5                      the same ends, along half a cosine
    piecewise:0=3e-4,0.5=1e-4             3e-4 until half of the run is done, 1e-4 from there on
    adaptive:3e-4:0.01:1e-5:1e-2          starts at 3e-4; divided by 1.5 when the KL exceeds 2 × 0.01, multiplied
                                          by 1.5 when it is under half of 0.01; kept within [1e-5, 1e-2]

Source of the adaptive rule: Schulman et al. 2017 (arXiv:1707.06347, section 4) adapt a penalty by the same
thresholds; applied to the learning rate as in RSL-RL (Rudin et al. 2021, arXiv:2109.11978).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

from upswing.errors import ConfigError

Setting = float | str | Callable[[float], float]
"""What a user may write for a setting that can change during training."""

FORMS = "a number, linear:START[:END], cosine:START[:END], piecewise:0=START,0.5=VALUE, or a callable"
ADAPTIVE_FORM = "adaptive:START[:TARGET_KL[:LOWEST[:HIGHEST]]]"


@dataclass(frozen=True)
class Adaptive:
    """A learning rate that follows the measured KL divergence of each update."""

    start: float
    target_kl: float = 0.01
    lowest: float = 1e-5
    highest: float = 1e-2

    def next(self, current: float, kl: float) -> float:
        """The learning rate of the next update, after an update at `current` that moved the policy by `kl`."""
        if kl > 2.0 * self.target_kl:
            return max(self.lowest, current / 1.5)
        if 0.0 < kl < 0.5 * self.target_kl:
            return min(self.highest, current * 1.5)
        return current


@dataclass(frozen=True)
class Schedule:
    """A setting as a function of the remaining progress; `start` is its value at the beginning."""

    value_at: Callable[[float], float]
    start: float
    adaptive: Adaptive | None = None
    lowest: float = 0.0  # over the whole run; of a callable, at its start, middle and end

    def __call__(self, remaining: float) -> float:
        return float(self.value_at(remaining))


def parse_schedule(setting: Setting, field: str, allow_adaptive: bool = False) -> Schedule:
    """The schedule that `setting` describes; `field` names it in errors. Raises ConfigError."""
    if isinstance(setting, Schedule):
        return setting
    if callable(setting):
        return _called(setting, field)
    try:
        schedule = _parse(setting, allow_adaptive)
    except ValueError:
        schedule = None
    if schedule is None or not math.isfinite(schedule.start) or not math.isfinite(schedule.lowest):
        raise _unreadable(field, setting, allow_adaptive)
    return schedule


def _parse(setting: object, allow_adaptive: bool) -> Schedule | None:
    """The schedule that a number or a text describes; None or a ValueError where it describes none."""
    if isinstance(setting, Real) and not isinstance(setting, bool):
        return _constant(float(setting))
    if not isinstance(setting, str):
        return None
    text = setting.strip()
    if text.startswith("lin_"):  # RL-Zoo's spelling
        text = "linear:" + text[4:]
    kind, _, rest = text.partition(":")
    if not rest:
        return _constant(float(text))
    if kind == "piecewise":
        return _piecewise(rest)
    numbers = [float(part) for part in rest.split(":")]
    if not all(math.isfinite(number) for number in numbers):
        return None
    if kind == "linear" and len(numbers) <= 2:
        return _between(*numbers, blend=lambda remaining: remaining)
    if kind == "cosine" and len(numbers) <= 2:
        return _between(*numbers, blend=lambda remaining: 0.5 * (1.0 - math.cos(math.pi * remaining)))
    if kind == "adaptive" and allow_adaptive and len(numbers) <= 4:
        return _adaptive(Adaptive(*numbers))
    return None


def _called(setting: Callable[[float], float], field: str) -> Schedule:
    """The schedule of a user's callable, after a look at its start, middle and end."""
    try:
        values = [float(setting(remaining)) for remaining in (1.0, 0.5, 0.0)]
    except Exception as error:
        raise ConfigError(
            f"{field}: the callable fails for a remaining progress between 1 and 0 ({type(error).__name__}: {error}): "
            f"let it return a number there."
        ) from error
    if not all(math.isfinite(value) for value in values):
        raise ConfigError(f"{field}: the callable returns {values} at the start, middle and end: let all be finite.")
    return Schedule(setting, values[0], lowest=min(values))


def _constant(value: float) -> Schedule:
    return Schedule(lambda remaining: value, value, lowest=value)


def _between(start: float, end: float = 0.0, *, blend: Callable[[float], float]) -> Schedule:
    return Schedule(lambda remaining: end + (start - end) * blend(remaining), start, lowest=min(start, end))


def _piecewise(text: str) -> Schedule:
    points = sorted((float(at), float(value)) for at, _, value in (part.partition("=") for part in text.split(",")))
    if points[0][0] != 0.0 or points[-1][0] > 1.0 or not all(math.isfinite(value) for _, value in points):
        raise ValueError("the first point is at 0, the last at most at 1, and all values are finite")

    def value_at(remaining: float) -> float:
        done = 1.0 - remaining
        return [value for at, value in points if at <= done + 1e-12][-1]

    return Schedule(value_at, points[0][1], lowest=min(value for _, value in points))


def _adaptive(adaptive: Adaptive) -> Schedule:
    if not (adaptive.target_kl > 0.0 and 0.0 < adaptive.lowest <= adaptive.start <= adaptive.highest):
        raise ValueError("the target is above 0, and the start between the lowest and the highest rate")
    return Schedule(lambda remaining: adaptive.start, adaptive.start, adaptive, lowest=adaptive.lowest)


def _unreadable(field: str, setting: object, allow_adaptive: bool) -> ConfigError:
    forms = f"{FORMS}, or {ADAPTIVE_FORM}" if allow_adaptive else FORMS
    return ConfigError(f"{field} = {setting!r} is not a schedule: give {forms}.")
