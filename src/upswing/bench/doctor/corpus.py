"""Which trainings the benchmark consists of, each with a name that is its folder."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from upswing.bench.doctor.faults import BY_NAME, FAULTS, Fault
from upswing.bench.doctor.tasks import TASKS, VARIANTS, Task, healthy
from upswing.config import TrainConfig

HALVES_DIFFER = "mixed"
FEW_FAULTS = (
    "lr_high=x30", "gamma_low=0.5", "ent_high=x30", "reward_large=x1e4", "obs_unscaled=1000", "few_updates=4",
    "stale_log_probs=4", "lr_low=/30", "adv_raw=off", "ends_bootstrapped=setting", "rewards_shuffled=all",
    "critic_detached=hidden", "rollout_short=4", "obs_delayed=4", "rewards_flipped=half", "ends_unseen=all",
    "units_dead=relu", "rate_ends=0.3", "minibatch_whole=all", "adam_eps=1", "value_clip=1e-3", "gamma_one=1",
    "rewards_negated=all", "log_probs_wrong=0.5",
)  # fmt: skip
"""What is tried where a training takes long."""


@dataclass(frozen=True)
class Size:
    """How large a benchmark is."""

    tasks: tuple[str, ...]
    seeds: int  # of each fault
    healthy: dict[str, int]  # seeds by variant
    families: tuple[str, ...] | None = None  # None: all
    steps: float = 1.0  # of each recipe's budget


WHOLE = Size(tuple(TASKS), 2, VARIANTS)
QUICK = Size(
    ("CartPole-v1", "Farm"),
    2,
    {"recipe": 6, "adaptive": 1},
    ("lr_high", "ent_high", "clip_tiny", "rewards_noisy"),
)


@dataclass(frozen=True)
class Run:
    """One training of the benchmark."""

    env: str  # a task's name
    variant: str  # a healthy variant, or a fault's name
    seed: int
    steps: float = 1.0
    changes: tuple[tuple[str, Any], ...] = ()  # a remedy on top
    mended: bool = False  # the fault itself taken away, as a remedy

    def __hash__(self) -> int:
        return hash(self.name)  # a change can be a table, which has no hash of its own

    @property
    def name(self) -> str:
        """The folder's name."""
        name = f"{self.env}.{self.variant.replace('/', 'div').replace('^', '')}.{self.seed}"
        if self.mended:
            return f"{name}.mended"
        if not self.changes:
            return name
        return f"{name}.{hashlib.sha256(repr(self.changes).encode()).hexdigest()[:10]}"

    @property
    def task(self) -> Task:
        """What is trained."""
        return TASKS[self.env]

    @property
    def fault(self) -> Fault | None:
        """What is wrong with it; None in a healthy one."""
        return BY_NAME.get(self.variant)

    @property
    def half(self) -> str:
        """The half that it counts in: its task's where its fault is of the same half, else "mixed"."""
        fault = self.fault
        return self.task.half if fault is None or fault.half == self.task.half else HALVES_DIFFER

    def config(self) -> TrainConfig:
        """The settings it is trained with."""
        if self.fault is None:
            config = healthy(self.task, self.variant, self.seed)
        else:
            config = self.task.config(1000 + self.seed)
        config = dataclasses.replace(config, total_timesteps=int(self.steps * int(config.total_timesteps)))
        if self.fault is not None and self.fault.settings is not None and not self.mended:
            config = dataclasses.replace(config, **self.fault.settings(config))
        return dataclasses.replace(config, **dict(self.changes)) if self.changes else config


def healthy_runs(size: Size) -> Iterator[Run]:
    """Trainings with nothing wrong."""
    for env in size.tasks:
        for variant, seeds in size.healthy.items():
            for seed in range(seeds if TASKS[env].compiled or variant == "recipe" else 1):
                yield Run(env, variant, seed, size.steps)


def faulty_runs(size: Size) -> Iterator[Run]:
    """Trainings with one fault each."""
    for env in size.tasks:
        task = TASKS[env]
        for fault in FAULTS:
            wanted = size.families is None or fault.family in size.families
            if wanted and fault.suits(task) and _tried(task, fault):
                for seed in range(size.seeds):
                    yield Run(env, fault.name, seed, size.steps)


def _tried(task: Task, fault: Fault) -> bool:
    """Whether `task` is tried with `fault`."""
    return fault.round in task.faults or (fault.round in task.few and fault.name in FEW_FAULTS)


def runs(size: Size) -> list[Run]:
    """All trainings: those that take long last, and the healthy ones of each kind first."""
    everything = [*healthy_runs(size), *faulty_runs(size)]
    return sorted(everything, key=lambda run: (not run.task.compiled, run.fault is not None))
