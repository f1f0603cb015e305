"""Environments in this process, stepped one after the other: no transport, no waiting, the least there can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from upswing.envs.contract import Observation, Step
from upswing.envs.group import Factory, Group
from upswing.envs.rows import new_rows, read_step
from upswing.envs.state import saved_environments


class SerialVectorEnv:
    """N environments in this process. See `contract.VectorEnv`; the arrays of a Step are reused by the next step."""

    def __init__(self, factories: Sequence[Factory], action_masks: bool = True):
        self._group = Group(factories, action_masks=action_masks)
        self.n_envs = len(factories)
        self.observation_space, self.action_space = self._group.observation_space, self._group.action_space
        self._rows = new_rows(self.observation_space, self.action_space, self.n_envs)
        self._group.attach(self._rows)
        self._uneventful = read_step(self._rows, False, False)  # its arrays are the rows themselves
        self.notices = self._group.notices
        self.description = f"{counted(self.n_envs, 'environment')} in this process"

    def reset(self, seeds: Sequence[int] | None = None) -> Observation:
        """First observations [N, ...] of new episodes."""
        self._group.reset(seeds)
        return self._rows.obs

    def step(self, actions: np.ndarray) -> Step:
        """The outcome of `actions` [N] or [N, A]. Raises EnvironmentFault where an environment fails."""
        ended, lost = self._group.step(actions)
        return read_step(self._rows, ended, lost) if ended or lost else self._uneventful

    @property
    def infos(self) -> list[dict[str, Any]]:
        """Each environment's info of the last step."""
        return self._group.infos

    def get_state(self) -> dict[str, Any] | None:
        """What is needed to continue exactly, or None where an environment cannot say."""
        states = self._group.get_state()
        return None if states is None else {"environments": states}

    def set_state(self, state: dict[str, Any]) -> Observation:
        """The current observations [N, ...] after restoring what `get_state` gave."""
        self._group.set_state(saved_environments(state, self.n_envs))
        return self._rows.obs

    def render(self) -> np.ndarray | None:
        """The first environment's picture [H, W, 3] uint8, or None."""
        return self._group.render() if self._group.envs else None

    def close(self) -> None:
        """Close the environments. Safe to call twice."""
        self._group.close()


def counted(n: int, what: str) -> str:
    """`n` and `what`, in the plural where it is due."""
    return f"{n} {what}" if n == 1 else f"{n} {what}es" if what.endswith("ss") else f"{n} {what}s"
