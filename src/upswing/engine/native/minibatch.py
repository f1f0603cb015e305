"""PPO's loss on a minibatch and its gradient, a few dozen transitions at a time.

    L = -mean min(r A, clip(r, 1 ± ε) A) - c_H mean H + c_V mean (R - V)²,   r = exp(log p(a) - log p_old(a))

Transitions go through the networks in chunks that stay in the cache; gradients add up over them. Figures and formulas
are those of upswing/ppo/losses.py.
"""

from __future__ import annotations

import math

import numpy as np

from upswing.compiled import numeric
from upswing.compiled.compiler import inline
from upswing.compiled.views import matrix, vector
from upswing.engine.native.heads import differentiate, evaluate
from upswing.engine.native.layout import (
    GAUSSIAN,
    KIND,
    LOG_STD,
    N_OUT,
    N_PARTS,
    OUTPUT,
    POLICY,
    POLICY_LAYER,
    VALUE,
    VALUE_LAYER,
)
from upswing.engine.native.mlp import backward, forward
from upswing.engine.native.tables import (
    CLIP_RANGE,
    CLIP_RANGE_VF,
    CLIPPED,
    ENT_COEF,
    ENTROPY_LOSS,
    KL,
    NORMALIZE,
    POLICY_LOSS,
    VALUE_LOSS,
    VF_COEF,
)

ZERO, ONE, TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)

# rows of the scratch array [·, chunk_rows]; then the actions, `p` and `logp` of heads.py
OLD_LOG_PROB, ADVANTAGE, RETURN, OLD_VALUE, LOG_PROB, ENTROPY, WEIGHT, ACTIONS = range(8)


def scratch_rows(n_actions: int, n_outputs: int) -> int:
    """How many rows the scratch array needs."""
    return ACTIONS + n_actions + (n_outputs + 2) + (n_outputs + n_actions)


@inline
def gradient(layers, head, params, shadow, batch, picked, settings, work, grads, figures):
    """The largest |r - 1| of the minibatch `picked` [n]; its gradient goes to `grads`, its `figures` are filled.

    batch: (obs [·, n_obs], actions [·, n_actions], log_probs, values, advantages, returns), of which `picked` are rows.
    work: (x, outputs, slopes, deltas, scratch), for as many rows at once as `scratch` has columns.
    """
    scratch = work[4]
    n, capacity = picked.size, scratch.shape[1]
    shift, scale = advantage_scaling(batch[4], picked, settings[NORMALIZE])
    for i in range(figures.size):
        figures[i] = 0.0
    if head[KIND] == GAUSSIAN:
        for k in range(batch[1].shape[1]):
            grads[head[LOG_STD] + k] = ZERO
    ratio_error = ZERO
    for start in range(0, n, capacity):
        rows = min(capacity, n - start)
        gather(batch, vector(picked, start, rows), shift, scale, work[0], scratch)
        error = chunk_gradient(layers, head, params, shadow, rows, n, settings, work, grads, figures, start > 0)
        ratio_error = max(ratio_error, error)
    for i in range(figures.size):
        figures[i] /= n
    return ratio_error


@inline
def advantage_scaling(advantages, picked, normalize):
    """Shift and factor that give advantages[picked] mean 0 and standard deviation 1 (unbiased, plus 1e-8)."""
    n = picked.size
    if normalize == 0.0 or n < 2:
        return ZERO, ONE
    mean = 0.0
    for i in range(n):
        mean += np.float64(advantages[picked[i]])
    mean /= n
    variance = 0.0
    for i in range(n):
        d = np.float64(advantages[picked[i]]) - mean
        variance += d * d
    return np.float32(mean), np.float32(1.0 / (math.sqrt(variance / (n - 1)) + 1e-8))


