"""EnvPool's environments: written in C++ and stepped by threads of their own.

EnvPool resets an environment in the step after the one that ended its episode, as Gymnasium's NEXT_STEP does: the last
step's observation is the true last one, and the step that only resets is not valid. Three things are its own: an
episode whose task ends in the very step of its time limit counts as truncated; seeds are given when the environments
are made; and their state cannot be saved.
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from upswing.envs.contract import Observation
from upswing.envs.gymnasium_vector import GymnasiumVectorEnv
from upswing.envs.serial import counted
from upswing.errors import ConfigError, MissingExtra

LARGEST_SEED = 2**31 - 1


class EnvPoolVectorEnv(GymnasiumVectorEnv):
    """N environments of EnvPool's `env_id`, stepped by `n_threads` threads. See `contract.VectorEnv`."""

    def __init__(
        self,
        env_id: Any,
        n_envs: int,
        n_threads: int,
        env_kwargs: dict[str, Any] | None = None,
        *,
        action_masks: bool = True,
    ):
        n_threads = min(n_threads, n_envs)
        self._make = functools.partial(_make, env_id, n_envs, n_threads, dict(env_kwargs or {}))
        super().__init__(self._make(None), action_masks, autoreset_mode=AutoresetMode.NEXT_STEP)
        self.description = f"{counted(n_envs, 'environment')} of EnvPool in {counted(n_threads, 'thread')}"

    def reset(self, seeds: Sequence[int] | None = None) -> Observation:
        """First observations [N, ...] of new episodes. With seeds the environments are made anew: EnvPool takes none
        later."""
        if seeds is not None:
            self.envs.close()
            self.envs = self._make([int(seed) % LARGEST_SEED for seed in seeds])
        return super().reset()

    def render(self) -> np.ndarray | None:
        """The first environment's picture [H, W, 3] uint8, or None where it was made without a render_mode."""
        if self.envs.render_mode != "rgb_array":
            return None
        pictures: Any = self.envs.render()
        return np.asarray(pictures[0], np.uint8)


def _make(env_id: Any, n_envs: int, n_threads: int, env_kwargs: dict[str, Any], seeds: list[int] | None) -> Any:
    """EnvPool's environments `env_id`. Raises ConfigError, MissingExtra."""
    if not isinstance(env_id, str):
        raise ConfigError(
            "vectorization = envpool, but EnvPool only steps environments of its own, by their id: set it to auto."
        )
    if importlib.util.find_spec("envpool") is None:
        raise MissingExtra("EnvPool", "envpool", "vectorization = envpool")
    import envpool

    if env_id not in (known := envpool.list_all_envs()):
        near = difflib.get_close_matches(env_id.rpartition("/")[2], known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "set vectorization to auto."
        raise ConfigError(f"vectorization = envpool, but EnvPool has no {env_id}: {hint}")
    seeding: dict[str, Any] = {} if seeds is None else {"seed": seeds}
    sizes = {"num_envs": n_envs, "num_threads": n_threads}
    try:
        return envpool.make(env_id, env_type="gymnasium", **sizes, **seeding, **env_kwargs)
    except (TypeError, ValueError, AssertionError) as error:
        said = str(error).removeprefix("Config.__new__() ").rstrip(".") or type(error).__name__
        raise ConfigError(f"EnvPool cannot make {env_id} with env_kwargs = {env_kwargs}: {said}.") from error
