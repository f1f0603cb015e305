"""The tasks of the benchmark: affordable recipes that learn, each in the tuning or in the reporting half."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from upswing.config import TrainConfig
from upswing.doctor.remedies import start_of
from upswing.presets import PRESETS

TUNING, REPORTING = "tuning", "reporting"
"""Thresholds may be tuned on the first half of tasks and fault families, and are judged on the second alone."""

ALL, OWN, FEW, NONE = "all", "own", "few", "none"
"""Which faults a task is tried with: a reporting task with those of both halves, each with its own half's, a few, none."""


@dataclass(frozen=True)
class Task:
    """An environment with a recipe that learns it."""

    env: str
    half: str
    least: float  # a training with the recipe counts as healthy from this final return on
    settings: Mapping[str, Any]
    preset: bool = False  # the settings lie over the published recipe
    compiled: bool = False  # trains in a second or two
    continuous: bool = False  # actions
    faults: str = ALL

    def config(self, seed: int) -> TrainConfig:
        """The healthy recipe with `seed`."""
        base = dict(PRESETS[self.env].settings) if self.preset else {"env": self.env}
        given = {**base, **self.settings, "seed": seed}
        total = given["total_timesteps"]
        evaluation = {} if self.compiled else {"eval_freq": total // 6, "n_eval_episodes": 3, "n_eval_envs": 1}
        way = "auto" if self.compiled else "serial"  # several trainings share the cores: workers would only wait
        return TrainConfig(**{"vectorization": way, **evaluation, **given})


TASKS: dict[str, Task] = {
    task.env: task
    for task in (
        Task("CartPole-v1", TUNING, 440.0, {"total_timesteps": 80_000}, preset=True, compiled=True),
        Task(
            "Pendulum-v1", TUNING, -300.0,
            {"total_timesteps": 140_000, "n_envs": 4, "n_steps": 1024, "gamma": 0.9, "learning_rate": 1e-3},
            continuous=True,
            compiled=True,
        ),
        Task(
            "InvertedPendulum-v5", TUNING, 700.0,
            {
                "total_timesteps": 60_000, "n_envs": 4, "n_steps": 256, "batch_size": 128, "normalize_obs": True,
                "normalize_reward": True, "learning_rate": "linear:0.001",
            },
            continuous=True,
            faults=FEW,
        ),
        Task(
            "LunarLander-v3", TUNING, 50.0,
            {
                "total_timesteps": 150_000, "n_envs": 8, "n_steps": 256, "batch_size": 256, "gae_lambda": 0.98,
                "n_epochs": 6, "learning_rate": 1e-3, "ent_coef": 0.01,
            },
            faults=NONE,
        ),
        Task("Acrobot-v1", REPORTING, -110.0, {"total_timesteps": 250_000}, preset=True, compiled=True),
        Task("MountainCar-v0", REPORTING, -140.0, {"total_timesteps": 400_000}, preset=True, compiled=True),
        Task(
            "MountainCarContinuous-v0", REPORTING, 85.0,
            {
                "total_timesteps": 150_000, "n_envs": 8, "n_steps": 256, "batch_size": 256, "gamma": 0.999,
                "normalize_obs": True, "normalize_reward": True, "policy_kwargs": {"log_std_init": 1.0},
            },
            continuous=True,
            compiled=True,
            faults=OWN,
        ),
        Task(
            "InvertedDoublePendulum-v5", REPORTING, 1000.0,
            {
                "total_timesteps": 80_000, "n_envs": 4, "n_steps": 256, "batch_size": 128, "normalize_obs": True,
                "normalize_reward": True, "learning_rate": "linear:0.001",
            },
            continuous=True,
            faults=FEW,
        ),
        Task(
            "Reacher-v5", REPORTING, -12.0,
            {
                "total_timesteps": 80_000, "n_envs": 8, "n_steps": 128, "batch_size": 128, "normalize_obs": True,
                "normalize_reward": True, "learning_rate": 1e-3,
            },
            continuous=True,
            faults=FEW,
        ),
    )
}  # fmt: skip
"""By environment. Seeds of one task never appear under another half."""


def healthy(task: Task, variant: str, seed: int) -> TrainConfig:
    """The healthy recipe in a `variant`: as it is, with a learning rate that is annealed (held, where the recipe anneals
    it) or adaptive, or with twice the budget."""
    config = task.config(seed)
    rate = start_of(config.learning_rate)
    if variant == "annealed":
        annealed = isinstance(config.learning_rate, str)
        return dataclasses.replace(config, learning_rate=rate if annealed and rate else f"linear:{rate:g}")
    if variant == "adaptive":
        return dataclasses.replace(config, learning_rate=f"adaptive:{rate:g}:0.01")
    if variant == "long":
        return dataclasses.replace(config, total_timesteps=2 * config.total_timesteps)
    return config


VARIANTS = {"recipe": 6, "annealed": 2, "adaptive": 2, "long": 2}
"""Healthy variants and how many seeds each has. The recipe's own seeds are what faults are compared with."""
