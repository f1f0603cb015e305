"""The statistics of comparisons: what several runs together say, and how sure that is.

Scores come as in Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice"
(arXiv:2108.13264): `[N, M]`, N runs (seeds) on each of M tasks; higher is better. Most comparisons here have one task,
so `[N, 1]`; `[N]` is taken for that. Results equal those of the authors' package rliable (tests/lab/test_statistics.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

LEVEL = 0.95  # of intervals
N_DRAWS = 2000  # resamples of a bootstrap: the ends of a 95 % interval then vary by a few per cent of its width
SINGLE, TOGETHER = 0.025, 0.05
"""How often chance alone may make one comparison look like a difference, and any of all that are made together."""


class Interval(NamedTuple):
    """An estimate and the ends of its 95 % interval; the ends are NaN where there is but one run."""

    value: float
    low: float
    high: float


Statistic = Callable[[np.ndarray], np.ndarray]
"""From scores [..., N, M] to one number for each of the leading axes [...]."""


def matrix(scores: np.ndarray | Sequence[float]) -> np.ndarray:
    """`scores` as float64 [N, M]; a vector [N] is one task."""
    array = np.asarray(scores, np.float64)
    return array[:, None] if array.ndim == 1 else array


def iqm(scores: np.ndarray) -> np.ndarray:
    """The interquartile mean of scores [..., N, M] over their last two axes: the mean without the lowest and the highest
    quarter (rounded down). More robust than a mean, and less wasteful than a median.

    Source: Agarwal et al. 2021, section 4.3.
    """
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    n = flat.shape[-1]
    cut = int(0.25 * n)
    return flat[..., cut : n - cut].mean(-1)


def resampled(scores: np.ndarray, n_draws: int, generator: np.random.Generator) -> np.ndarray:
    """`n_draws` stratified resamples [n_draws, N, M] of scores [N, M]: within each task, N runs drawn with replacement.

    Source: Agarwal et al. 2021, section 4.1.
    """
    n_runs, n_tasks = scores.shape
    picks = generator.integers(0, n_runs, (n_draws, n_runs, n_tasks))
    return scores[picks, np.arange(n_tasks)]


def interval(
    scores: np.ndarray | Sequence[float], statistic: Statistic = iqm, n_draws: int = N_DRAWS, seed: int = 0
) -> Interval:
    """`statistic` of scores [N, M] with its 95 % interval: the percentiles of a stratified bootstrap.

    With few runs such an interval is too narrow (five cover about 85 % of the time): it describes, `rank_test` decides.
    """
    scores = matrix(scores)
    value = float(statistic(scores))
    if len(scores) < 2:
        return Interval(value, math.nan, math.nan)
    return _percentiles(value, statistic(resampled(scores, n_draws, np.random.default_rng(seed))))


def _percentiles(value: float, draws: np.ndarray) -> Interval:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def probability_of_improvement(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How likely a run of X [..., N, M] scores higher than one of Y [..., N', M] on the same task, a tie counting half;
    the mean over tasks.

    Source: Agarwal et al. 2021, section 4.3: the Mann–Whitney statistic U / (N · N').
    """
    above = np.sign(x[..., :, None, :] - y[..., None, :, :])
    return (0.5 + 0.5 * above).mean((-3, -2, -1))


def improvement(x: np.ndarray | Sequence[float], y: np.ndarray | Sequence[float], seed: int = 0) -> Interval:
    """The probability of improvement of X [N, M] over Y [N', M], with its 95 % interval; both are resampled."""
    return _between(probability_of_improvement, matrix(x), matrix(y), seed)


def iqm_difference(x: np.ndarray | Sequence[float], y: np.ndarray | Sequence[float], seed: int = 0) -> Interval:
    """The interquartile mean of X [N, M] less that of Y [N', M], with its 95 % interval; both are resampled."""
    return _between(lambda a, b: iqm(a) - iqm(b), matrix(x), matrix(y), seed)


