"""The statistics against rliable, brute force, hand values and simulations."""

import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from upswing.lab import statistics
from upswing.lab.statistics import (
    claimed,
    curve_band,
    improvement,
    interval,
    iqm,
    iqm_difference,
    mean_height,
    probability_of_improvement,
    rank_test,
    seeds_needed,
    time_to,
)
from upswing.lab.verdict import FAILED, LEARNED, SUSPECTED, verdicts

RLIABLE = json.loads((Path(__file__).parent.parent / "data" / "rliable.json").read_text())  # see rliable_values.py


def drawn(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("case", RLIABLE, ids=range(len(RLIABLE)))
def test_estimates_are_rliables(case):
    x, y = np.array(case["x"]), np.array(case["y"])
    assert iqm(x) == pytest.approx(case["iqm"], abs=1e-12)
    assert probability_of_improvement(x, y) == pytest.approx(case["improvement"], abs=1e-12)


@pytest.mark.parametrize("case", RLIABLE, ids=range(len(RLIABLE)))
def test_intervals_are_rliables_within_monte_carlo_error(case):
    """Ends of two bootstraps differ by a few per cent of its width; the shares of few pairs leap by 0.02."""
    for ours, theirs in (
        (interval(case["x"]), case["iqm_interval"]),
        (improvement(case["x"], case["y"]), case["improvement_interval"]),
    ):
        assert [ours.low, ours.high] == pytest.approx(theirs, abs=0.06 * (theirs[1] - theirs[0]) + 0.02)


def test_hand_values():
    assert iqm(np.array([[0.0], [1.0], [2.0], [3.0], [100.0]])) == 2.0  # one of five goes at each end
    assert probability_of_improvement(np.array([[1.0], [2.0]]), np.array([[2.0], [0.0]])) == 0.625
    assert iqm_difference([3.0, 3.0], [1.0, 1.0]) == (2.0, 2.0, 2.0)
    assert math.isnan(interval([1.0]).low) and math.isnan(improvement([1.0], [2.0, 3.0]).high)
    assert time_to(2.0, np.array([10, 20, 30]), np.array([np.nan, 2.0, 1.0])) == 20
    assert time_to(5.0, np.array([10, 20]), np.array([1.0, 2.0])) == math.inf
    assert mean_height(np.array([0.0, 1.0, 3.0]), np.array([0.0, 2.0, 2.0])) == pytest.approx(5 / 3)


@pytest.mark.parametrize("seed", range(4))
def test_the_rank_test_is_exact(seed):
    x, y = drawn(5, seed), drawn(6, seed + 10) + seed / 3
    assert rank_test(x, y) == pytest.approx(mannwhitneyu(x, y, method="exact").pvalue)
    x, y = np.round(x), np.round(y)  # with ties: by brute force
    both = np.concatenate([x, y])
    ranks = np.array([(both < v).sum() + (both == v).sum() / 2 for v in both])
    away = lambda rows: abs(ranks[list(rows)].sum() - 5 * ranks.mean())  # noqa: E731
    all_of_them = [away(rows) >= away(range(5)) - 1e-9 for rows in combinations(range(11), 5)]
    assert rank_test(x, y) == pytest.approx(np.mean(all_of_them))
    assert rank_test([1.0] * 5, [1.0] * 5) == 1.0


def test_claims_need_seeds():
    assert [seeds_needed(n) for n in (1, 3, 6, 7)] == [5, 5, 5, 6]
    apart = lambda n: rank_test(range(n), range(n, 2 * n))  # noqa: E731
    assert claimed([apart(5)]) == [True] and claimed([apart(4)]) == [False]
    assert claimed([apart(5)] * 6) == [True] * 6 and claimed([apart(5)] * 7) == [False] * 7
    assert claimed([0.9, 0.001, 0.02]) == [False, True, True]
    assert claimed([]) == []


@pytest.mark.parametrize("n_seeds", [5, 10])
def test_identical_settings_are_called_no_difference(n_seeds):
    """100 studies of twice the same setting, of returns as trainings have them: capped, skewed, some failed."""
    generator = np.random.default_rng(n_seeds)
    wrong = 0
    for _ in range(100):
        scores = np.minimum(500.0, 430 + 100 * generator.normal(size=(2, n_seeds)))
        scores = np.where(generator.random(scores.shape) < 0.15, 30.0, scores)
        wrong += claimed([rank_test(*scores)])[0]
    assert wrong <= 5


def test_the_band_of_curves():
    curves = drawn((8, 20)) + np.arange(20)
    band = curve_band(curves)
    assert band.value == pytest.approx([iqm(curves[:, i : i + 1]) for i in range(20)])
    at_ten = interval(curves[:, 10])
    assert [band.low[10], band.high[10]] == pytest.approx([at_ten.low, at_ten.high], abs=0.15)
    assert np.isnan(curve_band(curves[:1]).low).all()


def test_what_failing_means():
    good, bad = [90.0, 95, 100], [10.0, 20, 30]
    assert [v.state for v in verdicts([good, bad], untrained=0.0)] == [LEARNED, FAILED]
    assert [v.state for v in verdicts([good, bad[:2]], 0.0)] == [LEARNED, SUSPECTED]
    assert [v.state for v in verdicts([good, [10.0, 20, 99]], 0.0)] == [LEARNED, LEARNED]  # one seed of three made it
    assert [v.state for v in verdicts([good, [float("nan")] * 3], 0.0)] == [LEARNED, FAILED]
    assert [v.state for v in verdicts([[0.0] * 3, [-1.0] * 3], 0.0)] == [FAILED, FAILED]
    assert verdicts([good, bad], 0.0)[0].bar == 47.5
    assert verdicts([], 0.0) == []
    assert statistics.LEVEL == 0.95
