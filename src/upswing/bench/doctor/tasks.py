"""The tasks of the benchmark: affordable recipes that learn, each in the tuning or in the reporting half."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from upswing.bench.doctor import small_worlds
from upswing.config import TrainConfig
from upswing.doctor.remedies import start_of
from upswing.presets import PRESETS

TUNING, REPORTING = "tuning", "reporting"
"""Thresholds may be tuned on the first half of tasks and fault families, and are judged on the second alone."""

LATEST = 6
"""Tasks and faults come in rounds. The latest makes the reporting half: nothing of it was looked at before the doctor was
finished. Whoever looks at its verdicts to mend the doctor adds a round of new tasks and new faults, and reports on that."""


def half_of(round_: int) -> str:
    """The half that tasks or faults of a round belong to."""
    return REPORTING if round_ == LATEST else TUNING


@dataclass(frozen=True)
class Task:
    """An environment with a recipe that learns it."""

    name: str  # of the environment too, unless `env` is given
    round: int
    least: float  # a training with the recipe counts as healthy from this final return on
    settings: Mapping[str, Any]
    env: str = ""
    preset: bool = False  # the settings lie over the published recipe
    compiled: bool = False  # trains in a second or two
    continuous: bool = False  # actions
    faults: tuple[int, ...] = ()  # rounds of faults that it is tried with
    few: tuple[int, ...] = ()  # rounds of which it is tried with the FEW_FAULTS

    @property
    def half(self) -> str:
        """Tuning or reporting."""
        return half_of(self.round)

    def config(self, seed: int) -> TrainConfig:
        """The healthy recipe with `seed`."""
        env = self.env or self.name
        base = dict(PRESETS[env].settings) if self.preset else {"env": env}
        given = {**base, **self.settings, "seed": seed}
        total = given["total_timesteps"]
        evaluation = {} if self.compiled else {"eval_freq": total // 6, "n_eval_episodes": 3, "n_eval_envs": 1}
        way = "auto" if self.compiled else "serial"  # several trainings share the cores: workers would only wait
        return TrainConfig(**{"vectorization": way, **evaluation, **given})


def _small(name: str, round_: int, least: float, settings: Mapping[str, Any], continuous: bool = False) -> Task:
    """A small world: tried with its own round's faults, and with a few of every earlier one."""
    env, few = f"{small_worlds.HERE}:{name}", tuple(range(1, round_))
    return Task(name, round_, least, settings, env, compiled=True, continuous=continuous, faults=(round_,), few=few)


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("CartPole-v1", 1, 440.0, {"total_timesteps": 80_000}, preset=True, compiled=True, faults=(1, 2)),
        Task(
            "Pendulum-v1", 1, -300.0,
            {"total_timesteps": 140_000, "n_envs": 4, "n_steps": 1024, "gamma": 0.9, "learning_rate": 1e-3},
            continuous=True,
            compiled=True,
            faults=(1, 2),
        ),
        Task(
            "InvertedPendulum-v5", 1, 700.0,
            {
                "total_timesteps": 60_000, "n_envs": 4, "n_steps": 256, "batch_size": 128, "normalize_obs": True,
                "normalize_reward": True, "learning_rate": "linear:0.001",
            },
            continuous=True,
            few=(1,),
        ),
        Task(
            "LunarLander-v3", 1, 50.0,
            {
                "total_timesteps": 150_000, "n_envs": 8, "n_steps": 256, "batch_size": 256, "gae_lambda": 0.98,
                "n_epochs": 6, "learning_rate": 1e-3, "ent_coef": 0.01,
            },
        ),
        Task("Acrobot-v1", 2, -110.0, {"total_timesteps": 250_000}, preset=True, compiled=True, faults=(1, 2)),
        Task("MountainCar-v0", 2, -140.0, {"total_timesteps": 400_000}, preset=True, compiled=True, faults=(1, 2)),
        Task(
            "MountainCarContinuous-v0", 2, 85.0,
            {
                "total_timesteps": 150_000, "n_envs": 8, "n_steps": 256, "batch_size": 256, "gamma": 0.999,
                "normalize_obs": True, "normalize_reward": True, "policy_kwargs": {"log_std_init": 1.0},
            },
            continuous=True,
            compiled=True,
            faults=(2,),
        ),
        Task(
            "InvertedDoublePendulum-v5", 2, 1000.0,
            {
                "total_timesteps": 80_000, "n_envs": 4, "n_steps": 256, "batch_size": 128, "normalize_obs": True,
                "normalize_reward": True, "learning_rate": "linear:0.001",
            },
            continuous=True,
            few=(2,),
        ),
        Task(
            "Reacher-v5", 2, -12.0,
            {
                "total_timesteps": 80_000, "n_envs": 8, "n_steps": 128, "batch_size": 128, "normalize_obs": True,
                "normalize_reward": True, "learning_rate": 1e-3,
            },
            continuous=True,
            few=(2,),
        ),
        Task("PushBlock-v0", 3, 30.0, {}, preset=True, continuous=True, compiled=True, faults=(3,), few=(1, 2)),
        Task(
            "CartPole-book", 3, -0.5,
            {"total_timesteps": 200_000, "env_kwargs": {"sutton_barto_reward": True}},
            env="CartPole-v1",
            preset=True,
            compiled=True,
            faults=(3,),
            few=(1, 2),
        ),
        Task(
            "Pendulum-heavy", 3, -600.0,
            {
                "total_timesteps": 200_000, "n_envs": 8, "n_steps": 512, "batch_size": 128, "gamma": 0.95,
                "learning_rate": 1e-3, "env_kwargs": {"g": 13.0},
            },
            env="Pendulum-v1",
            continuous=True,
            compiled=True,
            faults=(3,),
            few=(1, 2),
        ),
        Task(
            "LunarLanderContinuous-v3", 3, 0.0,
            {
                "total_timesteps": 150_000, "n_envs": 8, "n_steps": 256, "batch_size": 256, "gae_lambda": 0.98,
                "n_epochs": 6, "learning_rate": 1e-3,
            },
            continuous=True,
            few=(3,),
        ),
        Task(
            "HalfCheetah-v5", 3, 300.0,
            {
                "total_timesteps": 100_000, "n_envs": 8, "n_steps": 128, "batch_size": 128, "normalize_obs": True,
                "normalize_reward": True, "learning_rate": 1e-3,
            },
            continuous=True,
            few=(3,),
        ),
        _small(
            "Catch", 4, 0.8,
            {"total_timesteps": 200_000, "n_envs": 16, "n_steps": 128, "batch_size": 256, "learning_rate": 1e-3},
        ),
        _small(
            "Lander", 4, 5.0,
            {
                "total_timesteps": 300_000, "n_envs": 16, "n_steps": 128, "batch_size": 256, "gamma": 0.995,
                "learning_rate": 1e-3,
            },
        ),
        _small(
            "Swingup", 4, 120.0,
            {
                "total_timesteps": 400_000, "n_envs": 16, "n_steps": 250, "batch_size": 500, "gamma": 0.98,
                "learning_rate": 1e-3,
            },
            continuous=True,
        ),
        _small(
            "Tracker", 4, -20.0,
            {
                "total_timesteps": 200_000, "n_envs": 8, "n_steps": 200, "batch_size": 200, "gamma": 0.9,
                "learning_rate": 1e-3,
            },
            continuous=True,
        ),
        _small(
            "Maze", 4, 0.4,
            {
                "total_timesteps": 300_000, "n_envs": 16, "n_steps": 128, "batch_size": 256, "n_epochs": 8,
                "gamma": 0.97, "learning_rate": 2e-3, "ent_coef": 0.01,
            },
        ),
        _small(
            "Cards", 5, -0.15,
            {
                "total_timesteps": 100_000, "n_envs": 16, "n_steps": 64, "batch_size": 256, "n_epochs": 6,
                "learning_rate": 1e-3,
            },
        ),
        _small(
            "Ice", 5, 0.3,
            {
                "total_timesteps": 150_000, "n_envs": 16, "n_steps": 64, "batch_size": 256, "n_epochs": 8,
                "gamma": 0.95, "learning_rate": 1e-3, "ent_coef": 0.005,
            },
        ),
        _small(
            "Chase", 5, 0.3,
            {
                "total_timesteps": 250_000, "n_envs": 16, "n_steps": 128, "batch_size": 256, "n_epochs": 8,
                "gamma": 0.98, "learning_rate": 1e-3,
            },
            continuous=True,
        ),
        _small(
            "Stock", 5, 50.0,
            {
                "total_timesteps": 200_000, "n_envs": 8, "n_steps": 256, "batch_size": 256, "gamma": 0.9,
                "learning_rate": 1e-3,
            },
            continuous=True,
        ),
        _small(
            "Hover", 5, 250.0,
            {
                "total_timesteps": 300_000, "n_envs": 8, "n_steps": 256, "batch_size": 256, "n_epochs": 8,
                "learning_rate": 1e-3,
            },
        ),
        _small(
            "Servo", 6, -30.0,
            {
                "total_timesteps": 120_000, "n_envs": 8, "n_steps": 120, "batch_size": 240, "n_epochs": 8,
                "gamma": 0.95, "learning_rate": 1e-3,
            },
            continuous=True,
        ),
        _small(
            "Ferry", 6, 3.0,
            {
                "total_timesteps": 200_000, "n_envs": 16, "n_steps": 128, "batch_size": 256, "n_epochs": 8,
                "learning_rate": 1e-3, "ent_coef": 0.01,
            },
        ),
        _small(
            "Farm", 6, 6.0,
            {
                "total_timesteps": 150_000, "n_envs": 16, "n_steps": 100, "batch_size": 400, "n_epochs": 8,
                "gamma": 0.97, "learning_rate": 1e-3,
            },
        ),
    )
}  # fmt: skip
"""By name. Seeds of one task never appear under another half."""


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