def _between(
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray], x: np.ndarray, y: np.ndarray, seed: int
) -> Interval:
    value = float(statistic(x, y))
    if min(len(x), len(y)) < 2:
        return Interval(value, math.nan, math.nan)
    generator = np.random.default_rng(seed)
    return _percentiles(value, statistic(*(resampled(scores, N_DRAWS, generator) for scores in (x, y))))


def rank_test(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> float:
    """How often chance alone, dealing the runs [N] and [N'] into two groups anew, parts them at least as far: p, two-sided.

    The exact permutation distribution of the rank sum, ties sharing their mean rank, by counting the subsets of size N
    with each rank sum. It holds for any N, unlike bootstrap intervals. 1 where nothing differs. Source: Mann & Whitney
    1947, "On a test of whether one of two random variables is stochastically larger than the other".
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    both, n = np.concatenate([x, y]), len(x)
    ranks = np.array([(both < value).sum() * 2 + (both == value).sum() + 1 for value in both])  # twice the mean ranks
    ways = np.zeros((n + 1, int(ranks.sum()) + 1))  # [size of the subset, twice its rank sum]
    ways[0, 0] = 1.0
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, :-rank].copy()
    sums = np.arange(ways.shape[1])
    expected = n * ranks.sum() / len(both)
    far = np.abs(sums - expected) >= abs(ranks[:n].sum() - expected) - 1e-9
    return float(ways[n, far].sum() / ways[n].sum())


def claimed(p_values: Sequence[float]) -> list[bool]:
    """Which of comparisons made together are differences: p at most SINGLE, and at most TOGETHER after Holm's correction.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    passed = [False] * len(p_values)
    for place, i in enumerate(order):
        if p_values[i] > min(SINGLE, TOGETHER / (len(p_values) - place)):
            break
        passed[i] = True
    return passed


def seeds_needed(n_comparisons: int = 1) -> int:
    """The fewest seeds a setting with which `n_comparisons` made together can show a difference at all.

    The clearest case, every run of one above every run of the other, has p = 2 / C(2n, n).
    """
    level = min(SINGLE, TOGETHER / max(1, n_comparisons))
    return next(n for n in range(2, 100) if 2 / math.comb(2 * n, n) <= level)


class Band(NamedTuple):
    """The interquartile mean of several curves and its pointwise 95 % interval; all [U]."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def curve_band(curves: np.ndarray, n_draws: int = 500, seed: int = 0) -> Band:
    """The band of `curves` [N, U] on one axis, whole runs being resampled; low and high are NaN for one run."""
    curves = np.asarray(curves, np.float64)
    value = iqm(np.moveaxis(curves, 1, 0)[:, :, None])
    if len(curves) < 2:
        return Band(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    picks = np.random.default_rng(seed).integers(0, len(curves), (n_draws, len(curves)))
    draws = iqm(np.moveaxis(curves[picks], 2, 1)[..., None])  # [n_draws, U]
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return Band(value, low, high)


def time_to(threshold: float, at: np.ndarray, values: np.ndarray) -> float:
    """The first of `at` [U] (steps, or seconds) from which the curve `values` [U] reaches `threshold`; infinity if never."""
    reached = np.flatnonzero(np.nan_to_num(values, nan=-np.inf) >= threshold)
    return float(at[reached[0]]) if len(reached) else math.inf


def mean_height(at: np.ndarray, values: np.ndarray) -> float:
    """The curve `values` [U] averaged over `at` [U]: the area under it divided by its length. NaN under two points.

    The efficiency of a run: of two that end alike, the one that rose earlier has the higher mean.
    """
    keep = np.isfinite(at) & np.isfinite(values)
    at, values = at[keep], values[keep]
    if len(at) < 2 or at[-1] <= at[0]:
        return math.nan
    return float(np.trapezoid(values, at) / (at[-1] - at[0]))
