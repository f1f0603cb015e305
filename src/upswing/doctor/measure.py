"""A short measurement of how fast a configuration trains here. The only part of the doctor that starts a training."""

from __future__ import annotations

import dataclasses
import time
from typing import Any, NamedTuple

from upswing.config import TrainConfig, derive


class Measured(NamedTuple):
    """What a second of training showed."""

    steps_per_second: float  # over collecting and updating, evaluation apart
    collect_s: float  # of one whole rollout
    update_s: float  # of one whole update
    n_parameters: int
    observation_size: int  # numbers in one observation
    startup_s: float  # environments, policy and compilation
    engine: str


def measure(config: TrainConfig, seconds: float = 1.0, trusted: bool = True) -> Measured:
    """How fast `config` collects and updates, from about `seconds` of both after a first, unmeasured round.

    Rollouts are shortened so that a large one fits into the time; an update's time grows with its gradient steps.
    """
    from upswing.engine.make import thread_limit  # the door to training: not needed for anything else here
    from upswing.progress import Progress, hyper_at, schedules
    from upswing.training import prepare

    began = time.perf_counter()
    short = shortened(config)
    training = prepare(short, trusted=trusted)
    engine, hyper = training.engine, hyper_at(short, schedules(short), Progress())
    hyper = hyper._replace(n_epochs=1, target_kl=None)
    try:
        with thread_limit(short, engine.env.observation_space):
            engine.update(engine.collect(), hyper)  # compiles what has to be compiled
            startup = time.perf_counter() - began
            rounds, collect, update = 0, 0.0, 0.0
            until = time.perf_counter() + seconds
            while rounds == 0 or time.perf_counter() < until:
                rollout = engine.collect()
                stats = engine.update(rollout, hyper)
                rounds, collect, update = rounds + 1, collect + rollout.collect_s, update + stats.update_s
    finally:
        engine.close()
    whole, part = derive(config), derive(short)
    collect_s = collect / rounds * whole.pool / part.pool
    update_s = update / rounds / part.n_minibatches * whole.n_minibatches * config.n_epochs
    return Measured(
        whole.pool / (collect_s + update_s),
        collect_s,
        update_s,
        sum(parameter.numel() for parameter in engine.policy.parameters()),
        _size(rollout.obs, part.pool),
        startup,
        engine.name,
    )


def shortened(config: TrainConfig) -> TrainConfig:
    """`config` with a rollout of at most about 4,096 transitions, which still holds a minibatch, and the same batches."""
    derived = derive(config)
    wanted = max(4096, min(derived.batch_size, derived.pool))
    n_steps = max(1, min(config.n_steps, -(-wanted // config.n_envs)))
    batch = min(derived.batch_size, n_steps * config.n_envs)
    return dataclasses.replace(config, n_steps=n_steps, batch_size=batch, n_minibatches=None, checkpoint_path=None)


def _size(obs: Any, transitions: int) -> int:
    """Numbers in one observation of a rollout's."""
    parts = obs.values() if isinstance(obs, dict) else [obs]
    total = 0
    for part in parts:
        numbers = 1
        for length in part.shape:
            numbers *= int(length)
        total += numbers
    return max(1, total // transitions)
