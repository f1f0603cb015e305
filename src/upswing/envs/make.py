"""From a configuration to its vector environment, and the choice that `vectorization = auto` makes."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import SyncVectorEnv

from upswing.config import TrainConfig
from upswing.cores import usable_cores
from upswing.envs import native
from upswing.envs.atari import AtariVectorEnv, is_atari
from upswing.envs.contract import ACTION_MASK, Observation, VectorEnv
from upswing.envs.device import DEVICE_ENVS, make_device_env, torch_device
from upswing.envs.envpool import EnvPoolVectorEnv
from upswing.envs.group import Factory
from upswing.envs.gymnasium_vector import GymnasiumVectorEnv
from upswing.envs.maniskill.tasks import may_be_task
from upswing.envs.registry import Task, env_name, find_env, make_factory, making
from upswing.envs.serial import SerialVectorEnv
from upswing.envs.shared import SharedVectorEnv
from upswing.envs.starcraft.names import map_name
from upswing.envs.workers import WorkerVectorEnv, pickled
from upswing.errors import ConfigError

TRANSPORT_S = 60e-6  # what a step of workers costs beside the environments' own time, at best
WORTH = 1.2  # how many times faster workers must be before they are chosen
QUICK_S = 5e-3  # where a step of all takes less, waking workers is worth saving
MEASURE_S = 0.25
ROUNDS = 5
SAMPLE = 4  # environments in this process that stand for all


def make_vector_env(
    config: TrainConfig,
    n_envs: int,
    seeds: Sequence[int] | None = None,
    *,
    trusted: bool = True,
    evaluation: bool = False,
    render_mode: str | None = None,
) -> VectorEnv:
    """`n_envs` environments of `config`, stepped as `config.vectorization` says; its `description` tells how.

    With `seeds` [n_envs] their first episodes have begun. With `evaluation`, auto does without worker processes, and
    what trains on a device is evaluated as auto would: the few episodes of a score are sooner done on the host.
    `render_mode` is the first environment's. An untrusted config may not name code to import. Raises UserError.
    """
    kind = config.vectorization
    if kind == "device" and (evaluation or render_mode is not None):
        kind = "auto"
    if name := map_name(config.env):
        env: VectorEnv = _games(name, config, _factories(config, n_envs, trusted, evaluation, render_mode))
    elif (scene := _parallel_scene(config, n_envs, trusted, evaluation, render_mode)) is not None:
        env = scene
    elif kind == "auto":
        env = _automatic(config, n_envs, trusted, evaluation, render_mode)
    elif kind == "device":
        env = _required_on_device(config, n_envs)
    elif kind == "native":
        env = _required_native(config, n_envs, trusted)
    elif kind == "envpool":
        env = _envpool(config, n_envs, render_mode)
    elif kind == "gymnasium":
        env = _gymnasium(config, n_envs, trusted, evaluation, render_mode)
    else:
        env = _own(kind, config, _factories(config, n_envs, trusted, evaluation, render_mode))
    if seeds is not None:
        env.reset(list(seeds))
    return env


def _parallel_scene(
    config: TrainConfig, n_envs: int, trusted: bool, evaluation: bool, render_mode: str | None
) -> VectorEnv | None:
    """ManiSkill's environments in one scene on the GPU, where that is asked for or possible; else None."""
    if not may_be_task(config.env):
        return None
    found = find_env(config.env, trusted=trusted)
    if not isinstance(found, Task):
        return None
    from upswing.envs.maniskill.making import wants_gpu  # brings torch

    if not wants_gpu(config.env_kwargs):
        return None
    from upswing.envs.maniskill.parallel import make_parallel

    scene = make_parallel(found.id, found.module, n_envs, config.env_kwargs, evaluation, render_mode)
    return cast(VectorEnv, scene)


def _factories(
    config: TrainConfig, n_envs: int, trusted: bool, evaluation: bool, render_mode: str | None
) -> list[Factory]:
    def factory(**rendering: str) -> Factory:
        return make_factory(config.env, {**config.env_kwargs, **rendering}, trusted=trusted, evaluation=evaluation)

    factories = [factory()] * n_envs
    if render_mode is not None:
        factories[0] = factory(render_mode=render_mode)
    return factories


Own = SerialVectorEnv | WorkerVectorEnv | SharedVectorEnv


def _own(kind: str, config: TrainConfig, factories: list[Factory]) -> Own:
    if kind == "serial" or (kind == "shared" and len(factories) == 1):
        return SerialVectorEnv(factories, action_masks=config.action_masks)
    return (SharedVectorEnv if kind == "shared" else WorkerVectorEnv)(
        factories,
        config.n_workers,
        step_timeout_s=config.step_timeout_s,
        max_restarts=config.max_worker_restarts,
        action_masks=config.action_masks,
    )


