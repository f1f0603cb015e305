"""Distributions over actions in compiled code: sampling, log-probability, entropy, and their gradients.

Actions are float32 rows [n_actions] whatever their kind; a choice is its number. For minibatches everything lies
transposed in a scratch array [·, rows], so that the loops over rows are vector instructions:

    p, logp   [n_outputs, rows]   probabilities and their logarithms (discrete), or z and σ's gradient (Gaussian)

Formulas and sources are those of upswing/ppo/distributions.py and gaussians.py.
"""

from __future__ import annotations

import math

import numpy as np

from upswing.compiled import numeric
from upswing.compiled.compiler import inline
from upswing.compiled.random import normal, unit
from upswing.engine.native.layout import BERNOULLI, CATEGORICAL, KIND, LOG_STD, N_PARTS, SIZES

ZERO, HALF, ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
HALF_LOG_2PI = np.float32(0.5 * math.log(2.0 * math.pi))
HALF_LOG_2PIE = np.float32(0.5 * math.log(2.0 * math.pi) + 0.5)


@inline
def sample(head, params, y, stream, action):
    """The log-probability of the `action` [n_actions] drawn for head outputs y [n_outputs]; the action is written."""
    if head[KIND] == CATEGORICAL:
        return sample_choices(head, y, stream, action)
    if head[KIND] == BERNOULLI:
        return sample_switches(y, stream, action)
    log_prob = ZERO
    for k in range(action.size):
        log_std = params[head[LOG_STD] + k]
        noise = np.float32(normal(stream))
        action[k] = y[k] + numeric.exp(log_std) * noise
        log_prob -= HALF * noise * noise + log_std + HALF_LOG_2PI
    return log_prob


@inline
def mode(head, y, action):
    """Write the most likely action [n_actions] for head outputs y [n_outputs]; of equals the first, of switches off."""
    if head[KIND] == CATEGORICAL:
        start = 0
        for part in range(head[N_PARTS]):
            best = start
            for j in range(start + 1, start + head[SIZES + part]):
                if y[j] > y[best]:
                    best = j
            action[part] = np.float32(best - start)
            start += head[SIZES + part]
    else:
        for k in range(action.size):
            action[k] = (ONE if y[k] > ZERO else ZERO) if head[KIND] == BERNOULLI else y[k]


@inline
def sample_choices(head, y, stream, action):
    """One choice a part, by inverting the cumulative distribution."""
    log_prob, start = ZERO, 0
    for part in range(head[N_PARTS]):
        size = head[SIZES + part]
        top = y[start]
        for j in range(1, size):
            top = max(top, y[start + j])
        total = ZERO
        for j in range(size):
            total += numeric.exp(y[start + j] - top)
        rest, choice = np.float32(unit(stream)) * total, size - 1
        for j in range(size - 1):
            rest -= numeric.exp(y[start + j] - top)
            if rest < ZERO:
                choice = j
                break
        action[part] = np.float32(choice)
        log_prob += y[start + choice] - top - numeric.log(total)
        start += size
    return log_prob


@inline
def sample_switches(y, stream, action):
    """Each switch on with probability 1 / (1 + exp(-y))."""
    log_prob = ZERO
    for k in range(action.size):
        on = unit(stream) * (1.0 + math.exp(-y[k])) < 1.0
        action[k] = ONE if on else ZERO
        log_prob += action[k] * y[k] - softplus(y[k])
    return log_prob


@inline
def softplus(x):
    """log(1 + eˣ), exact for large |x| too."""
    return max(x, ZERO) + numeric.log(ONE + numeric.exp(-abs(x)))


