"""Where a training's time goes, what would make it faster, and whether that is so: predicted first, then measured.

    collect = environments + policy and copies          update = advantages and statistics + gradient steps
    a gradient step on B transitions takes  a + b · B:  a is overhead, which larger minibatches share among more samples

The model's three numbers come from two short measurements: at the run's own minibatch, and at one that holds the whole
rollout. Both run one and two epochs, whose difference is an epoch's time.
"""

from __future__ import annotations

import dataclasses
import os
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Any

from upswing.config import TrainConfig, derive
from upswing.doctor.measure import shortened
from upswing.doctor.thresholds import limit
from upswing.engine.make import thread_limit
from upswing.progress import Progress, hyper_at, schedules
from upswing.training import prepare

USUAL_EPOCHS, LARGEST_BATCH = 10, 1024
MOST_STEPS = 32  # gradient steps in a measured epoch
ROUND_S = 0.6  # of measuring, for each row
ROUNDS = 6  # of bf16 against float32, at least


@dataclass(frozen=True)
class Split:
    """Seconds of one iteration."""

    env: float
    policy: float  # and copies: what is left of collecting
    advantages: float  # and statistics: what an update takes besides its epochs
    steps: float  # gradient steps
    engine: str
    gpu_memory_mb: float | None = None  # peak, None without a GPU
    gpu_busy: float | None = None  # share of time, where it can be told

    @property
    def update(self) -> float:
        """Seconds of the update."""
        return self.advantages + self.steps

    @property
    def total(self) -> float:
        """Seconds of the iteration."""
        return self.env + self.policy + self.update

    @property
    def codes(self) -> tuple[str, ...]:
        """F01 where the update takes most of the time, F02 where the environments do, by the doctor's limits."""
        shares = {"F01": self.update / self.total, "F02": self.env / self.total}
        return tuple(code for code, share in shares.items() if share > limit(f"{code}.share"))


@dataclass(frozen=True)
class Option:
    """A change that may make it faster."""

    changes: dict[str, Any]
    predicted: float | None  # seconds of an iteration; None where only trying tells
    measured: Split
    gradient_steps: int  # of an iteration
    uses: int  # how often each sample is used


@dataclass(frozen=True)
class Gain:
    """How many times as fast bf16 is as float32 in gradient steps: the median over rounds, and their range."""

    factor: float
    low: float
    high: float

    @property
    def helps(self) -> bool:
        """Whether it was faster in every round."""
        return self.low > 1.0


@dataclass(frozen=True)
class Profile:
    """What was measured."""

    config: TrainConfig
    split: Split
    options: tuple[Option, ...]
    gradient_steps: int
    bf16: Gain | None = None  # of the torch engine


def profile(config: TrainConfig, *, trusted: bool = True) -> Profile:
    """Where the time of `config` goes, and the changes that would help, each predicted and then measured."""
    split = measured(config, trusted)
    options = []
    for changes, predicted in candidates(config, split, trusted):
        other = replace(config, **changes)
        derived = derive(other)
        steps = derived.n_minibatches * other.n_epochs
        options.append(Option(changes, predicted, measured(other, trusted), steps, other.n_epochs))
    bf16 = amp_gain(config, trusted) if split.engine == "torch" else None
    return Profile(config, split, tuple(options), derive(config).n_minibatches * config.n_epochs, bf16)


