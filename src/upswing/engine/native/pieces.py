"""The pieces that an update's work falls into, each independent of the others of its kind.

A minibatch is cut into shards whose length depends on shapes alone, each with a gradient of its own; they are added up
in their order. Parameters are cut into blocks. So no result depends on who computes what, or on how many do.

    job = (network, adam, batch, order, settings, plan, shared, shards, figures, norms)
"""

from __future__ import annotations

import numpy as np

from upswing.compiled.compiler import inline
from upswing.compiled.views import vector
from upswing.engine.native.adam import adam_step, squared_norm
from upswing.engine.native.layout import POLICY, VALUE
from upswing.engine.native.minibatch import shard_gradient
from upswing.engine.native.mlp import refresh_layer
from upswing.engine.native.tables import ADAM_EPS, LEARNING_RATE, N_FIGURES

GRADIENT, NORM_OF_SUM, STEP, SHADOW_OF = range(4)
# of a shard (or of one of its two networks); of a block, after the shards' gradients are added up in the first; the
# step of Adam of a block; the transposed weights of a layer

# entries of `plan` (int64): the minibatch at hand, and how it is cut
START, COUNT, SHARD_ROWS, N_PARTS, ADAM_STEP = range(5)
N_PLAN = 5
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
    network, adam, batch, order, settings, plan, shared, shards, figures, norms = job
    layers, _, params, shadow = network
    if kind == GRADIENT:
        shard, part = piece // plan[N_PARTS], piece % plan[N_PARTS]
        serves = POLICY + VALUE
        if plan[N_PARTS] == 2:
            serves = POLICY if part == 0 else VALUE
        first = shard * plan[SHARD_ROWS]
        picked = vector(order, plan[START] + first, min(plan[SHARD_ROWS], plan[COUNT] - first))
        shift, scale = np.float32(shared[SHIFT]), np.float32(shared[SCALE])
        grads = vector(shards, shard * params.size, params.size)
        sums = vector(figures, shard * N_SUMS, N_SUMS)
        shard_gradient(network, batch, picked, plan[COUNT], serves, shift, scale, settings, work, grads, sums)
    elif kind == SHADOW_OF:
        refresh_layer(layers, piece, params, shadow)
    else:
        at = piece * BLOCK
        n = min(BLOCK, params.size - at)
        grads = vector(shards, at, n)
        if kind == NORM_OF_SUM:
            for other in range(at + params.size, n_shards(plan) * params.size, params.size):
                for i in range(n):
                    grads[i] += shards[other + i]
            norms[piece] = squared_norm(grads)
        else:
            exp_avg, exp_avg_sq = adam
            adam_step(
                vector(params, at, n), grads, vector(exp_avg, at, n), vector(exp_avg_sq, at, n),
                plan[ADAM_STEP], shared[FACTOR], settings[LEARNING_RATE], settings[ADAM_EPS],
            )  # fmt: skip


@inline
def n_shards(plan):
    """How many shards the minibatch at hand has."""
    return (plan[COUNT] + plan[SHARD_ROWS] - 1) // plan[SHARD_ROWS]
