"""Which engine trains a configuration, with its environments and policy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import gymnasium
import torch

from upswing.config import TrainConfig
from upswing.engine.contract import Engine
from upswing.engine.group import Group
from upswing.engine.placed import place
from upswing.engine.torch_engine import TorchEngine
from upswing.envs.contract import VectorEnv
from upswing.envs.device import torch_device
from upswing.envs.make import make_vector_env
from upswing.envs.spaces import has_images
from upswing.errors import ConfigError
from upswing.policies import ActorCritic, flatten_parameters, make_policy
from upswing.seeds import Seeds


def make_engine(
    config: TrainConfig, seeds: Seeds, env: VectorEnv | None = None, *, trusted: bool = True, group: Group | None = None
) -> tuple[Engine, list[str]]:
    """The engine for `config`, its environments reset and its policy initialised, and a sentence for each choice made.

    `env` takes the place of the environments that `config` names. In a `group` of processes they are this one's share.
    """
    group = group or Group()
    env = env or make_vector_env(config, group.share(config.n_envs), trusted=trusted)
    with thread_limit(config, env.observation_space):  # more would take 0.1 s to start, for milliseconds of work
        policy = make_policy(config, env.observation_space, env.action_space, seeds.policy, trusted=trusted)
    policy.to(group.device if group.device.type == "cuda" else _device(config, env))
    flatten_parameters(policy)
    reason = _why_not_native(config, env, policy, group)
    if reason is None:
        from upswing.engine.native_engine import NativeEngine  # brings numba, which only this engine needs

        return NativeEngine(config, env, policy, seeds.envs, seeds.engine), take_notices(env)
    env_seeds = None if seeds.envs is None else group.part(seeds.envs)
    engine = TorchEngine(config, env, policy, env_seeds, seeds.engine, group)
    return engine, [*take_notices(env), f"The torch engine trains this run, because {reason}.", *engine.notices]


def _why_not_native(config: TrainConfig, env: VectorEnv, policy: ActorCritic, group: Group) -> str | None:
    """Why the torch engine is the one for `config`, as the end of a sentence; None where the native one is.

    Raises ConfigError where the native one is asked for and cannot do it.
    """
    if config.engine == "torch":
        return "engine is set to torch"
    from upswing.engine.native_engine import unsupported

    reason = unsupported(policy, env, config)
    if group.size > 1:
        reason = f"{group.size} processes train it together, each with {env.n_envs} of the environments"
    if reason is not None and config.engine == "native":
        raise ConfigError(f"engine = native cannot train this run, because {reason}: set engine to auto or torch.")
    return reason


def take_notices(env: VectorEnv) -> list[str]:
    """What the environments have to say since the last call: choices made, workers restarted, episodes dropped."""
    notices: list[str] = getattr(env, "notices", [])
    taken = notices.copy()
    notices.clear()
    return taken


def _device(config: TrainConfig, env: VectorEnv) -> torch.device:
    if config.device == "auto" and (device := place(env)) is not None:
        return device
    if config.device == "auto":
        return torch.device("cuda" if has_images(env.observation_space) and torch.cuda.is_available() else "cpu")
    return torch_device(config.device)


@contextmanager
def thread_limit(config: TrainConfig, observation_space: gymnasium.Space) -> Iterator[None]:
    """Arithmetic limited to `config.threads` while inside: by default one thread, or every core for images."""
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads or ((os.cpu_count() or 1) if has_images(observation_space) else 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)
