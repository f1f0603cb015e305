"""An update's threads and the memory they work in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from upswing.engine.native import team
from upswing.engine.native.buffers import PolicyBuffers
from upswing.engine.native.layout import N_IN, N_OUT, aligned
from upswing.engine.native.minibatch import scratch_rows
from upswing.engine.native.pieces import (
    BLOCK,
    BY_NETWORK,
    N_PARTS,
    N_PLAN,
    N_SHARED,
    N_SUMS,
    SHARD_ROWS,
    n_pieces,
    shard_rows,
)
from upswing.engine.native.update import run_epochs

WORTH_SHARING = 10e6  # floating-point operations of a minibatch, about 0.1 ms of one core
CAN_BE_SHARED = 2e6  # less than this is sooner done than shared, whatever is asked for

Batch = tuple[np.ndarray, ...]


class Crew:
    """At most `threads` threads that update a policy in minibatches of `batch_size`: no more than a minibatch has pieces,
    and one where it is too little work to be shared. Results do not depend on their number."""

    def __init__(self, buffers: PolicyBuffers, batch_size: int, threads: int = 1):
        self.buffers, self.batch_size = buffers, batch_size
        layout = buffers.layout
        rows, n = shard_rows(batch_size, layout.chunk_rows), buffers.params.size
        n_shards, apart = n_pieces(batch_size, rows), layout.apart
        most = max(n_shards * (1 + apart), n_pieces(n, BLOCK))
        self.threads = min(threads, most) if operations(layout.layers, batch_size) >= CAN_BE_SHARED else 1
        self.shards = aligned(n_shards * n)  # the gradient of each part of a minibatch, then their sum in the first
        self.figures = np.zeros(n_shards * N_SUMS)
        self.plan, self.shared = np.zeros(N_PLAN, np.int64), np.zeros(N_SHARED)
        self.plan[SHARD_ROWS], self.plan[BY_NETWORK] = rows, apart and n <= BLOCK
        self.norms = np.zeros(2 if self.plan[BY_NETWORK] else n_pieces(n, BLOCK))
        self.team = aligned(team.N_TEAM, np.int64)
        self.works = [self._workspace() for _ in range(self.threads)]
        self.helpers = ThreadPoolExecutor(self.threads - 1, "upswing-helper") if self.threads > 1 else None

    def _workspace(self) -> tuple[np.ndarray, ...]:
        """A thread's own memory for an update: x, outputs, slopes, deltas, scratch; see minibatch.py."""
        layout = self.buffers.layout
        rows = layout.chunk_rows
        outputs, slopes, deltas = (aligned(rows * layout.n_columns) for _ in range(3))
        scratch = aligned((scratch_rows(layout.n_actions, layout.n_outputs), rows))
        return aligned(rows * layout.n_obs), outputs, slopes, deltas, scratch

    @property
    def grads(self) -> np.ndarray:
        """The gradient of the last minibatch, flat like the parameters."""
        return self.shards[: self.buffers.params.size]

    def run(
        self,
        batch: Batch,
        order: np.ndarray,
        stream: np.ndarray,
        n_epochs: int,
        settings: np.ndarray,
        totals: np.ndarray,
        alone: bool = False,
    ) -> None:
        """Run epochs on `batch`; see `run_epochs`. On one thread where it is to be done `alone`."""
        helpers = None if alone else self.helpers
        self.team[team.HELPERS] = self.threads - 1 if helpers else 0
        self.plan[N_PARTS] = 2 if helpers and self.buffers.layout.apart else 1
        before = *self.buffers.network, self.shards, self.buffers.exp_avg, self.buffers.exp_avg_sq, *batch
        after = self.team, self.plan, self.shared, self.figures, self.norms, order, stream, self.batch_size, n_epochs
        self.team[team.WORD] = 0
        own, *others = [(*before, *work, *after, settings, totals) for work in self.works]
        helping = [helpers.submit(run_epochs, *each, True) for each in others] if helpers else []
        run_epochs(*own, False)
        for future in helping:
            future.result()  # they go home when it is over

    def close(self) -> None:
        """End the threads."""
        if self.helpers is not None:
            self.helpers.shutdown()


def operations(layers: np.ndarray, n: int) -> float:
    """Floating-point operations of the gradient of a minibatch of `n`: forward, and twice that backward."""
    return 6.0 * n * float((layers[:, N_IN] * layers[:, N_OUT]).sum())
