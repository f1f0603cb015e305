"""PPO's loss on a minibatch and its gradient, a few dozen transitions at a time.

    L = -mean min(r A, clip(r, 1 ± ε) A) - c_H mean H + c_V mean (R - V)²,   r = exp(log p(a) - log p_old(a))

Transitions go through the networks in chunks that stay in the cache; gradients add up over them. Figures and formulas
are those of upswing/ppo/losses.py.
"""

from __future__ import annotations

import math

import numpy as np

from upswing.compiled import numeric
from upswing.compiled.compiler import called, inline
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
    POLICY_LOSS,
    VALUE_LOSS,
    VF_COEF,
    WORST_RATIO,
)

ZERO, ONE, TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)

# rows of the scratch array [·, chunk_rows]; then the actions, `p` and `logp` of heads.py
OLD_LOG_PROB, ADVANTAGE, RETURN, OLD_VALUE, LOG_PROB, ENTROPY, WEIGHT, ACTIONS = range(8)


def scratch_rows(n_actions: int, n_outputs: int) -> int:
    """How many rows the scratch array needs."""
    return ACTIONS + n_actions + (n_outputs + 2) + (n_outputs + n_actions)


@called
def shard_gradient(network, batch, picked, n, serves, shift, scale, settings, work, grads, figures):
    """Write the gradient of the part of a minibatch of `n` that `picked` are to `grads`, and its figures' sums.

    `serves`: POLICY, VALUE or both, which the gradient is of; with one of them only that one's figures are written.
    batch: (obs [·, n_obs], actions [·, n_actions], log_probs, values, advantages, returns), of which `picked` are rows.
    work: (x, outputs, slopes, deltas, scratch), for as many rows at once as `scratch` has columns.
    figures: [N_FIGURES + 1], the last of them the largest |r - 1|.
    """
    head, capacity = network[1], work[4].shape[1]
    for i in range(figures.size):
        if (serves & (VALUE if i == VALUE_LOSS else POLICY)) != 0:
            figures[i] = 0.0
    if head[KIND] == GAUSSIAN and (serves & POLICY) != 0:
        for k in range(batch[1].shape[1]):
            grads[head[LOG_STD] + k] = ZERO
    for start in range(0, picked.size, capacity):
        rows = min(capacity, picked.size - start)
        gather(batch, vector(picked, start, rows), shift, scale, work[0], work[4])
        chunk_gradient(network, serves, rows, n, settings, work, grads, figures, start > 0)


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
def chunk_gradient(network, serves, rows, n, settings, work, grads, figures, adds):
    """The gradient of the gathered `rows` replaces `grads`, or is added if `adds`; their figures are added always."""
    layers, head, params, shadow = network
    x, outputs, slopes, deltas, scratch = work
    capacity = scratch.shape[1]
    forward(layers, serves, params, shadow, x, 0, rows, capacity, outputs, slopes)
    if (serves & POLICY) != 0:
        policy_gradient(layers, head, params, rows, n, settings, outputs, deltas, scratch, grads, figures)
    if (serves & VALUE) != 0:
        v = layers[head[VALUE_LAYER], OUTPUT] * capacity
        value_gradient(vector(outputs, v, rows), n, settings, scratch, vector(deltas, v, rows), figures)
    backward(layers, serves, params, x, rows, capacity, outputs, slopes, deltas, grads, adds)


@inline
def policy_gradient(layers, head, params, rows, n, settings, outputs, deltas, scratch, grads, figures):
    """Write the gradient of the policy's part of the loss by its head's outputs to `deltas`, and add its figures."""
    policy, n_actions = head[POLICY_LAYER], head[N_PARTS]
    n_outputs, at = layers[policy, N_OUT], layers[policy, OUTPUT] * scratch.shape[1]
    y = matrix(outputs, at, rows, n_outputs)
    delta = matrix(deltas, at, rows, n_outputs)
    actions = scratch[ACTIONS : ACTIONS + n_actions]
    p = scratch[ACTIONS + n_actions : ACTIONS + n_actions + n_outputs + 2]
    logp = scratch[ACTIONS + n_actions + n_outputs + 2 :]
    evaluate(head, params, y, actions, p, logp, scratch[LOG_PROB], scratch[ENTROPY])
    worst = surrogate(rows, n, settings, scratch, figures)
    figures[WORST_RATIO] = max(figures[WORST_RATIO], np.float64(worst))
    bonus = np.float32(settings[ENT_COEF] / n)
    differentiate(head, params, actions, p, logp, scratch[WEIGHT], bonus, delta, grads)


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
