"""Minibatch steps of the native engine on made-up transitions, to be timed."""

from __future__ import annotations

import time

import gymnasium
import numpy as np

from upswing.engine.native import tables
from upswing.engine.native.buffers import PolicyBuffers
from upswing.engine.native.crew import Crew
from upswing.policies import MlpPolicy, flatten_parameters

N_OBS, N_ACTIONS = 4, 2  # CartPole's


class Minibatches:
    """Epochs of minibatches of `batch_size` through a policy with hidden layers `net_arch`, on `threads` threads."""

    def __init__(self, batch_size: int, net_arch: tuple[int, ...], threads: int = 1):
        space = gymnasium.spaces.Box(-1.0, 1.0, (N_OBS,))
        policy = MlpPolicy(space, gymnasium.spaces.Discrete(N_ACTIONS), net_arch=list(net_arch))
        flatten_parameters(policy)
        self.n = max(batch_size, 2048)
        self.steps = self.n // batch_size
        self.crew = Crew(PolicyBuffers(policy), batch_size, threads)
        rng = np.random.default_rng(0)
        obs, *vectors = (rng.standard_normal((self.n, width)).astype(np.float32) for width in (N_OBS, 1, 1, 1, 1))
        _, values, advantages, returns = (vector[:, 0].copy() for vector in vectors)
        actions = rng.integers(0, N_ACTIONS, (self.n, 1)).astype(np.float32)
        log_probs = np.full(self.n, -np.log(N_ACTIONS), np.float32)
        self.batch = obs, actions, log_probs, values, advantages, returns
        self.settings = np.zeros(tables.N_SETTINGS)
        self.settings[[tables.LEARNING_RATE, tables.CLIP_RANGE, tables.VF_COEF]] = 3e-4, 0.2, 0.5
        self.settings[[tables.CLIP_RANGE_VF, tables.TARGET_KL]] = np.inf
        self.settings[[tables.MAX_GRAD_NORM, tables.ADAM_EPS, tables.NORMALIZE]] = 0.5, 1e-5, 1.0
        self.order, self.stream = np.arange(self.n), np.arange(1, 5, dtype=np.uint64)
        self.totals = np.zeros(tables.N_TOTALS)

    def epoch(self) -> None:
        """One pass over the transitions."""
        self.crew.run(self.batch, self.order, self.stream, 1, self.settings, self.totals)

    def microseconds(self, seconds: float = 0.3) -> float:
        """The time of a minibatch step, the median over as many passes as fit into `seconds`."""
        times: list[float] = []
        begun = time.perf_counter()
        while len(times) < 3 or time.perf_counter() - begun < seconds:
            before = time.perf_counter()
            self.epoch()
            times.append(time.perf_counter() - before)
        return 1e6 * float(np.median(times)) / self.steps
