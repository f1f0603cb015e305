"""Generalised advantage estimation in compiled code, with the rollout's statistics."""

from __future__ import annotations

import math

import numpy as np

from upswing.compiled.compiler import inline, kernel
from upswing.engine.native.tables import ADV_MEAN, ADV_STD, RESIDUAL_MEAN, RESIDUAL_STD, RETURN_MEAN, RETURN_STD

ZERO = np.float32(0.0)


@kernel(
    "void(f4[:,::1], f4[:,::1], f4[::1], b1[:,::1], b1[:,::1], f4[:,::1], b1[:,::1], f8, f8, b1, f4[:,::1], f4[:,::1])"
)
def gae(
    rewards, values, last_values, terminated, truncated, final_values, valid,
    gamma, gae_lambda, bootstrap_terminations, advantages, returns,
):  # fmt: skip
    """Write advantages and returns, each [T, N]; formula and source as in upswing/ppo/advantages.py."""
    n_steps, n_envs = rewards.shape
    discount, decay = np.float32(gamma), np.float32(gamma * gae_lambda)
    running, following = np.zeros(n_envs, np.float32), last_values
    for t in range(n_steps - 1, -1, -1):
        for i in range(n_envs):
            if not valid[t, i]:
                running[i] = ZERO
            elif terminated[t, i] or truncated[t, i]:
                # nothing that follows enters, not even multiplied by 0: it may be the NaN of a row that is not valid
                worth = final_values[t, i] if bootstrap_terminations or not terminated[t, i] else ZERO
                running[i] = rewards[t, i] + discount * worth - values[t, i]
            else:
                delta = rewards[t, i] + discount * following[i] - values[t, i]
                running[i] = delta + decay * running[i]
            advantages[t, i] = running[i]
            returns[t, i] = running[i] + values[t, i]
        following = values[t]


@kernel("void(f4[::1], f4[::1], f4[::1], i8[::1], b1, f4[::1], f8[::1])")
def summarize(advantages, returns, values, rows, normalize, scaled, figures):
    """Write means and standard deviations (population) of advantages, returns and R - V over `rows` to `figures`.

    `scaled` gets the advantages, with `normalize` at mean 0 and standard deviation 1 (unbiased, plus 1e-8) over `rows`.
    """
    moments(advantages, advantages, ZERO, rows, figures[ADV_MEAN : ADV_STD + 1])
    moments(returns, returns, ZERO, rows, figures[RETURN_MEAN : RETURN_STD + 1])
    moments(returns, values, np.float32(1.0), rows, figures[RESIDUAL_MEAN : RESIDUAL_STD + 1])
    n = rows.size
    shift, scale = 0.0, 1.0
    if normalize and n > 1:
        shift, scale = figures[ADV_MEAN], 1.0 / (figures[ADV_STD] * math.sqrt(n / (n - 1)) + 1e-8)
    for i in range(n):
        row = rows[i]
        scaled[row] = np.float32((advantages[row] - shift) * scale)


@inline
def moments(a, b, weight, rows, out):
    """Write mean and standard deviation of a - weight b over `rows` to `out` [2]."""
    n, mean, variance = rows.size, 0.0, 0.0
    for i in range(n):
        mean += np.float64(a[rows[i]] - weight * b[rows[i]])
    mean /= n
    for i in range(n):
        d = np.float64(a[rows[i]] - weight * b[rows[i]]) - mean
        variance += d * d
    out[0], out[1] = mean, math.sqrt(variance / n)
