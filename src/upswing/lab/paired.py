"""What pairs of runs that differ in one thing say about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEVEL = 0.95


class Paired(NamedTuple):
    """The mean difference within pairs, and the ends of its 95 % interval; NaN where there are fewer than two pairs."""

    value: float
    low: float
    high: float
    n: int  # pairs in which both are known


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Paired:
    """The mean of ours − theirs over pairs, with Student's interval: mean ± t · s / √n, n − 1 degrees of freedom.

    Exact for normal differences at any n; a bootstrap of three pairs knows only ten resamples. Source: Student 1908,
    "The probable error of a mean".
    """
    differences = np.asarray(ours, float) - np.asarray(theirs, float)
    differences = differences[np.isfinite(differences)]
    n = len(differences)
    if n < 2:
        return Paired(float(differences.mean()) if n else math.nan, math.nan, math.nan, n)
    mean = float(differences.mean())
    reach = t_quantile((1 + LEVEL) / 2, n - 1) * float(differences.std(ddof=1)) / math.sqrt(n)
    return Paired(mean, mean - reach, mean + reach, n)


def t_quantile(p: float, degrees: int) -> float:
    """The `p`-quantile of Student's t with `degrees` of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, p))
