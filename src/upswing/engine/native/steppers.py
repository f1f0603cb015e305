"""Rollouts with compiled environments, and the threads that step them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple

import numpy as np

from upswing.cores import own_cores
from upswing.engine.native import rollout as kernels
from upswing.engine.native import team
from upswing.engine.native.buffers import NetworkBuffers
from upswing.engine.native.layout import aligned
from upswing.engine.native.moments import NativeMoments
from upswing.engine.native.race import ALONE, Race
from upswing.engine.native.storage import RolloutStorage
from upswing.envs.contract import Episode
from upswing.envs.native.spec import Physics
from upswing.envs.native.vector import NativeVectorEnv

WORTH_SHARING_S = 40e-6  # what a step of all environments must take: to share it costs a few microseconds
PIECES_EACH = 4  # of a step, for every thread: environments do not all take equally long


class Collected(NamedTuple):
    """What a rollout was, beside its rows."""

    total_reward: float
    episodes: list[Episode]
    env_s: float


class Steppers:
    """The threads that step `env` in rollouts: one, or at most `threads` (None: a training's share of the cores) where a
    step of all environments takes long and that measures faster. Rollouts do not depend on their number."""

    def __init__(self, env: NativeVectorEnv, threads: int | None = 1):
        self.env = env
        self.threads = min(own_cores() if threads is None else threads, env.n_envs)
        self.may_share = self.threads > 1  # until it is known how long a step takes
        self.race = Race(1)
        self.team, self.plan = aligned(team.N_TEAM, np.int64), np.zeros(kernels.N_PLAN, np.int64)
        self.helpers: ThreadPoolExecutor | None = None
        self.theirs: list[tuple[np.ndarray, Physics | None]] = []  # each helper's parameters, and what is kept for them

    def collect(
        self, network: NetworkBuffers, stream: np.ndarray, storage: RolloutStorage, moments: NativeMoments
    ) -> Collected:
        """Fill the rows of `storage` with the policy's next steps. An environment's exception is raised as it was."""
        env, counters = self.env, np.zeros(kernels.N_COUNTERS, np.int64)
        job = (
            *network.forward, stream, *env.functions, env.low, env.high, env.max_steps, *env.worlds,
            moments.scaling, *moments.obs, *moments.returns, moments.discounted,
            *storage.rows, storage.current, storage.final_obs, storage.episodes, counters, self.team, self.plan,
        )  # fmt: skip
        helping: list[Future[None]] = []
        try:
            self._call_helpers(job, helping)
            total = kernels.collect(*job, env.parameters, False)
        finally:
            self.team[team.WORD] = team.OVER * team.KIND
            wait(helping)
        for each in helping:
            each.result()
        n_steps, timed = len(storage.obs), max(1, int(counters[kernels.TIMED_STEPS]))
        step_s = counters[kernels.ENV_NS] * 1e-9 / timed
        self._note(step_s)
        return Collected(total, env.read_episodes(storage.episodes[: counters[kernels.N_EPISODES]]), step_s * n_steps)

    def _call_helpers(self, job: tuple[object, ...], helping: list[Future[None]]) -> None:
        helpers = None if self.race.way == ALONE else self.helpers
        n_threads = self.threads if helpers else 1
        self.team[:] = 0
        self.team[team.HELPERS] = n_threads - 1
        self.plan[kernels.PIECE] = max(1, self.env.n_envs // (n_threads * PIECES_EACH)) if helpers else self.env.n_envs
        if helpers is not None:
            for parameters, _ in self.theirs:
                helping.append(helpers.submit(self._help, job, parameters))

    def _help(self, job: tuple[object, ...], parameters: np.ndarray) -> None:
        try:
            kernels.collect(*job, parameters, True)
        except BaseException:
            self.team[team.FAILED] = 1
            raise

    def _note(self, step_s: float) -> None:
        """Find out, by how long steps take, whether to share them."""
        if self.race.left:
            self.race.note(step_s)
        elif self.may_share:
            self.may_share = False
            if step_s >= WORTH_SHARING_S:
                self.helpers = ThreadPoolExecutor(self.threads - 1, "upswing-stepper")
                self.theirs = [self.env.spec.begin() for _ in range(self.threads - 1)]
                self.race = Race(2, tries=3)

    def close(self) -> None:
        """End the threads."""
        if self.helpers is not None:
            self.helpers.shutdown()
