"""The statistics that the rules stand on: robust, short, on arrays of one run."""

from __future__ import annotations

import numpy as np

MAD_TO_SIGMA = 1.4826  # of a normal distribution


def median(values: np.ndarray) -> float:
    """The median of the finite `values`; NaN where there is none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def spread(values: np.ndarray) -> float:
    """A robust standard deviation of the finite `values`: 1.4826 × the median distance from their median."""
    finite = values[np.isfinite(values)]
    return float(MAD_TO_SIGMA * np.median(np.abs(finite - np.median(finite)))) if len(finite) else float("nan")


def jitter(values: np.ndarray) -> float:
    """A robust standard deviation of `values` around their own trend, from the differences of neighbours."""
    finite = values[np.isfinite(values)]
    return spread(np.diff(finite)) / np.sqrt(2.0) if len(finite) > 2 else float("nan")


def theil_sen(x: np.ndarray, y: np.ndarray) -> float:
    """The median of the slopes between all pairs of points: a trend that outliers do not bend. NaN under 3 points.

    Source: Sen 1968, "Estimates of the regression coefficient based on Kendall's tau". O(n²): thin long curves first.
    """
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    if len(x) < 3:
        return float("nan")
    i, j = np.triu_indices(len(x), 1)
    run = x[j] - x[i]
    return float(np.median((y[j] - y[i])[run > 0] / run[run > 0]))


def block_means(x: np.ndarray, y: np.ndarray, n_blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of `x` and of `y` over at most `n_blocks` stretches with equally many finite points."""
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    n = min(n_blocks, len(x))
    if n == 0:
        return x, y
    edges = np.linspace(0, len(x), n + 1).astype(int)
    size = np.diff(edges)
    return np.add.reduceat(x, edges[:-1]) / size, np.add.reduceat(y, edges[:-1]) / size


def slope_interval(x: np.ndarray, y: np.ndarray, seed: int = 0, n_draws: int = 200) -> tuple[float, float]:
    """A 90 % interval of the Theil–Sen slope of `y` over `x`, by resampling the residuals in blocks.

    Blocks keep the dependence between neighbours, which a moving mean over 100 episodes has plenty of. Source: Künsch
    1989, "The jackknife and the bootstrap for general stationary observations".
    """
    x, y = block_means(x, y, 40)
    slope = theil_sen(x, y)
    if not np.isfinite(slope):
        return float("nan"), float("nan")
    residuals = y - slope * x
    residuals = residuals - residuals.mean()
    size = max(2, round(len(x) ** (1 / 3)))
    generator = np.random.default_rng(seed)
    starts = generator.integers(0, max(1, len(x) - size + 1), (n_draws, -(-len(x) // size)))
    picks = (starts[:, :, None] + np.arange(size)).reshape(n_draws, -1)[:, : len(x)]
    i, j = np.triu_indices(len(x), 1)
    run = x[j] - x[i]
    keep = run > 0
    drawn = residuals[np.minimum(picks, len(x) - 1)]
    slopes = slope + np.median((drawn[:, j] - drawn[:, i])[:, keep] / run[keep], axis=1)
    low, high = np.quantile(slopes, [0.05, 0.95])
    return float(low), float(high)


def rolling_share(flags: np.ndarray, known: np.ndarray, window: int) -> np.ndarray:
    """At each iteration, the share of `flags` among the `known` of the last `window`; NaN where half are unknown."""
    hits, seen = (_rolling_sum((values & known).astype(float), window) for values in (flags, np.ones_like(known)))
    length = np.minimum(np.arange(1, len(flags) + 1), window)
    return np.where(seen >= 0.5 * length, hits / np.maximum(seen, 1.0), np.nan)


def _rolling_sum(values: np.ndarray, window: int) -> np.ndarray:
    sums = np.concatenate([[0.0], np.cumsum(values)])
    upto = np.arange(1, len(values) + 1)
    return sums[upto] - sums[np.maximum(0, upto - window)]


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of the finite values among the last `window`; NaN where there is none."""
    known = np.isfinite(values)
    sums = _rolling_sum(np.where(known, values, 0.0), window)
    seen = _rolling_sum(known.astype(float), window)
    return np.where(seen > 0, sums / np.maximum(seen, 1.0), np.nan)
