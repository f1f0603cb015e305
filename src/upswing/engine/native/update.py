"""An update in one call: epochs of shuffled minibatches, each with its gradient, its check and its step of Adam."""

from __future__ import annotations

import math

import numpy as np

from upswing.compiled.compiler import inline, kernel
from upswing.compiled.random import shuffle
from upswing.compiled.views import vector
from upswing.engine.native.adam import adam_step, clip_factor, norm
from upswing.engine.native.minibatch import gradient
from upswing.engine.native.mlp import refresh_shadow
from upswing.engine.native.tables import (
    ADAM_EPS,
    ADAM_STEPS,
    CLIPPED,
    DIVERGED,
    ENT_COEF,
    ENTROPY_LOSS,
    EPOCH_CLIPPED,
    EPOCH_KL,
    EPOCH_MINIBATCHES,
    KL,
    KL_MAX,
    LEARNING_RATE,
    LOSS,
    MAX_GRAD_NORM,
    N_CLIPPED_STEPS,
    N_EPOCHS,
    N_FIGURES,
    N_MINIBATCHES,
    N_STEPS,
    NORM,
    NORM_MAX,
    POLICY_LOSS,
    RATIO_ERROR,
    STOPPED,
    TARGET_KL,
    VALUE_LOSS,
    VF_COEF,
)

STOP_FACTOR = 1.5  # of target_kl, as in Stable-Baselines3

POLICY_TYPES = "i8[:,::1], i8[::1], f4[::1], f4[::1]"  # layers, head, params, shadow
BATCH_TYPES = "f4[:,::1], f4[:,::1], f4[::1], f4[::1], f4[::1], f4[::1]"
WORK_TYPES = "f4[::1], f4[::1], f4[::1], f4[::1], f4[:,::1]"


@kernel(
    f"void({POLICY_TYPES}, f4[::1], f4[::1], f4[::1], {BATCH_TYPES}, {WORK_TYPES}, i8[::1], u8[::1], i8, i8, f8[::1], f8[::1])"
)
def run_epochs(
    layers, head, params, shadow,
    grads, exp_avg, exp_avg_sq,
    obs, actions, log_probs, values, advantages, returns,
    x, outputs, slopes, deltas, scratch,
    order, stream, batch_size, n_epochs, settings, totals,
):  # fmt: skip
    """Run up to `n_epochs` passes over the transitions `order` in minibatches of `batch_size`, in random order.

    `order` holds the rows of the valid transitions and is left shuffled. The last minibatch of a pass may be smaller.
    `totals` goes on from where it stands, so that epochs may be run one by one with the same outcome; STOPPED is set
    where KL exceeds 1.5 TARGET_KL (before the step is taken), DIVERGED where a loss or gradient is not finite.
    """
    batch = (obs, actions, log_probs, values, advantages, returns)
    work = (x, outputs, slopes, deltas, scratch)
    figures = np.empty(N_FIGURES, np.float64)
    refresh_shadow(layers, params, shadow)
    for _ in range(n_epochs):
        shuffle(stream, order)
        totals[N_EPOCHS] += 1.0
        totals[EPOCH_KL] = totals[EPOCH_CLIPPED] = totals[EPOCH_MINIBATCHES] = 0.0
        for start in range(0, order.size, batch_size):
            picked = vector(order, start, min(batch_size, order.size - start))
            ratio_error = gradient(layers, head, params, shadow, batch, picked, settings, work, grads, figures)
            note_figures(figures, ratio_error, settings, totals)
            if figures[KL] > STOP_FACTOR * settings[TARGET_KL]:
                totals[STOPPED] = 1.0
                return
            take_step(params, grads, exp_avg, exp_avg_sq, settings, totals)
            if totals[DIVERGED] == 1.0:
                return
            refresh_shadow(layers, params, shadow)


@inline
def note_figures(figures, ratio_error, settings, totals):
    """Add one minibatch's figures to the totals."""
    if totals[N_MINIBATCHES] == 0.0:
        totals[RATIO_ERROR] = ratio_error
    for i in range(N_FIGURES):
        totals[i] += figures[i]
    totals[N_MINIBATCHES] += 1.0
    totals[EPOCH_KL] += figures[KL]
    totals[EPOCH_CLIPPED] += figures[CLIPPED]
    totals[EPOCH_MINIBATCHES] += 1.0
    totals[KL_MAX] = max(totals[KL_MAX], figures[KL])
    weighted_value = settings[VF_COEF] * figures[VALUE_LOSS]
    totals[LOSS] = figures[POLICY_LOSS] + settings[ENT_COEF] * figures[ENTROPY_LOSS] + weighted_value


@inline
def take_step(params, grads, exp_avg, exp_avg_sq, settings, totals):
    """Clip the gradient and take a step, or set DIVERGED and leave everything as it is."""
    grad_norm = norm(grads)
    if not (math.isfinite(grad_norm) and math.isfinite(totals[LOSS])):
        totals[DIVERGED] = 1.0
        return
    totals[N_STEPS] += 1.0
    totals[ADAM_STEPS] += 1.0
    totals[NORM] += grad_norm
    totals[NORM_MAX] = max(totals[NORM_MAX], np.float64(grad_norm))
    if grad_norm > settings[MAX_GRAD_NORM]:
        totals[N_CLIPPED_STEPS] += 1.0
    factor = clip_factor(grad_norm, settings[MAX_GRAD_NORM])
    learning_rate, eps = settings[LEARNING_RATE], settings[ADAM_EPS]
    adam_step(params, grads, exp_avg, exp_avg_sq, totals[ADAM_STEPS], factor, learning_rate, eps)
