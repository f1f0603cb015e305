"""A policy's networks as tables of integers, so that kernels compiled once serve every architecture.

Row l of the layer table describes one linear layer and the activation after it. Layers stand in an order in which
sources come first; all parameters lie in one flat buffer in torch's layout.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from upswing.policies import ActorCritic, MlpLayers, mlp_layers, parameter_offsets

# columns of the layer table
SOURCE, N_IN, N_OUT, WEIGHT, BIAS, SHADOW, OUTPUT, ACTIVATION, SERVES, FIRST_WRITER = range(10)
# SOURCE: the layer whose output is read, -1 for the observation. WEIGHT, BIAS: offsets of [n_out, n_in] and [n_out] in
# the parameters. SHADOW: offset of the transposed weight [n_in, n_out] in the shadow. OUTPUT: offset of the layer's
# output in the workspace, in columns. SERVES: a sum of POLICY and VALUE. FIRST_WRITER: 1 where the backward pass
# writes its source's gradient (others add to it).

POLICY, VALUE = 1, 2
LINEAR, TANH, RELU, ELU, SILU = range(5)
ACTIVATION_CODES = {"tanh": TANH, "relu": RELU, "elu": ELU, "silu": SILU}

# entries of the head table
KIND, N_PARTS, LOG_STD, POLICY_LAYER, VALUE_LAYER, SIZES = range(6)
# KIND: of distribution. N_PARTS: action dimensions. LOG_STD: offset in the parameters. POLICY_LAYER, VALUE_LAYER: rows
# of the layer table. From SIZES on: the number of outputs of each part.

CATEGORICAL, BERNOULLI, GAUSSIAN = range(3)
KIND_CODES = {
    "categorical": CATEGORICAL,
    "multi_categorical": CATEGORICAL,
    "bernoulli": BERNOULLI,
    "gaussian": GAUSSIAN,
}

LINE = 16  # float32 in a cache line and in the widest vector
CACHED_ROWS, LONG_ROWS = 64, 512
SMALL_PRODUCT = 1_000_000  # up to here OpenBLAS multiplies without packing its operands


class Layout(NamedTuple):
    """Where everything is: what kernels are told about a policy."""

    layers: np.ndarray  # int64 [L, 10]
    head: np.ndarray  # int64 [SIZES + parts]
    n_obs: int
    n_outputs: int  # of the policy's head
    n_actions: int  # action dimensions
    n_shadow: int  # numbers in the shadow
    n_columns: int  # of the workspace: all layers' outputs side by side
    chunk_rows: int  # transitions that go through the networks at once

    @property
    def apart(self) -> bool:
        """Whether policy and value share no layer."""
        return not (self.layers[:, SERVES] == POLICY + VALUE).any()


def layout_of(policy: ActorCritic) -> Layout:
    """The layout of a pure MLP policy whose parameters are flat (`flatten_parameters`). Raises ValueError for others."""
    parts = mlp_layers(policy)
    if parts is None or parts.activation not in ACTIVATION_CODES:
        raise ValueError("only MLP policies with tanh, relu, elu or silu have a layout")
    offsets = _offsets_by_identity(policy)
    layers = _layer_table(parts, offsets)
    n_trunk, n_pi = len(parts.trunk), len(parts.pi)
    log_std = 0 if parts.head.log_std is None else offsets[id(parts.head.log_std)]
    sizes = list(parts.head.nvec)
    head = [KIND_CODES[parts.head.kind], len(sizes), log_std, n_trunk + n_pi - 1, len(layers) - 1, *sizes]
    last = layers[-1]
    return Layout(
        layers,
        np.array(head, np.int64),
        n_obs=int(layers[0, N_IN]),
        n_outputs=sum(sizes),
        n_actions=len(sizes),
        n_shadow=int(last[SHADOW] + padded(int(last[N_IN] * last[N_OUT]))),
        n_columns=int(last[OUTPUT] + padded(int(last[N_OUT]))),
        chunk_rows=_chunk_rows(layers),
    )


def padded(n: int) -> int:
    """`n` rounded up to whole cache lines."""
    return -(-n // LINE) * LINE


def aligned(shape: int | tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """Zeros whose memory begins at a cache line."""
    dtype_ = np.dtype(dtype)
    count = int(np.prod(shape))
    raw = np.zeros(count * dtype_.itemsize + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + count * dtype_.itemsize].view(dtype_).reshape(shape)


def _layer_table(parts: MlpLayers, offsets: dict[int, int]) -> np.ndarray:
    """The rows of the trunk, then of the policy, then of the value."""
    activation = ACTIVATION_CODES[parts.activation]
    branches = ((parts.trunk, POLICY + VALUE), (parts.pi, POLICY), (parts.vf, VALUE))
    rows: list[list[int]] = []
    shadow = output = 0
    for branch, serves in branches:
        source = len(parts.trunk) - 1
        for i, layer in enumerate(branch):
            is_head = serves != POLICY + VALUE and i == len(branch) - 1
            if i > 0 or serves == POLICY + VALUE:
                source = len(rows) - 1
            shapes = [source, layer.in_features, layer.out_features]
            places = [offsets[id(layer.weight)], offsets[id(layer.bias)], shadow, output]
            rows.append([*shapes, *places, LINEAR if is_head else activation, serves, 0])
            shadow += padded(layer.in_features * layer.out_features)
            output += padded(layer.out_features)
    written = set()
    for row in reversed(rows):
        row[FIRST_WRITER] = int(row[SOURCE] not in written)
        written.add(row[SOURCE])
    return np.array(rows, np.int64)


def _offsets_by_identity(policy: ActorCritic) -> dict[int, int]:
    offsets = parameter_offsets(policy)
    return {id(parameter): offsets[name] for name, parameter in policy.named_parameters()}


def _chunk_rows(layers: np.ndarray) -> int:
    """How many transitions go through the networks at once. It depends on shapes alone, and so do all roundings.

    Narrow networks stay in OpenBLAS's path for small matrices, and their activations in the first-level cache; wide
    ones want long matrices.
    """
    largest = int((layers[:, N_IN] * layers[:, N_OUT]).max())
    return CACHED_ROWS if largest * CACHED_ROWS <= SMALL_PRODUCT else LONG_ROWS
