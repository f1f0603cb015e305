"""Running moments and what is scaled by them, in compiled code; formulas and sources as in upswing/ppo/normalize.py.

Moments are float64: mean [d], variance [d], and their weight [1].
"""

from __future__ import annotations

import math

import numpy as np

from upswing.compiled import numeric
from upswing.compiled.compiler import inline_exact

EPSILON = 1e-8


@inline_exact
def merge(mean, var, count, batch, rows):
    """Let the moments take in the first `rows` rows of `batch` [·, d]."""
    if rows == 0:
        return
    total = count[0] + rows
    for j in range(mean.size):
        batch_mean = 0.0
        for i in range(rows):
            batch_mean += np.float64(batch[i, j])
        batch_mean /= rows
        spread = 0.0
        for i in range(rows):
            spread += (np.float64(batch[i, j]) - batch_mean) ** 2
        shift = batch_mean - mean[j]
        spread += var[j] * count[0] + shift * shift * (count[0] * rows / total)
        mean[j] += shift * (rows / total)
        var[j] = spread / total
    count[0] = total


@inline_exact
def scale_obs(mean, var, clip, raw, scaled, rows):
    """Write the first `rows` rows of `raw` [·, d] scaled to mean 0 and variance 1, clipped to ± clip, to `scaled`."""
    for j in range(mean.size):
        deviation = math.sqrt(var[j] + EPSILON)
        for i in range(rows):
            scaled[i, j] = np.float32(numeric.clamp((np.float64(raw[i, j]) - mean[j]) / deviation, -clip, clip))


@inline_exact
def learn_rewards(mean, var, count, discounted, gamma, clip, rewards, ended, valid):
    """Scale `rewards` [N] in place by the deviation of the discounted return, after it has taken them in.

    `discounted` [N] is each environment's return so far; it is 0 again where an episode `ended`. Rows that are not
    `valid` count for nothing.
    """
    rows = 0
    taken = np.empty((rewards.size, 1), np.float64)
    for i in range(rewards.size):
        if valid[i]:
            discounted[i] = discounted[i] * gamma + rewards[i]
            taken[rows, 0] = discounted[i]
            rows += 1
    merge(mean, var, count, taken, rows)
    deviation = math.sqrt(var[0] + EPSILON)
    for i in range(rewards.size):
        if ended[i]:
            discounted[i] = 0.0
        rewards[i] = np.float32(numeric.clamp(np.float64(rewards[i]) / deviation, -clip, clip))
