"""The statistics under the rules, against values worked out by hand or by other means."""

import numpy as np
import pytest
from scipy.stats import theilslopes

from doctor.made import episodes, healthy
from upswing.doctor.returns import FALLEN, FLAT, PLATEAU, RISING, UNKNOWN, returns_of
from upswing.doctor.stats import (
    block_means,
    jitter,
    rolling_share,
    slope_interval,
    smooth,
    spread,
    theil_sen,
)


def test_theil_sen_is_scipys_and_shrugs_off_outliers():
    random = np.random.default_rng(0)
    x = np.sort(random.random(30))
    y = 3 * x + random.normal(0, 0.1, 30)
    assert theil_sen(x, y) == pytest.approx(theilslopes(y, x)[0])
    y[3] = 1e6
    assert theil_sen(x, y) == pytest.approx(3, abs=0.5)
    assert np.isnan(theil_sen(x[:2], y[:2]))


def test_spread_and_jitter_are_standard_deviations_of_normal_noise():
    noise = np.random.default_rng(0).normal(0, 2, 4000)
    assert spread(noise) == pytest.approx(2, rel=0.06)
    assert jitter(noise + np.linspace(0, 5000, 4000)) == pytest.approx(2, rel=0.06)


def test_rolling_share_counts_known_values_only():
    flags = np.array([1, 1, 0, 1, 1], bool)
    known = np.array([1, 0, 1, 1, 1], bool)
    assert rolling_share(flags, known, 3).tolist() == [1.0, 1.0, 0.5, 0.5, pytest.approx(2 / 3)]
    assert np.isnan(rolling_share(flags, np.zeros(5, bool), 3)).all()


def test_smoothing_ignores_gaps():
    assert smooth(np.array([1.0, np.nan, 3.0, 5.0]), 2).tolist() == [1.0, 1.0, 3.0, 4.0]


def test_block_means_hold_equally_many_points():
    x, y = block_means(np.arange(10.0), np.arange(10.0) * 2, 5)
    assert x.tolist() == [0.5, 2.5, 4.5, 6.5, 8.5]
    assert y.tolist() == [1, 5, 9, 13, 17]


def test_the_slope_interval_covers_the_truth_of_dependent_noise():
    covered = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        noise = np.convolve(random.normal(0, 1, 260), np.ones(20) / 20, "valid")[:200]
        low, high = slope_interval(np.arange(200.0), 0.01 * np.arange(200.0) + noise)
        covered += low <= 0.01 <= high
    assert covered >= 26  # 90 % nominal; a short autocorrelated curve never gives all of it


def state(curve):
    """What the return of a run with this curve does."""
    return returns_of(
        healthy(n=len(curve), ep_rew_mean=curve, iteration_rew_mean=None, **{"eval/mean_reward": None})
    ).state


def test_five_words_for_a_return():
    t, noise = np.linspace(0, 1, 120), np.random.default_rng(0).normal(0, 1, 120)
    assert state(20 + 200 * t + noise) == RISING
    assert state(20 + 200 * (1 - np.exp(-12 * t)) + noise) == PLATEAU
    assert state(20 + noise) == FLAT
    assert state(20 + 200 * np.where(t < 0.6, t, 0.1) + noise) == FALLEN
    assert state(np.where(t > 0.97, 3.0, np.nan)) == UNKNOWN
    assert state(-500 + 420 * (1 - np.exp(-30 * t)) + noise) == PLATEAU


def test_the_start_is_what_the_first_episodes_gave():
    quick = episodes(np.concatenate([np.full(12, -50.0), np.full(400, 90.0)]), 100)
    returns = returns_of(healthy(episodes=quick))
    assert returns.start == -50
    assert returns.state == PLATEAU
