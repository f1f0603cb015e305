"""Which faults hurt: their returns are significantly worse over seeds than the healthy recipe's."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

SIGNIFICANT = 0.05
LEAST = 0.05  # of what the healthy recipe gains: a smaller loss hurts nobody


def p_worse(healthy: Sequence[float], faulty: Sequence[float]) -> float:
    """The probability that chance alone makes the mean of `faulty` as low: an exact permutation test, one-sided.

    The share of all ways to choose len(faulty) of all values whose mean is at most theirs. Source: Fisher 1935, "The
    Design of Experiments", section 21. No distribution is assumed; six values against two can reach 1/28.
    """
    values = np.array([*healthy, *faulty], float)
    k = len(faulty)
    if not healthy or not faulty:
        return 1.0
    observed = math.fsum(faulty) + 1e-9 * max(1.0, float(np.abs(values).max()))
    sums = [math.fsum(values[list(chosen)]) for chosen in itertools.combinations(range(len(values)), k)]
    return sum(total <= observed for total in sums) / len(sums)


def hurts(healthy: Sequence[float], faulty: Sequence[float], first: float, least: float = LEAST) -> bool:
    """Whether a fault hurts: significantly, and by the share `least` of what the healthy trainings gained since `first`."""
    if not healthy or not faulty:
        return False
    gap = float(np.mean(healthy) - np.mean(faulty))
    gained = float(np.mean(healthy)) - first
    return gap >= least * abs(gained) and gap > 0 and p_worse(healthy, faulty) <= SIGNIFICANT