def amp_gain(config: TrainConfig, trusted: bool = True) -> Gain:
    """How much faster the torch engine's gradient steps are in bf16, measured in turns on short rollouts."""
    kinds = [replace(_short(config), engine="torch", collect="sync", amp=amp) for amp in ("off", "bf16")]
    hyper = hyper_at(kinds[0], schedules(kinds[0]), Progress())._replace(target_kl=None, n_epochs=1)
    ratios: list[float] = []
    with ExitStack() as stack:
        engines = [stack.enter_context(closing(prepare(kind, trusted=trusted).engine)) for kind in kinds]
        stack.enter_context(thread_limit(config, engines[0].env.observation_space))
        rollouts = [engine.collect() for engine in engines]
        until = time.perf_counter() + ROUND_S
        while len(ratios) < ROUNDS or time.perf_counter() < until:
            off, bf16 = (e.update(r, hyper).update_s for e, r in zip(engines, rollouts, strict=True))
            ratios.append(off / bf16)
    rounds = sorted(ratios[1:])  # the first warms up
    return Gain(rounds[len(rounds) // 2], rounds[0], rounds[-1])


def measured(config: TrainConfig, trusted: bool = True) -> Split:
    """The time of one iteration of `config`, scaled up from short rollouts and updates."""
    short = _short(config)
    training = prepare(short, trusted=trusted)
    engine = training.engine
    hyper = hyper_at(short, schedules(short), Progress())._replace(target_kl=None)
    one, two = hyper._replace(n_epochs=1), hyper._replace(n_epochs=2)
    env: list[float] = []
    collect: list[float] = []
    once: list[float] = []
    twice: list[float] = []
    with closing(engine), thread_limit(short, engine.env.observation_space):
        engine.update(engine.collect(), one)  # compiles what has to be compiled
        memory = _gpu_watch(training.agent.device.type)
        until = time.perf_counter() + ROUND_S
        while not once or time.perf_counter() < until:
            rollout = engine.collect()
            env.append(rollout.env_s)
            collect.append(rollout.collect_s)
            once.append(engine.update(rollout, one).update_s)
            twice.append(engine.update(rollout, two).update_s)
        busy, peak = _gpu_figures(memory)
    epoch = max(min(twice) - min(once), 0.1 * min(once))
    whole, part = derive(config), derive(short)
    larger = whole.pool / part.pool
    steps = epoch * config.n_epochs * whole.n_minibatches / part.n_minibatches
    mean = [sum(values) / len(values) for values in (env, collect)]
    rest = max(0.0, min(once) - epoch)
    return Split(larger * mean[0], larger * (mean[1] - mean[0]), larger * rest, steps, engine.name, peak, busy)


def _short(config: TrainConfig) -> TrainConfig:
    """`config` with rollouts of at most about 4,096 transitions and MOST_STEPS minibatches, but at least 512."""
    short = shortened(config)
    batch = derive(short).batch_size
    n_steps = min(short.n_steps, -(-max(512, MOST_STEPS * batch) // config.n_envs))
    return replace(short, n_steps=n_steps, batch_size=min(batch, n_steps * config.n_envs), n_minibatches=None)


def candidates(config: TrainConfig, split: Split, trusted: bool = True) -> list[tuple[dict[str, Any], float | None]]:
    """Changes worth trying on what takes most of the time, with the seconds that an iteration should then take."""
    derived = derive(config)
    if "F02" in split.codes:
        return _for_environments(config, split)
    if "F01" not in split.codes:
        return []
    found: list[tuple[dict[str, Any], float | None]] = []
    free: dict[str, Any] = {}  # what costs nothing is part of every other change
    if config.engine == "torch":
        other = replace(config, engine="auto")
        compiled = measured(other, trusted)
        if compiled.engine != split.engine:
            free, config, split = {"engine": "auto"}, other, compiled
            found.append((free, None))
    overhead, each = step_cost(config, split, trusted)

    def seconds(batch: int, epochs: int) -> float:
        minibatches = -(-derived.pool // batch)
        return split.total - split.steps + epochs * (minibatches * overhead + derived.pool * each)

    batch, epochs = derived.batch_size, config.n_epochs
    larger = min(derived.pool, LARGEST_BATCH, max(4 * batch, 64))
    fewer = USUAL_EPOCHS if epochs > 2 * USUAL_EPOCHS else max(1, epochs // 2)
    if larger > batch:
        found.append((free | {"batch_size": larger, "n_minibatches": None}, seconds(larger, epochs)))
    if fewer < epochs:
        found.append((free | {"n_epochs": fewer}, seconds(batch, fewer)))
    if larger > batch and fewer < epochs:
        both = free | {"batch_size": larger, "n_minibatches": None, "n_epochs": fewer}
        found.append((both, seconds(larger, fewer)))
    return found


def step_cost(config: TrainConfig, split: Split, trusted: bool = True) -> tuple[float, float]:
    """Seconds of overhead of a gradient step, and seconds a transition adds to it: a and b of a + b · B."""
    derived = derive(config)
    pool = min(derived.pool, 4096)
    if derived.batch_size >= pool:
        return 0.0, split.steps / (config.n_epochs * derived.pool)
    whole = measured(replace(config, batch_size=pool, n_minibatches=None, n_epochs=1), trusted)
    per_step = split.steps / (config.n_epochs * derived.n_minibatches)
    per_whole = whole.steps / derive(replace(config, batch_size=pool, n_minibatches=None)).n_minibatches
    each = max(0.0, (per_whole - per_step) / (pool - derived.batch_size))
    return max(0.0, per_step - each * derived.batch_size), each


def _for_environments(config: TrainConfig, split: Split) -> list[tuple[dict[str, Any], float | None]]:
    """Other ways of stepping the same environments: the numbers stay the same, so learning costs nothing."""
    workers = min(os.cpu_count() or 1, config.n_envs)
    ways: list[tuple[dict[str, Any], float | None]] = []
    if workers > 1 and config.vectorization != "workers":
        ways.append(({"vectorization": "workers"}, split.total - split.env * (1 - 1 / workers)))
    if config.vectorization not in ("auto", "native"):
        ways.append(({"vectorization": "auto"}, None))
    return ways


def _gpu_watch(device: str) -> str | None:
    """The kind of device to ask about, its peak memory counted anew; None for the CPU."""
    if device != "cuda":
        return None
    import torch

    torch.cuda.reset_peak_memory_stats()
    return device


def _gpu_figures(device: str | None) -> tuple[float | None, float | None]:
    """How busy the GPU is, where its driver's library is installed, and its peak memory in MB."""
    if device is None:
        return None, None
    import torch

    try:
        busy = torch.cuda.utilization() / 100.0
    except (ImportError, RuntimeError, ModuleNotFoundError):
        busy = None
    return busy, torch.cuda.max_memory_allocated() / 2**20


def plain_changes(changes: dict[str, Any]) -> dict[str, Any]:
    """`changes` without what merely makes room for another setting."""
    return {name: value for name, value in changes.items() if name != "n_minibatches"}


def as_json(found: Profile) -> dict[str, Any]:
    """The profile as JSON values."""
    split = found.split
    return {
        "seconds": dataclasses.asdict(split) | {"update": split.update, "total": split.total},
        "findings": list(split.codes),
        "gradient_steps": found.gradient_steps,
        "bf16": None if found.bf16 is None else dataclasses.asdict(found.bf16) | {"helps": found.bf16.helps},
        "options": [
            {
                "changes": plain_changes(option.changes),
                "predicted_s": option.predicted,
                "measured_s": option.measured.total,
                "speedup": split.total / option.measured.total,
                "gradient_steps": option.gradient_steps,
                "uses_of_a_sample": option.uses,
                "engine": option.measured.engine,
            }
            for option in found.options
        ],
    }
