"""Environments in compiled code: each one a step and a reset function, run as a Gymnasium Env or N at once.

    from upswing.envs.native import native_env, uniform

    def reset(state, obs, parameters, rng):
        state[0] = uniform(rng, -1.0, 1.0)
        obs[0] = state[0]

    def step(state, action, obs, parameters, rng):
        state[0] += parameters[0] * action[0]
        obs[0] = state[0]
        return -abs(state[0]), False

    Follow = native_env("Follow-v0", step, reset, observation_space=..., action_space=..., n_state=1,
                        max_episode_steps=100, parameters={"gain": 0.1})

`Follow` can be given to a training as its environment; called, it makes a Gymnasium Env. Asking whether an id is known
does not import numba.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upswing.compiled.random import normal, uniform
    from upswing.envs.native.spec import NativeSpec, native_env
    from upswing.envs.native.vector import NativeVectorEnv

NATIVE_ENVS: dict[str, str] = {
    "Acrobot-v1": "acrobot",
    "Ant-v5": "mujoco.ant",
    "CartPole-v1": "cartpole",
    "HalfCheetah-v5": "mujoco.half_cheetah",
    "Hopper-v5": "mujoco.hopper",
    "InvertedPendulum-v5": "mujoco.inverted_pendulum",
    "MountainCar-v0": "mountain_car",
    "MountainCarContinuous-v0": "mountain_car_continuous",
    "Pendulum-v1": "pendulum",
    "PushBlock-v0": "push_block",
    "Swimmer-v5": "mujoco.swimmer",
    "Walker2d-v5": "mujoco.walker2d",
}
"""The module in this room that defines each id; there it is called SPEC."""

_HOMES = {
    "NativeSpec": "upswing.envs.native.spec",
    "native_env": "upswing.envs.native.spec",
    "NativeVectorEnv": "upswing.envs.native.vector",
    "normal": "upswing.compiled.random",
    "uniform": "upswing.compiled.random",
}
__all__ = ["NATIVE_ENVS", "NativeSpec", "NativeVectorEnv", "find", "native_env", "normal", "uniform"]


def find(env: Any, env_kwargs: Mapping[str, Any] | None = None) -> NativeSpec | None:
    """The compiled definition of `env` (an id, or a NativeSpec) with these arguments, or None where there is none.

    Arguments that a compiled definition does not know mean None: Gymnasium's own class may know them.
    """
    if isinstance(env, str):
        if env not in NATIVE_ENVS or not _is_installed(NATIVE_ENVS[env]):
            return None
        env = importlib.import_module(f"upswing.envs.native.{NATIVE_ENVS[env]}").SPEC
    elif not _is_spec(env):
        return None
    return env.with_parameters(**(env_kwargs or {})) if env.knows(env_kwargs or {}) else None


def _is_installed(module: str) -> bool:
    """Whether the simulator is there whose room `module` is in, if it is in one."""
    simulator = module.rpartition(".")[0]
    return not simulator or importlib.util.find_spec(simulator) is not None


def _is_spec(env: Any) -> bool:
    return type(env).__module__ == "upswing.envs.native.spec" and type(env).__name__ == "NativeSpec"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(_HOMES[name]), name)
