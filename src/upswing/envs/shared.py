"""Environments that this process and workers step together: each takes its share.

Waking a worker and being woken cost tens of microseconds, about as long as a quick environment steps. A process that
steps a share of its own wakes nobody on its core and sleeps only for what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from upswing.cores import usable_cores
from upswing.envs.contract import Observation, Step
from upswing.envs.group import Factory, Group, shapes
from upswing.envs.rows import part_of, read_step
from upswing.envs.serial import counted
from upswing.envs.state import saved_environments
from upswing.envs.workers import WorkerVectorEnv
from upswing.errors import ConfigError


class SharedVectorEnv:
    """N environments, the last of them in this process and the others in workers. See `contract.VectorEnv`.

    There is one worker less than cores by default. `options` are those of `WorkerVectorEnv`; a worker that fails is
    replaced, an environment in this process that raises is an error.
    """

    def __init__(self, factories: Sequence[Factory], n_workers: int | None = None, **options: Any):
        self.n_envs = n = len(factories)
        assert n > 1, "there is nothing to share"
        n_workers = min(n_workers or max(1, usable_cores() - 1), n - 1)
        self._first = n - n // (n_workers + 1)  # of those in this process
        self._workers = WorkerVectorEnv(factories[: self._first], n_workers, spare=n - self._first, **options)
        try:
            self._own = self._take_share(factories[self._first :], options.get("action_masks", True))
        except BaseException:
            self._workers.close()
            raise
        self.observation_space, self.action_space = self._workers.observation_space, self._workers.action_space
        self.notices = self._own.notices = self._workers.notices
        self.description = f"{counted(n, 'environment')} in this process and {counted(n_workers, 'worker process')}"

    def _take_share(self, factories: Sequence[Factory], action_masks: bool) -> Group:
        own, workers = Group(factories, self._first, action_masks), self._workers
        if (
            shapes(own.observation_space) != shapes(workers.observation_space)
            or own.action_space != workers.action_space
        ):
            own.close()
            raise ConfigError(
                f"Environment {self._first} has other spaces than environment 0: environments that step side by side "
                f"need the same shapes."
            )
        own.attach(part_of(workers.rows, slice(self._first, self.n_envs)))
        return own

    def reset(self, seeds: Sequence[int] | None = None) -> Observation:
        """First observations [N, ...] of new episodes."""
        self._workers.reset(None if seeds is None else seeds[: self._first])
        self._own.reset(None if seeds is None else seeds[self._first :])
        return self._workers.rows.obs

    def step(self, actions: np.ndarray) -> Step:
        """The outcome of `actions` [N] or [N, A]. Raises EnvironmentFault where an environment fails for good."""
        self._workers.step_async(actions[: self._first])
        own_ended, own_lost = self._own.step(np.asarray(actions[self._first :]))
        ended, lost = self._workers.finish()
        return read_step(self._workers.rows, ended or own_ended, lost or own_lost)

    def get_state(self) -> dict[str, Any] | None:
        """What is needed to continue exactly, or None where an environment cannot say."""
        others, own = self._workers.get_state(), self._own.get_state()
        return None if others is None or own is None else {"environments": [*others["environments"], *own]}

    def set_state(self, state: dict[str, Any]) -> Observation:
        """The current observations [N, ...] after restoring what `get_state` gave."""
        states = saved_environments(state, self.n_envs)
        self._workers.set_state({"environments": states[: self._first]})
        self._own.set_state(states[self._first :])
        return self._workers.rows.obs

    def render(self) -> np.ndarray | None:
        """The first environment's picture [H, W, 3] uint8, or None."""
        return self._workers.render()

    def close(self) -> None:
        """End the workers and close the environments. Safe to call twice."""
        self._workers.close()
        self._own.close()
