"""The gradient's norm, and Adam on flat buffers."""

from __future__ import annotations

import math

import numpy as np

from upswing.compiled.compiler import inline, inline_finite

BETA1, BETA2 = 0.9, 0.999  # torch's defaults, and everyone's
TINY = np.float32(1e-30)


@inline
def squared_norm(grads):
    """The square of the Euclidean norm of `grads`, a float32."""
    total = np.float32(0.0)
    for i in range(grads.size):
        total += grads[i] * grads[i]
    return total


@inline
def clip_factor(grad_norm, max_norm):
    """What gradients are multiplied by, as torch's clip_grad_norm_ does: min(1, max_norm / (norm + 1e-6))."""
    return min(np.float32(1.0), np.float32(max_norm) / (grad_norm + np.float32(1e-6)))


@inline
def adam_step(params, grads, exp_avg, exp_avg_sq, step, factor, learning_rate, eps):
    """The `step`-th step, from 1, with gradients g = factor · grads, exactly torch.optim.Adam's:

        m ← m + (1 - β₁)(g - m),   v ← β₂ v + (1 - β₂) g²
        θ ← θ - η / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + ε)

    Source: Kingma and Ba 2015 (arXiv:1412.6980), algorithm 1, with its ε outside the square root.
    """
    size = np.float32(learning_rate / (1.0 - BETA1**step))
    correction = np.float32(1.0 / math.sqrt(1.0 - BETA2**step))
    _move(params, grads, exp_avg, exp_avg_sq, np.float32(factor), size, correction, np.float32(eps))


@inline_finite
def _move(params, grads, exp_avg, exp_avg_sq, factor, size, correction, eps):
    keep1, take1 = np.float32(BETA1), np.float32(1.0 - BETA1)
    keep2, take2 = np.float32(BETA2), np.float32(1.0 - BETA2)
    for i in range(params.size):
        g = grads[i] * factor
        m = keep1 * exp_avg[i] + take1 * g
        v = keep2 * exp_avg_sq[i] + take2 * g * g
        # moments of a gradient that stays 0 decay into denormal numbers, which are many times slower for ever after
        m = m if abs(m) > TINY else np.float32(0.0)
        v = v if v > TINY * np.float32(1e-6) else np.float32(0.0)
        exp_avg[i], exp_avg_sq[i] = m, v
        params[i] -= size * m / (math.sqrt(v) * correction + eps)