@inline
def evaluate(head, params, y, actions, p, logp, log_probs, entropies):
    """Log-probabilities [rows] of `actions` [n_actions, rows] and entropies [rows], for head outputs y [rows, n_outputs].

    `p` and `logp` are filled for `differentiate`.
    """
    rows = y.shape[0]
    for i in range(rows):
        log_probs[i] = entropies[i] = ZERO
    if head[KIND] == CATEGORICAL:
        evaluate_choices(head, y, actions, p, logp, log_probs, entropies)
    elif head[KIND] == BERNOULLI:
        for k in range(y.shape[1]):
            for i in range(rows):
                z = y[i, k]
                on = ONE / (ONE + numeric.exp(-z))
                loss = softplus(z)
                p[k, i], logp[k, i] = on, z
                log_probs[i] += actions[k, i] * z - loss
                entropies[i] += loss - on * z
    else:
        for k in range(y.shape[1]):
            log_std = params[head[LOG_STD] + k]
            precision = numeric.exp(-log_std)
            for i in range(rows):
                z = (actions[k, i] - y[i, k]) * precision
                p[k, i] = z
                log_probs[i] -= HALF * z * z + log_std + HALF_LOG_2PI
                entropies[i] += log_std + HALF_LOG_2PIE


@inline
def evaluate_choices(head, y, actions, p, logp, log_probs, entropies):
    """`evaluate` for categorical parts. The first row of `logp` beyond the outputs onwards holds each part's entropy."""
    rows, start = y.shape[0], 0
    for k in range(y.shape[1]):
        for i in range(rows):
            logp[k, i] = y[i, k]
    for part in range(head[N_PARTS]):
        stop = start + head[SIZES + part]
        top, total, entropy = p[y.shape[1]], p[y.shape[1] + 1], logp[y.shape[1] + part]
        for i in range(rows):
            top[i] = logp[start, i]
        for k in range(start + 1, stop):
            for i in range(rows):
                top[i] = max(top[i], logp[k, i])
        for i in range(rows):
            total[i] = ZERO
        for k in range(start, stop):
            for i in range(rows):
                p[k, i] = numeric.exp(logp[k, i] - top[i])
                total[i] += p[k, i]
        for i in range(rows):
            top[i] += numeric.log(total[i])
            total[i] = ONE / total[i]
            entropy[i] = ZERO
        for k in range(start, stop):
            chosen = np.float32(k - start)
            for i in range(rows):
                p[k, i] *= total[i]
                logp[k, i] -= top[i]
                entropy[i] -= p[k, i] * logp[k, i]
                log_probs[i] += logp[k, i] if actions[part, i] == chosen else ZERO
        for i in range(rows):
            entropies[i] += entropy[i]
        start = stop


@inline
def differentiate(head, params, actions, p, logp, weights, bonus, delta, grads):
    """Write the gradient at the head's outputs, `delta` [rows, n_outputs], and add log σ's to `grads`.

    The loss is Σ_i weights_i log p(a_i) - bonus H_i, apart from constants; `p` and `logp` are what `evaluate` left.
        categorical:  weight (1[a = j] - p_j) + bonus p_j (log p_j + H)
        switch:       weight (a - p) + bonus z p (1 - p)
        Gaussian:     μ: weight (a - μ) / σ²,   log σ: weight ((a - μ)² / σ² - 1) - bonus
    """
    rows, n_outputs = delta.shape
    if head[KIND] == CATEGORICAL:
        start = 0
        for part in range(head[N_PARTS]):
            entropy = logp[n_outputs + part]
            for k in range(start, start + head[SIZES + part]):
                chosen = np.float32(k - start)
                for i in range(rows):
                    hit = ONE if actions[part, i] == chosen else ZERO
                    p[k, i] = weights[i] * (hit - p[k, i]) + bonus * p[k, i] * (logp[k, i] + entropy[i])
            start += head[SIZES + part]
    elif head[KIND] == BERNOULLI:
        for k in range(n_outputs):
            for i in range(rows):
                on = p[k, i]
                p[k, i] = weights[i] * (actions[k, i] - on) + bonus * logp[k, i] * on * (ONE - on)
    else:
        for k in range(n_outputs):
            at = head[LOG_STD] + k
            precision, total = numeric.exp(-params[at]), ZERO
            for i in range(rows):
                z = p[k, i]
                total += weights[i] * (z * z - ONE) - bonus
                p[k, i] = weights[i] * z * precision
            grads[at] += total
    for k in range(n_outputs):
        for i in range(rows):
            delta[i, k] = p[k, i]
