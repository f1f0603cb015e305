"""Schedules: what each notation means, and that nothing unreadable, endless or reversed gets through."""

import math

import numpy as np
import pytest

from upswing.errors import ConfigError
from upswing.schedules import Adaptive, Schedule, parse_schedule


def values(setting, *remaining):
    schedule = parse_schedule(setting, "learning_rate", allow_adaptive=True)
    return [schedule(each) for each in remaining]


@pytest.mark.parametrize("setting", [3e-4, "3e-4", " 0.0003 ", np.float32(3e-4), np.float64(3e-4)])
def test_a_number_is_constant(setting):
    assert values(setting, 1.0, 0.3, 0.0) == pytest.approx([3e-4] * 3)
    assert all(type(value) is float for value in values(setting, 1.0))


def test_whole_numbers_are_numbers():
    assert values(0, 1.0) == values(np.int64(0), 1.0) == [0.0]


def test_linear():
    assert values("linear:0.2", 1.0, 0.5, 0.25, 0.0) == pytest.approx([0.2, 0.1, 0.05, 0.0])
    assert values("lin_0.2", 1.0, 0.5, 0.0) == pytest.approx([0.2, 0.1, 0.0])
    assert values("linear:0.4:0.2", 1.0, 0.5, 0.0) == pytest.approx([0.4, 0.3, 0.2])
    assert values("linear:0.1:0.3", 0.5) == pytest.approx([0.2])


def test_cosine():
    """End + (start - end)·(1 - cos(π·remaining))/2: by hand at 60 and 90 degrees."""
    assert values("cosine:1:0", 1.0, 0.5, 0.0) == pytest.approx([1.0, 0.5, 0.0])
    assert values("cosine:1", 1 / 3) == pytest.approx([0.25])  # cos 60° = 1/2
    assert values("cosine:3:1", 1 / 3) == pytest.approx([1.5])


def test_piecewise_counts_what_is_done():
    assert values("piecewise:0=3,0.5=1", 1.0, 0.51, 0.5, 0.49, 0.0) == [3, 3, 1, 1, 1]
    assert values("piecewise:0.7=1,0=3,0.3=2", 0.75, 0.65, 0.25) == [3, 2, 1]
    assert 1.0 - (1.0 - 0.1) < 0.1  # in binary, and yet a tenth is done
    assert values("piecewise:0=1,0.1=2", 1.0 - 0.1) == [2]


def test_a_callable_is_called_with_the_remaining_progress():
    assert values(lambda remaining: remaining**2, 1.0, 0.5, 0.0) == [1.0, 0.25, 0.0]


def test_a_schedule_is_its_own_description():
    schedule = parse_schedule("adaptive:1e-3", "learning_rate", allow_adaptive=True)
    assert parse_schedule(schedule, "learning_rate") is schedule


@pytest.mark.parametrize(
    ("setting", "lowest"),
    [
        (0.5, 0.5),
        ("linear:0.5", 0.0),
        ("linear:0.5:-0.1", -0.1),
        ("piecewise:0=1,0.3=-2,0.31=1", -2.0),
        ("cosine:1:2", 1.0),
        (lambda remaining: remaining - 0.75, -0.75),
        ("adaptive:1e-3", 1e-5),
    ],
)
def test_the_lowest_value_is_known(setting, lowest):
    assert parse_schedule(setting, "learning_rate", allow_adaptive=True).lowest == pytest.approx(lowest)


def test_adaptive_follows_the_kl():
    adaptive = parse_schedule("adaptive:3e-4:0.02:1e-4:1e-3", "learning_rate", allow_adaptive=True).adaptive
    assert adaptive == Adaptive(3e-4, 0.02, 1e-4, 1e-3)
    assert adaptive.next(3e-4, kl=0.05) == pytest.approx(2e-4)  # above 2 × 0.02
    assert adaptive.next(3e-4, kl=0.005) == pytest.approx(4.5e-4)  # under half of 0.02
    for kl in (0.01, 0.02, 0.04, 0.0, math.nan):
        assert adaptive.next(3e-4, kl) == 3e-4
    assert adaptive.next(1.2e-4, kl=1.0) == 1e-4 and adaptive.next(9e-4, kl=0.001) == 1e-3
    assert parse_schedule("adaptive:1e-3", "learning_rate", allow_adaptive=True).adaptive == Adaptive(1e-3)


UNREADABLE = [
    "fast",
    "",
    ":",
    "linear",
    "linear:",
    "linear:a",
    "linear:1:2:3",
    "cosine:1:2:3",
    "cubic:1",
    "piecewise:",
    "piecewise:0.5=1",
    "piecewise:0=1,1.5=2",
    "piecewise:-1=1,0=2",
    "piecewise:0",
    "piecewise:0=nan",
    "adaptive:a",
    "adaptive:1e-3:0",
    "adaptive:1e-3:-0.01",
    "adaptive:1e-3:0.01:1e-2",
    "adaptive:1:0.01:1e-5:1e-2",
    "adaptive:1e-3:0.01:1e-5:1e-2:7",
    "nan",
    "inf",
    "linear:inf",
    "linear:1:nan",
    math.nan,
    -math.inf,
    np.float32("nan"),
    True,
    np.bool_(True),
    None,
    [3e-4],
    {"linear": 3e-4},
    "__import__('os').system('touch /tmp/evaluated')",
    "lambda remaining: 1",
]


@pytest.mark.parametrize("setting", UNREADABLE)
def test_what_is_no_schedule_is_refused_in_one_sentence(setting):
    with pytest.raises(ConfigError) as caught:
        parse_schedule(setting, "learning_rate", allow_adaptive=True)
    message = str(caught.value)
    assert message.startswith(f"learning_rate = {setting!r} is not a schedule: give a number, linear:START")
    assert "adaptive:START" in message and "\n" not in message


def test_adaptive_is_for_the_learning_rate_only():
    with pytest.raises(ConfigError) as caught:
        parse_schedule("adaptive:0.2", "clip_range")
    assert str(caught.value).startswith("clip_range =") and "adaptive:START" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        (lambda: 1.0, "TypeError"),
        (lambda remaining: 1 / remaining, "ZeroDivisionError"),
        (lambda remaining: "fast", "ValueError"),
        (lambda remaining: None, "TypeError"),
        (lambda remaining: math.nan, "finite"),
        (lambda remaining: math.inf if remaining == 0 else 1, "finite"),
    ],
)
def test_a_callable_that_fails_is_named_before_training(setting, reason):
    with pytest.raises(ConfigError, match=rf"^ent_coef: the callable .*{reason}"):
        parse_schedule(setting, "ent_coef")


def test_start_is_the_first_value():
    assert isinstance(parse_schedule("linear:0.2", "clip_range"), Schedule)
    assert parse_schedule("linear:0.2", "clip_range").start == 0.2
    assert parse_schedule(lambda remaining: remaining / 4, "clip_range").start == 0.25
