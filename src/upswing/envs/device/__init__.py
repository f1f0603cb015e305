"""Environments as torch tensors on a device, N at once: nothing about a step is known to the host, or asked by it.

They are the compiled environments of the same ids, step for step: constants, spaces, limits and pictures are theirs, and
the state is float64 on every device. Asking whether an id is known imports neither torch nor numba.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from upswing.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from upswing.envs.device.vector import DeviceVectorEnv

DEVICE_ENVS: dict[str, str] = {
    "CartPole-v1": "cartpole",
    "Pendulum-v1": "pendulum",
    "PushBlock-v0": "push_block",
}
"""The module in this room that defines each id; there it is called DYNAMICS."""


def make_device_env(
    env: Any, env_kwargs: Mapping[str, Any], n_envs: int, device: torch.device
) -> DeviceVectorEnv | None:
    """`n_envs` environments of the id `env` on `device`, or None where there are none of that name with these arguments."""
    if not isinstance(env, str) or env not in DEVICE_ENVS:
        return None
    from upswing.envs.device.vector import DeviceVectorEnv

    dynamics = importlib.import_module(f"upswing.envs.device.{DEVICE_ENVS[env]}").DYNAMICS
    if not dynamics.spec.knows(env_kwargs):
        return None
    return DeviceVectorEnv(dynamics, dynamics.spec.with_parameters(**env_kwargs), n_envs, device)


def torch_device(setting: str) -> torch.device:
    """The device that the setting `device` names, other than auto. Raises ConfigError where torch finds no such GPU."""
    import torch

    try:
        device = torch.device(setting)
    except RuntimeError:
        raise ConfigError(f"device = {setting!r} is not a device: write cpu, cuda, cuda:1 or auto.") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device = {setting!r} needs a GPU that torch can use, and it finds none: see upswing info.")
    return device