@inline
def gather(batch, picked, shift, scale, x, scratch):
    """Copy the transitions `picked` to where the networks and the loss read them."""
    obs, actions, log_probs, values, advantages, returns = batch
    n_obs, n_actions = obs.shape[1], actions.shape[1]
    for i in range(picked.size):
        row = picked[i]
        for j in range(n_obs):
            x[i * n_obs + j] = obs[row, j]
        for k in range(n_actions):
            scratch[ACTIONS + k, i] = actions[row, k]
        scratch[OLD_LOG_PROB, i] = log_probs[row]
        scratch[ADVANTAGE, i] = (advantages[row] - shift) * scale
        scratch[RETURN, i] = returns[row]
        scratch[OLD_VALUE, i] = values[row]


@inline
def chunk_gradient(layers, head, params, shadow, rows, n, settings, work, grads, figures, adds):
    """The largest |r - 1| of the gathered `rows`; gradients are added up if `adds`, sums of figures always."""
    x, outputs, slopes, deltas, scratch = work
    capacity = scratch.shape[1]
    forward(layers, POLICY + VALUE, params, shadow, x, 0, rows, capacity, outputs, slopes)
    policy, value, n_actions = head[POLICY_LAYER], head[VALUE_LAYER], head[N_PARTS]
    n_outputs, at = layers[policy, N_OUT], layers[policy, OUTPUT] * capacity
    y = matrix(outputs, at, rows, n_outputs)
    delta = matrix(deltas, at, rows, n_outputs)
    actions = scratch[ACTIONS : ACTIONS + n_actions]
    p = scratch[ACTIONS + n_actions : ACTIONS + n_actions + n_outputs + 2]
    logp = scratch[ACTIONS + n_actions + n_outputs + 2 :]
    evaluate(head, params, y, actions, p, logp, scratch[LOG_PROB], scratch[ENTROPY])
    error = surrogate(rows, n, settings, scratch, figures)
    bonus = np.float32(settings[ENT_COEF] / n)
    differentiate(head, params, actions, p, logp, scratch[WEIGHT], bonus, delta, grads)
    v = layers[value, OUTPUT] * capacity
    value_gradient(vector(outputs, v, rows), n, settings, scratch, vector(deltas, v, rows), figures)
    backward(layers, params, x, rows, capacity, outputs, slopes, deltas, grads, adds)
    return error


@inline
def surrogate(rows, n, settings, scratch, figures):
    """The largest |r - 1|; the gradient of the clipped surrogate by log p goes to WEIGHT, its sums to `figures`."""
    low, high = np.float32(1.0 - settings[CLIP_RANGE]), np.float32(1.0 + settings[CLIP_RANGE])
    clip, share = np.float32(settings[CLIP_RANGE]), ONE / np.float32(n)
    loss = kl = clipped = entropy = worst = ZERO
    old, new, advantage, weight = scratch[OLD_LOG_PROB], scratch[LOG_PROB], scratch[ADVANTAGE], scratch[WEIGHT]
    entropies = scratch[ENTROPY]
    for i in range(rows):
        log_ratio = new[i] - old[i]
        ratio = numeric.exp(log_ratio)
        free, held = ratio * advantage[i], numeric.clamp(ratio, low, high) * advantage[i]
        weight[i] = -free * share if free <= held else ZERO
        loss -= min(free, held)
        kl += numeric.exp_minus_linear(log_ratio, ratio)
        distance = abs(ratio - ONE)
        clipped += ONE if distance > clip else ZERO
        worst = max(worst, distance)
        entropy += entropies[i]
    figures[POLICY_LOSS] += loss
    figures[KL] += kl
    figures[CLIPPED] += clipped
    figures[ENTROPY_LOSS] -= entropy
    return worst


@inline
def value_gradient(values, n, settings, scratch, delta, figures):
    """Write the gradient of the weighted value loss by the values [rows] to `delta`, and add its sum to `figures`."""
    clip, weight = np.float32(settings[CLIP_RANGE_VF]), TWO * np.float32(settings[VF_COEF]) / np.float32(n)
    returns, old, loss = scratch[RETURN], scratch[OLD_VALUE], ZERO
    for i in range(values.size):
        move = values[i] - old[i]
        held = numeric.clamp(move, -clip, clip)
        error = (values[i] if held == move else old[i] + held) - returns[i]
        loss += error * error
        delta[i] = weight * error if held == move else ZERO
    figures[VALUE_LOSS] += loss
