"""PPO's losses and the figures one reads off them. All inputs are [B] unless said otherwise."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

Number = Any
"""A float, or a scalar tensor, which torch's annotations keep apart where its functions do not."""


def policy_loss(log_ratio: Tensor, advantages: Tensor, clip_range: Number) -> Tensor:
    """The clipped surrogate loss, a scalar: -mean(min(r·A, clip(r, 1-ε, 1+ε)·A)) with r = exp(log_ratio).

    Source: Schulman et al. 2017 (arXiv:1707.06347), equation 7.
    """
    ratio = log_ratio.exp()
    return -torch.min(ratio * advantages, ratio.clamp(1.0 - clip_range, 1.0 + clip_range) * advantages).mean()


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip_range_vf: Number | None) -> Tensor:
    """Mean squared error of the critic, a scalar; with `clip_range_vf`, of the values kept that close to the old ones.

    Clipping is Stable-Baselines3's: only the clipped value counts (CleanRL takes the worse of both).
    """
    if clip_range_vf is not None:
        values = old_values + (values - old_values).clamp(-clip_range_vf, clip_range_vf)
    return (returns - values).square().mean()


def approx_kl(log_ratio: Tensor) -> Tensor:
    """Estimate of KL(old ‖ new), a scalar: mean(r - 1 - log r), never negative.

    Source: Schulman 2020, "Approximating KL divergence", estimator k3.
    """
    return (log_ratio.exp() - 1.0 - log_ratio).mean()


def clip_fraction(log_ratio: Tensor, clip_range: Number) -> Tensor:
    """Share of samples whose probability ratio lies outside 1 ± ε, a scalar."""
    return ((log_ratio.exp() - 1.0).abs() > clip_range).float().mean()


def explained_variance(values: Tensor, returns: Tensor) -> Tensor:
    """1 - Var(R - V) / Var(R), a scalar: 1 is a perfect critic, 0 no better than a constant; NaN where returns do not vary."""
    variance = returns.var(unbiased=False)
    varies = variance > 1e-12 * (1.0 + returns.mean().square())  # more than by rounding
    return (1.0 - (returns - values).var(unbiased=False) / variance).where(varies, math.nan)


def value_bias(values: Tensor, returns: Tensor) -> Tensor:
    """mean(R - V) / std(R), a scalar: the constant error that explained variance cannot see; NaN where returns do not
    vary."""
    spread = returns.std(unbiased=False)
    varies = spread > 1e-6 * (1.0 + returns.mean().abs())
    return ((returns - values).mean() / spread).where(varies, math.nan)


def effective_share(weights: Tensor | None) -> float | None:
    """(Σw)² / (n Σw²): the effective sample size of weighted samples [B] as a share of their number; 1 where all weigh
    the same, None without weights.

    Source: Kong 1992, "A note on importance sampling using standardized weights".
    """
    if weights is None:
        return None
    return float(weights.sum().square() / (weights.numel() * weights.square().sum()))
