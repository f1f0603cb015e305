"""Running means and variances, and what is scaled by them. Functions on NumPy arrays; the moments are passed along."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

EPSILON = 1e-8


class Moments(NamedTuple):
    """Mean and population variance of everything seen so far, per feature; float64."""

    mean: np.ndarray
    var: np.ndarray
    weight: float  # how many values, the prior's included


def no_moments(shape: tuple[int, ...]) -> Moments:
    """Moments before anything was seen: mean 0, variance 1, and a weight of 1e-4, as in Stable-Baselines3."""
    return Moments(np.zeros(shape, np.float64), np.ones(shape, np.float64), 1e-4)


def merge(moments: Moments, batch: np.ndarray) -> Moments:
    """Moments of what was seen before and of `batch` [B, *shape] together.

    Source: Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
    """
    n = len(batch)
    if n == 0:
        return moments
    batch = batch.astype(np.float64, copy=False)
    mean, var = batch.mean(axis=0), batch.var(axis=0)
    total = moments.weight + n
    shift = mean - moments.mean
    spread = moments.var * moments.weight + var * n + shift**2 * (moments.weight * n / total)
    return Moments(moments.mean + shift * (n / total), spread / total, total)


def scale_obs(obs: np.ndarray, moments: Moments, clip: float) -> np.ndarray:
    """`obs` with each feature at mean 0 and variance 1, clipped to ± `clip`; float32."""
    scaled = (obs - moments.mean) / np.sqrt(moments.var + EPSILON)
    return np.clip(scaled, -clip, clip).astype(np.float32)


def scale_rewards(rewards: np.ndarray, moments: Moments, clip: float) -> np.ndarray:
    """`rewards` divided by the standard deviation of the discounted return, clipped to ± `clip`; never shifted."""
    return np.clip(rewards / np.sqrt(moments.var + EPSILON), -clip, clip).astype(np.float32)
