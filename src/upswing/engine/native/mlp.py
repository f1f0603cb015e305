"""Multilayer perceptrons forward and backward, on flat buffers and a layer table (see layout.py).

The workspace `outputs` holds every layer's output as a row-major [rows, n_out] block, `slopes` the activation's
derivative there where it cannot be had from the output, `deltas` the gradient of the loss at the same places.
"""

from __future__ import annotations

import numpy as np

from upswing.compiled import numeric
from upswing.compiled.blas import multiply, multiply_transposed
from upswing.compiled.compiler import inline
from upswing.compiled.transpose import transpose
from upswing.compiled.views import matrix, vector
from upswing.engine.native.layout import (
    ACTIVATION,
    BIAS,
    ELU,
    FIRST_WRITER,
    N_IN,
    N_OUT,
    OUTPUT,
    RELU,
    SERVES,
    SHADOW,
    SILU,
    SOURCE,
    TANH,
    WEIGHT,
)

ZERO, ONE = np.float32(0.0), np.float32(1.0)


@inline
def refresh_shadow(layers, params, shadow):
    """Write the transposed weights [n_in, n_out] that `forward` multiplies by: OpenBLAS is twice as fast with them."""
    for l in range(layers.shape[0]):
        refresh_layer(layers, l, params, shadow)


@inline
def refresh_layer(layers, l, params, shadow):
    """`refresh_shadow` for one layer."""
    n_in, n_out = layers[l, N_IN], layers[l, N_OUT]
    transpose(params, layers[l, WEIGHT], n_out, n_in, shadow, layers[l, SHADOW])


@inline
def forward(layers, serves, params, shadow, x, x_row, rows, capacity, outputs, slopes):
    """Compute y = f(x Wᵀ + b) layer by layer, for `rows` observations x [·, n_obs] from row `x_row`.

    Only layers that serve `serves` (POLICY, VALUE or both) are computed. Blocks begin at OUTPUT × `capacity`.
    """
    for l in range(layers.shape[0]):
        if layers[l, SERVES] & serves == 0:
            continue
        n_in, n_out, at = layers[l, N_IN], layers[l, N_OUT], layers[l, OUTPUT] * capacity
        if layers[l, SOURCE] < 0:
            multiply(rows, n_in, n_out, x, x_row * n_in, shadow, layers[l, SHADOW], ZERO, outputs, at)
        else:
            source = layers[layers[l, SOURCE], OUTPUT] * capacity
            multiply(rows, n_in, n_out, outputs, source, shadow, layers[l, SHADOW], ZERO, outputs, at)
        y = matrix(outputs, at, rows, n_out)
        bias = vector(params, layers[l, BIAS], n_out)
        if layers[l, ACTIVATION] == SILU:
            silu(y, bias, matrix(slopes, at, rows, n_out))
        else:
            activate(layers[l, ACTIVATION], y, bias)


@inline
def activate(activation, y, bias):
    """y = f(y + bias) in place, for [rows, n_out] and [n_out]."""
    rows, n = y.shape
    if activation == TANH:
        for i in range(rows):
            for j in range(n):
                y[i, j] = numeric.tanh(y[i, j] + bias[j])
    elif activation == RELU:
        for i in range(rows):
            for j in range(n):
                z = y[i, j] + bias[j]
                y[i, j] = ZERO if z < ZERO else z
    elif activation == ELU:
        for i in range(rows):
            for j in range(n):
                z = y[i, j] + bias[j]
                y[i, j] = numeric.exp(z) - ONE if z < ZERO else z
    else:
        for i in range(rows):
            for j in range(n):
                y[i, j] += bias[j]


@inline
def silu(y, bias, slope):
    """y = z σ(z) in place for z = y + bias, and its derivative σ(z) (1 + z (1 - σ(z))) into `slope`."""
    rows, n = y.shape
    for i in range(rows):
        for j in range(n):
            z = y[i, j] + bias[j]
            s = ONE / (ONE + numeric.exp(-z))
            y[i, j] = z * s
            slope[i, j] = s * (ONE + z * (ONE - s))


@inline
def backward(layers, serves, params, x, rows, capacity, outputs, slopes, deltas, grads, adds):
    """Gradients of the parameters from the gradients at the heads, which stand in `deltas`.

        dz = dy ∘ f'(z),   dW = dzᵀ x,   db = Σ_rows dz,   dx = dz W

    x: [rows, n_obs] flat. Only layers that serve `serves` get one. With `adds` 1 they are added to `grads`, with 0 they replace what is there.
    """
    for l in range(layers.shape[0] - 1, -1, -1):
        if layers[l, SERVES] & serves == 0:
            continue
        n_in, n_out, at = layers[l, N_IN], layers[l, N_OUT], layers[l, OUTPUT] * capacity
        delta = matrix(deltas, at, rows, n_out)
        y = matrix(outputs, at, rows, n_out)
        slope = matrix(slopes, at, rows, n_out) if layers[l, ACTIVATION] == SILU else y
        bias_grad = vector(grads, layers[l, BIAS], n_out)
        if adds == 0:
            for j in range(n_out):
                bias_grad[j] = ZERO
        through_activation(layers[l, ACTIVATION], delta, y, slope, bias_grad)
        beta = np.float32(adds)
        if layers[l, SOURCE] < 0:
            multiply_transposed(n_out, rows, n_in, deltas, at, x, 0, beta, grads, layers[l, WEIGHT])
            continue
        source = layers[layers[l, SOURCE], OUTPUT] * capacity
        multiply_transposed(n_out, rows, n_in, deltas, at, outputs, source, beta, grads, layers[l, WEIGHT])
        keep = ZERO if layers[l, FIRST_WRITER] == 1 else ONE
        multiply(rows, n_out, n_in, deltas, at, params, layers[l, WEIGHT], keep, deltas, source)


@inline
def through_activation(activation, delta, y, slope, bias_grad):
    """delta ∘ f' in place, and its column sums added to `bias_grad`: f' from the output y, or `slope` where it is not."""
    rows, n = delta.shape
    if activation == TANH:
        for i in range(rows):
            for j in range(n):
                d = delta[i, j] * (ONE - y[i, j] * y[i, j])
                delta[i, j] = d
                bias_grad[j] += d
    elif activation == RELU:
        for i in range(rows):
            for j in range(n):
                d = delta[i, j] if y[i, j] > ZERO else ZERO
                delta[i, j] = d
                bias_grad[j] += d
    elif activation == ELU:
        for i in range(rows):
            for j in range(n):
                d = delta[i, j] * (ONE if y[i, j] > ZERO else y[i, j] + ONE)
                delta[i, j] = d
                bias_grad[j] += d
    elif activation == SILU:
        for i in range(rows):
            for j in range(n):
                d = delta[i, j] * slope[i, j]
                delta[i, j] = d
                bias_grad[j] += d
    else:
        for i in range(rows):
            for j in range(n):
                bias_grad[j] += delta[i, j]
