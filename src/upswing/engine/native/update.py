"""An update in one call: epochs of shuffled minibatches, each with its gradient, its check and its step of Adam."""

from __future__ import annotations

import math

import numpy as np

from upswing.compiled.compiler import inline, kernel
from upswing.compiled.random import shuffle
from upswing.compiled.views import vector
from upswing.engine.native.adam import clip_factor
from upswing.engine.native.minibatch import advantage_scaling
from upswing.engine.native.mlp import refresh_shadow
from upswing.engine.native.pieces import (
    ADAM_STEP,
    BY_NETWORK,
    COUNT,
    FACTOR,
    GRADIENT,
    N_PARTS,
    N_SUMS,
    NORM_OF_SUM,
    SCALE,
    SHADOW_OF,
    SHIFT,
    START,
    STEP,
    n_shards,
    norms_with_gradients,
    work_on,
)
from upswing.engine.native.tables import (
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
    LOSS,
    MAX_GRAD_NORM,
    N_CLIPPED_STEPS,
    N_EPOCHS,
    N_FIGURES,
    N_MINIBATCHES,
    N_STEPS,
    NORM,
    NORM_MAX,
    NORMALIZE,
    POLICY_LOSS,
    RATIO_ERROR,
    STOPPED,
    TARGET_KL,
    VALUE_LOSS,
    VF_COEF,
    WORST_RATIO,
)
from upswing.engine.native.team import OVER, publish, sharing

share, help_out = sharing(work_on)

STOP_FACTOR = 1.5  # of target_kl, as in Stable-Baselines3

POLICY_TYPES = "i8[:,::1], i8[::1], f4[::1], f4[::1]"  # layers, head, params, shadow
ADAM_TYPES = "f4[::1], f4[::1], f4[::1]"
BATCH_TYPES = "f4[:,::1], f4[:,::1], f4[::1], f4[::1], f4[::1], f4[::1]"
WORK_TYPES = "f4[::1], f4[::1], f4[::1], f4[::1], f4[:,::1]"
TEAM_TYPES = "i8[::1], i8[::1], f8[::1], f8[::1], f8[::1]"
REST_TYPES = "i8[::1], u8[::1], i8, i8, f8[::1], f8[::1], b1"


@kernel(f"void({POLICY_TYPES}, {ADAM_TYPES}, {BATCH_TYPES}, {WORK_TYPES}, {TEAM_TYPES}, {REST_TYPES})")
def run_epochs(
    layers, head, params, shadow,
    shards, exp_avg, exp_avg_sq,
    obs, actions, log_probs, values, advantages, returns,
    x, outputs, slopes, deltas, scratch,
    team, plan, shared, figures, norms,
    order, stream, batch_size, n_epochs, settings, totals, helps,
):  # fmt: skip
    """Run up to `n_epochs` passes over the transitions `order` in minibatches of `batch_size`, in random order.

    `order` holds the rows of the valid transitions and is left shuffled. The last minibatch of a pass may be smaller.
    `totals` goes on from where it stands, so that epochs may be run one by one with the same outcome; STOPPED is set
    where KL exceeds 1.5 TARGET_KL (before the step is taken), DIVERGED where a loss or gradient is not finite. The
    gradient is left in the first part of `shards`.

    With `helps` the call is another thread's, made with the same arguments but a workspace of its own: it does what
    the first one shares with it, until that one is done.
    """
    network, work = (layers, head, params, shadow), (x, outputs, slopes, deltas, scratch)
    batch = (obs, actions, log_probs, values, advantages, returns)
    job = (network, (exp_avg, exp_avg_sq), batch, order, settings, plan, shared, shards, figures, norms)
    if helps:
        help_out(team, job, work)
        return
    refresh_shadow(layers, params, shadow)
    for _ in range(n_epochs):
        shuffle(stream, order)
        if not whole_epoch(team, job, work, batch_size, totals):
            break
    publish(team, OVER, 0)


@inline
def whole_epoch(team, job, work, batch_size, totals):
    """Whether there may be another epoch after this one: neither KL nor a gradient that is not finite ended it."""
    order, plan = job[3], job[5]
    totals[N_EPOCHS] += 1.0
    totals[EPOCH_KL] = totals[EPOCH_CLIPPED] = totals[EPOCH_MINIBATCHES] = 0.0
    for start in range(0, order.size, batch_size):
        plan[START], plan[COUNT] = start, min(batch_size, order.size - start)
        minibatch(team, job, work, totals)
        if totals[STOPPED] == 1.0 or totals[DIVERGED] == 1.0:
            return False
    return True


@inline
def minibatch(team, job, work, totals):
    """Compute the gradient of the minibatch in `plan`, note its figures, and take the step unless KL forbids it."""
    network, _, batch, order, settings, plan, shared, _, figures, norms = job
    picked = vector(order, plan[START], plan[COUNT])
    shared[SHIFT], shared[SCALE] = advantage_scaling(batch[4], picked, settings[NORMALIZE])
    share(team, GRADIENT, n_shards(plan) * plan[N_PARTS], job, work)
    add_up(figures, n_shards(plan), plan[COUNT])
    note_figures(figures, settings, totals)
    if figures[KL] > STOP_FACTOR * settings[TARGET_KL]:
        totals[STOPPED] = 1.0
        return
    if not norms_with_gradients(plan):
        share(team, NORM_OF_SUM, norms.size, job, work)
    if not clip_and_count(norms, settings, plan, shared, totals):
        totals[DIVERGED] = 1.0
        return
    share(team, STEP, norms.size, job, work)
    if plan[BY_NETWORK] == 0:
        share(team, SHADOW_OF, network[0].shape[0], job, work)


@inline
def add_up(figures, shards, n):
    """Make the first shard's figures the minibatch's: means over its `n` transitions, and the largest |r - 1|."""
    for other in range(N_SUMS, shards * N_SUMS, N_SUMS):
        for i in range(N_FIGURES):
            figures[i] += figures[other + i]
        figures[WORST_RATIO] = max(figures[WORST_RATIO], figures[other + WORST_RATIO])
    for i in range(N_FIGURES):
        figures[i] /= n


@inline
def note_figures(figures, settings, totals):
    """Add one minibatch's figures to the totals."""
    if totals[N_MINIBATCHES] == 0.0:
        totals[RATIO_ERROR] = figures[WORST_RATIO]
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
def clip_and_count(norms, settings, plan, shared, totals):
    """Whether a step can be taken; if so it is counted, with the factor that its gradient is clipped by."""
    square = np.float32(0.0)
    for block in range(norms.size):
        square += np.float32(norms[block])
    grad_norm = math.sqrt(square)
    if not (math.isfinite(grad_norm) and math.isfinite(totals[LOSS])):
        return False
    totals[N_STEPS] += 1.0
    totals[ADAM_STEPS] += 1.0
    totals[NORM] += grad_norm
    totals[NORM_MAX] = max(totals[NORM_MAX], np.float64(grad_norm))
    if grad_norm > settings[MAX_GRAD_NORM]:
        totals[N_CLIPPED_STEPS] += 1.0
    plan[ADAM_STEP] = np.int64(totals[ADAM_STEPS])
    shared[FACTOR] = clip_factor(grad_norm, settings[MAX_GRAD_NORM])
    return True
