"""From a MuJoCo model, a step and a reset function to the definition of a compiled environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from upswing.envs.native.mujoco.physics import Physics, load, remembered
from upswing.envs.native.mujoco.simulation import QPOS
from upswing.envs.native.pictures import drawn_by_gymnasium
from upswing.envs.native.spec import NativeSpec, native_env

ASSETS = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"


def mujoco_env(
    id: str,
    step: Callable[..., tuple[float, bool]],
    reset: Callable[..., None],
    *,
    xml: str | Path,
    n_obs: int,
    n_memory: int = 0,
    max_episode_steps: int | None = None,
    parameters: Mapping[str, float] | None = None,
    success: Callable[..., bool] | None = None,
    picture: Callable[[np.ndarray], np.ndarray] | None = None,
) -> NativeSpec:
    """The definition of an environment that simulates the model in the file `xml`; see `native_env` for its functions.

    Actions are those of the model's actuators, within their ranges; observations are `n_obs` numbers of any size. The
    state's last `n_memory` numbers are the environment's own to remember things in; those before are for `qpos`,
    `qvel` and `simulate`. Raises ConfigError where MuJoCo cannot read the file.
    """
    model = load(str(xml))
    low, high = model.actuator_ctrlrange.astype(np.float32).T
    limited = model.actuator_ctrllimited.astype(bool)
    return native_env(
        id,
        step,
        reset,
        observation_space=spaces.Box(-np.inf, np.inf, (n_obs,), np.float32),
        action_space=spaces.Box(np.where(limited, low, -np.inf), np.where(limited, high, np.inf), dtype=np.float32),
        n_state=remembered(model) + n_memory,
        max_episode_steps=max_episode_steps,
        parameters=parameters,
        success=success,
        picture=picture,
        physics=partial(Physics, str(xml)),
    )


def gymnasiums(
    env_id: str,
    step: Callable[..., tuple[float, bool]],
    reset: Callable[..., None],
    *,
    xml: str,
    n_obs: int,
    parameters: Mapping[str, float],
    n_memory: int = 0,
) -> NativeSpec:
    """The definition of an environment of Gymnasium's, with its model `xml`, its time limit and its pictures."""
    model = load(str(ASSETS / xml))
    return mujoco_env(
        env_id,
        step,
        reset,
        xml=ASSETS / xml,
        n_obs=n_obs,
        n_memory=n_memory,
        max_episode_steps=gymnasium.spec(env_id).max_episode_steps,
        parameters=parameters,
        picture=drawn_by_gymnasium(env_id, QPOS + model.nq + model.nv, _put),
    )


def _put(env: Any, state: np.ndarray) -> None:
    env.set_state(*np.split(state[QPOS:], [env.model.nq]))