def _games(name: str, config: TrainConfig, factories: list[Factory]) -> WorkerVectorEnv:
    """Each game in a worker process of its own, whatever n_workers says: PySC2 is for one game, and a game may crash."""
    if config.vectorization not in ("auto", "workers"):
        raise ConfigError(
            f"vectorization = {config.vectorization}, but {name} is played in worker processes, one for each game: "
            f"set it to auto."
        )
    return _own("workers", replace(config, n_workers=len(factories)), factories)  # type: ignore[return-value]


def _native(config: TrainConfig, n_envs: int, trusted: bool) -> VectorEnv | None:
    """Compiled environments, where there are any of that name."""
    named_in_module = isinstance(config.env, str) and ":" in config.env
    env = find_env(config.env, trusted=trusted) if named_in_module else config.env
    spec = native.find(env, config.env_kwargs)
    return None if spec is None else cast(VectorEnv, native.NativeVectorEnv(spec, n_envs))


def _required_native(config: TrainConfig, n_envs: int, trusted: bool) -> VectorEnv:
    env = _native(config, n_envs, trusted)
    if env is None:
        raise ConfigError(
            f"vectorization = native, but there is no compiled {env_name(config.env)} with these env_kwargs: set it to "
            f"auto."
        )
    return env


def _on_device(config: TrainConfig, n_envs: int) -> VectorEnv | None:
    """Environments on the device that the setting names, or where a GPU can be had on that one; None where there are none."""
    import torch

    setting = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    return cast(VectorEnv | None, make_device_env(config.env, config.env_kwargs, n_envs, torch_device(setting)))


def _required_on_device(config: TrainConfig, n_envs: int) -> VectorEnv:
    env = _on_device(config, n_envs)
    if env is None:
        raise ConfigError(
            f"vectorization = device, but there is no {env_name(config.env)} on devices with these env_kwargs, only "
            f"{', '.join(DEVICE_ENVS)}: set it to auto."
        )
    return env


def _envpool(config: TrainConfig, n_envs: int, render_mode: str | None) -> VectorEnv:
    kwargs = config.env_kwargs if render_mode is None else {**config.env_kwargs, "render_mode": render_mode}
    n_threads = config.n_workers or usable_cores()
    return EnvPoolVectorEnv(config.env, n_envs, n_threads, kwargs, action_masks=config.action_masks)


def _gymnasium(
    config: TrainConfig, n_envs: int, trusted: bool, evaluation: bool, render_mode: str | None
) -> GymnasiumVectorEnv:
    """Gymnasium's own vector environment: the one that the id registers, otherwise a SyncVectorEnv."""
    found = find_env(config.env, trusted=trusted)
    rendering = {} if render_mode is None else {"render_mode": render_mode}
    if isinstance(found, EnvSpec):
        if is_atari(found) and render_mode is None:
            return _atari(config, found, n_envs, evaluation)
        spec = copy.deepcopy(found)
        spec.disable_env_checker = True
        with making(spec, config.env_kwargs):
            envs = gymnasium.make_vec(spec, num_envs=n_envs, **{**config.env_kwargs, **rendering})
    else:
        envs = SyncVectorEnv(_factories(config, n_envs, trusted, evaluation, render_mode))
    return GymnasiumVectorEnv(envs, config.action_masks, config.step_timeout_s)


def _atari(config: TrainConfig, spec: EnvSpec, n_envs: int, evaluation: bool) -> GymnasiumVectorEnv:
    """A game's own vector environment."""
    with making(spec, config.env_kwargs):
        return AtariVectorEnv(spec, n_envs, config.env_kwargs, evaluation, config.action_masks)


def _automatic(config: TrainConfig, n_envs: int, trusted: bool, evaluation: bool, render_mode: str | None) -> VectorEnv:
    """Environments on the GPU that trains or compiled ones if there are any, otherwise whichever of this process and
    workers is faster."""
    training_on_gpu = config.device.startswith("cuda") and not evaluation and render_mode is None
    if training_on_gpu and (placed := _on_device(config, n_envs)) is not None:
        return placed
    if render_mode is None and (compiled := _native(config, n_envs, trusted)) is not None:
        return compiled
    found = find_env(config.env, trusted=trusted)
    if is_atari(found) and render_mode is None:
        return _atari(config, cast(EnvSpec, found), n_envs, evaluation)
    factories = _factories(config, n_envs, trusted, evaluation, render_mode)
    if evaluation or n_envs == 1 or render_mode is not None:
        return _own("serial", config, factories)
    if usable_cores() < 2:
        return _serial_because("there is one core", config, factories)
    if isinstance(found, Task):
        return _own("workers", config, factories)  # a step takes milliseconds, and making them to measure takes longer
    return _faster(config, factories)


