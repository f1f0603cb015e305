"""The pieces that an update's work falls into, each independent of the others of its kind.

A minibatch is cut into shards whose length depends on shapes alone, each with a gradient of its own; they are added up
in their order. Parameters are cut into blocks, or, where they are few, into the two networks, so that a thread which
takes the same network again has all of it in its cache. So no result depends on who computes what, or on how many do.

    job = (network, adam, batch, order, settings, plan, shared, shards, figures, norms)
"""

from __future__ import annotations

import numpy as np

from upswing.compiled.compiler import inline
from upswing.compiled.views import vector
from upswing.engine.native.adam import adam_step, squared_norm
from upswing.engine.native.layout import BIAS, GAUSSIAN, KIND, LOG_STD, N_OUT, POLICY, SERVES, VALUE, WEIGHT
from upswing.engine.native.layout import N_PARTS as N_ACTIONS
from upswing.engine.native.minibatch import shard_gradient
from upswing.engine.native.mlp import refresh_layer
from upswing.engine.native.tables import ADAM_EPS, LEARNING_RATE, N_FIGURES

GRADIENT, NORM_OF_SUM, STEP, SHADOW_OF = range(4)
# of a shard (or of one of its two networks); of a block, after the shards' gradients are added up in the first; the
# step of Adam of a block; the transposed weights of a layer. A network that is a block has all that follows from its
# own numbers done at once: the norm with the gradient of a single shard, the transposed weights with the step.

# entries of `plan` (int64): the minibatch at hand, and how it is cut
START, COUNT, SHARD_ROWS, N_PARTS, ADAM_STEP, BY_NETWORK = range(6)
N_PLAN = 6
# entries of `shared` (float64): the scaling of its advantages, and of its gradient
SHIFT, SCALE, FACTOR = range(3)
N_SHARED = 3

N_SUMS = N_FIGURES + 1  # of a shard
SHORTEST_SHARD, MOST_SHARDS = 256, 16
BLOCK = 65_536


def shard_rows(batch_size: int, chunk_rows: int) -> int:
    """How many transitions of a minibatch make a shard: whole chunks, and at most MOST_SHARDS shards in all."""
    wanted = max(SHORTEST_SHARD, -(-batch_size // MOST_SHARDS))
    return -(-wanted // chunk_rows) * chunk_rows


def n_pieces(n: int, length: int) -> int:
    """How many pieces of `length` `n` falls into, the last one shorter."""
    return -(-n // length)


@inline
def work_on(kind, piece, job, work):
    """Do piece number `piece` of a kind. `work`: this thread's workspace, as in minibatch.py."""
    layers, _, params, shadow = job[0]
    plan = job[5]
    if kind == GRADIENT:
        gradient_of(piece, job, work)
        if norms_with_gradients(plan):
            norm_of_sum(piece, job)
    elif kind == NORM_OF_SUM:
        norm_of_sum(piece, job)
    elif kind == STEP:
        step_of(piece, job)
    else:
        refresh_layer(layers, piece, params, shadow)


@inline
def gradient_of(piece, job, work):
    """The gradient of a shard, or of one of its networks."""
    network, _, batch, order, settings, plan, shared, shards, figures, _ = job
    size = network[2].size
    shard, part = piece // plan[N_PARTS], piece % plan[N_PARTS]
    serves = POLICY + VALUE if plan[N_PARTS] == 1 else served_by(part)
    first = shard * plan[SHARD_ROWS]
    picked = vector(order, plan[START] + first, min(plan[SHARD_ROWS], plan[COUNT] - first))
    shift, scale = np.float32(shared[SHIFT]), np.float32(shared[SCALE])
    grads, sums = vector(shards, shard * size, size), vector(figures, shard * N_SUMS, N_SUMS)
    shard_gradient(network, batch, picked, plan[COUNT], serves, shift, scale, settings, work, grads, sums)


@inline
def norm_of_sum(piece, job):
    """Add the shards' gradients of a block up in the first, and take their squared norm."""
    network, _, _, _, _, plan, _, shards, _, norms = job
    size, total = network[2].size, 0.0
    for part in range(n_ranges(network, plan)):
        at, n = range_of(network, plan, piece, part)
        grads = vector(shards, at, n)
        for other in range(at + size, n_shards(plan) * size, size):
            for i in range(n):
                grads[i] += shards[other + i]
        total += squared_norm(grads)
    norms[piece] = total


@inline
def step_of(piece, job):
    """The step of Adam of a block."""
    network, adam, _, _, settings, plan, shared, shards, _, _ = job
    (layers, _, params, shadow), (exp_avg, exp_avg_sq) = network, adam
    for part in range(n_ranges(network, plan)):
        at, n = range_of(network, plan, piece, part)
        adam_step(
            vector(params, at, n), vector(shards, at, n), vector(exp_avg, at, n), vector(exp_avg_sq, at, n),
            plan[ADAM_STEP], shared[FACTOR], settings[LEARNING_RATE], settings[ADAM_EPS],
        )  # fmt: skip
    if plan[BY_NETWORK] == 1:
        for l in range(layers.shape[0]):
            if layers[l, SERVES] == served_by(piece):
                refresh_layer(layers, l, params, shadow)


@inline
def served_by(part):
    """What the layers of the first and of the second network serve."""
    return POLICY if part == 0 else VALUE


@inline
def n_ranges(network, plan):
    """How many ranges of the flat parameters a block may consist of: one, or one for each layer and one more."""
    return network[0].shape[0] + 1 if plan[BY_NETWORK] == 1 else 1


@inline
def range_of(network, plan, piece, part):
    """Start and length, perhaps 0, of range `part` of a block of the flat parameters."""
    layers, head, params, _ = network
    if plan[BY_NETWORK] == 0:
        return piece * BLOCK, min(BLOCK, params.size - piece * BLOCK)
    if part == layers.shape[0]:
        return head[LOG_STD], head[N_ACTIONS] if piece == 0 and head[KIND] == GAUSSIAN else 0
    n = layers[part, BIAS] + layers[part, N_OUT] - layers[part, WEIGHT]
    return layers[part, WEIGHT], n if layers[part, SERVES] == served_by(piece) else 0


@inline
def norms_with_gradients(plan):
    """Whether each piece of gradients is that of a block, once and for all."""
    return plan[BY_NETWORK] == 1 and plan[N_PARTS] == 2 and n_shards(plan) == 1


@inline
def n_shards(plan):
    """How many shards the minibatch at hand has."""
    return (plan[COUNT] + plan[SHARD_ROWS] - 1) // plan[SHARD_ROWS]
