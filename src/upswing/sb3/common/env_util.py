"""Vector environments in one call."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import gymnasium

from upswing.envs.registry import make_factory
from upswing.sb3.common.monitor import Monitor
from upswing.sb3.common.vec_env import DummyVecEnv, drawable, from_id


def make_vec_env(
    env_id: str | Callable[..., gymnasium.Env],
    n_envs: int = 1,
    seed: int | None = None,
    start_index: int = 0,
    monitor_dir: str | None = None,
    wrapper_class: Callable[..., gymnasium.Env] | None = None,
    env_kwargs: dict[str, Any] | None = None,
    vec_env_cls: Callable[..., Any] | None = None,
    vec_env_kwargs: dict[str, Any] | None = None,
    monitor_kwargs: dict[str, Any] | None = None,
    wrapper_kwargs: dict[str, Any] | None = None,
) -> Any:
    """A VecEnv of `n_envs` environments: in this process, or as `vec_env_cls` (SubprocVecEnv) makes them.

    Environment i is seeded with seed + i. A Monitor writes to `monitor_dir`/i.monitor.csv; without that none is needed,
    since every VecEnv counts episodes. `wrapper_class` is applied outside it. An id without such extras is stepped in
    compiled code where there is a compiled environment of that name.
    """
    plain = not (monitor_dir or monitor_kwargs or wrapper_class or vec_env_cls)
    if plain and isinstance(env_id, str):
        venv: Any = from_id(env_id, n_envs, env_kwargs)
        venv.seed(seed)
        return venv
    make = make_factory(env_id, drawable(env_id, env_kwargs or {})[1])

    def factory(rank: int) -> Callable[[], gymnasium.Env]:
        def build() -> gymnasium.Env:
            env = make()
            if monitor_dir is not None or monitor_kwargs:
                where = os.path.join(monitor_dir, str(rank)) if monitor_dir is not None else None
                env = Monitor(env, filename=where, **(monitor_kwargs or {}))
            return wrapper_class(env, **(wrapper_kwargs or {})) if wrapper_class else env

        return build

    factories = [factory(start_index + i) for i in range(n_envs)]
    venv = (vec_env_cls or DummyVecEnv)(factories, **(vec_env_kwargs or {}))
    venv.seed(seed)
    return venv