def _serial_because(why: str, config: TrainConfig, factories: list[Factory]) -> SerialVectorEnv:
    env = SerialVectorEnv(factories, action_masks=config.action_masks)
    env.notices.append(f"vectorization auto: {env.description}, because {why}.")
    return env


def _faster(config: TrainConfig, factories: list[Factory]) -> VectorEnv:
    """The faster way to step, measured with random actions; workers are only tried where they could pay.

    This process takes a share where waking workers would cost about as much as stepping, and nobody else needs it.
    """
    n_envs = len(factories)
    n_workers = min(config.n_workers or usable_cores(), n_envs)
    with contextlib.closing(SerialVectorEnv(factories[:SAMPLE], action_masks=config.action_masks)) as sample:
        serial_s = step_seconds(sample) * n_envs / sample.n_envs
        hoped_s = math.ceil(n_envs / n_workers) * serial_s / n_envs + TRANSPORT_S
        if serial_s < WORTH * hoped_s:
            why = f"a step of all takes {_ms(serial_s)}, too little for workers to pay"
            return _serial_because(why, config, factories)
        try:
            pickled(factories)
        except ConfigError as error:
            why = f"workers are impossible: {str(error)[0].lower()}{str(error)[1:-1]}"
            return _serial_because(why, config, factories)
        quick = serial_s < QUICK_S and config.collect == "sync"
        env = _own("shared" if quick else "workers", config, factories)
        serial_s, together_s = _in_turns(sample, env)
    if serial_s < WORTH * together_s:
        env.close()
        others = env.description.partition(" in ")[2]
        why = f"a step of all takes {_ms(serial_s)}, and {_ms(together_s)} in {others}"
        return _serial_because(why, config, factories)
    env.notices.append(
        f"vectorization auto: {env.description}, because a step of all takes {_ms(together_s)}, and {_ms(serial_s)} in "
        f"this process alone."
    )
    return env


def _in_turns(sample: SerialVectorEnv, env: Own) -> tuple[float, float]:
    """Seconds that a step of all environments takes in this process, judged by a `sample` of them, and by `env`.

    They take turns and the median round counts: the speed of a shared machine changes more than what is compared.
    """
    share, start = env.n_envs / sample.n_envs, time.perf_counter()
    rounds: list[tuple[float, float]] = []
    while not rounds or (len(rounds) < ROUNDS and time.perf_counter() - start < 2 * MEASURE_S):
        rounds.append((share * step_seconds(sample), step_seconds(env)))
    return sorted(rounds, key=lambda seconds: seconds[0] / seconds[1])[len(rounds) // 2]


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


def step_seconds(env: Any, budget_s: float = MEASURE_S / ROUNDS) -> float:
    """Seconds that a step of all environments takes with random actions: the best of several stretches.

    They are left in the middle of an episode, and with seeds of their own.
    """
    rng = np.random.default_rng(0)
    obs: Observation = env.reset(list(range(env.n_envs)))
    best, start = math.inf, time.perf_counter()
    while best == math.inf or time.perf_counter() - start < budget_s:
        spent, steps = 0.0, 0
        while spent < budget_s / 5 and steps < 50:
            actions = random_actions(env.action_space, obs, env.n_envs, rng)
            before = time.perf_counter()
            obs = env.step(actions).obs
            spent += time.perf_counter() - before
            steps += 1
        best = min(best, spent / steps)
    return best


def random_actions(space: gymnasium.Space, obs: Observation, n: int, rng: np.random.Generator) -> np.ndarray:
    """Actions [n] or [n, A] drawn uniformly, from the valid ones where `obs` has a mask."""
    if isinstance(space, gymnasium.spaces.Discrete | gymnasium.spaces.MultiDiscrete):
        heads = [int(space.n)] if isinstance(space, gymnasium.spaces.Discrete) else space.nvec.tolist()
        keys = rng.random((n, sum(heads)))
        if isinstance(obs, dict) and ACTION_MASK in obs:
            keys = np.where(obs[ACTION_MASK], keys, -1.0)
        chosen = [part.argmax(axis=1) for part in np.split(keys, np.cumsum(heads)[:-1], axis=1)]
        return chosen[0] if isinstance(space, gymnasium.spaces.Discrete) else np.stack(chosen, axis=1)
    if isinstance(space, gymnasium.spaces.MultiBinary):
        return rng.integers(0, 2, (n, *space.shape)).astype(np.int8)
    assert isinstance(space, gymnasium.spaces.Box)
    low, high = (np.nan_to_num(bound, posinf=1.0, neginf=-1.0) for bound in (space.low, space.high))
    return rng.uniform(low, high, (n, *space.shape)).astype(np.float32)
