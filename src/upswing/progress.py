"""How far a training has come, and the record of its last iteration."""

from __future__ import annotations

import dataclasses
import resource
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from upswing.config import SCHEDULED, TrainConfig
from upswing.engine.contract import Hyper, Rollout, UpdateStats
from upswing.envs.contract import Episode
from upswing.hooks import Record, Request
from upswing.schedules import Schedule, parse_schedule


@dataclass(frozen=True)
class Progress:
    """Counters of a training; part of every checkpoint."""

    iteration: int = 0
    num_timesteps: int = 0
    n_updates: int = 0  # epochs done, Stable-Baselines3's count
    gradient_steps: int = 0
    train_time_s: float = 0.0  # collect and update
    elapsed_s: float = 0.0  # wall clock, over all resumes
    learning_rate: float | None = None  # the adaptive one in force; None where it follows a schedule
    best_mean_reward: float | None = None
    changes: dict[str, Any] = field(
        default_factory=dict
    )  # hyperparameters that a hook has changed; a text is a schedule
    recent: tuple[Episode, ...] = ()  # the last stats_window_size finished episodes

    def to_json(self) -> dict[str, Any]:
        """A JSON form that `from_json` reads."""
        return vars(self) | {"recent": [list(episode) for episode in self.recent]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Progress:
        """The progress that `to_json` wrote."""
        return cls(**data | {"recent": tuple(Episode(*episode) for episode in data["recent"])})


def schedules(config: TrainConfig) -> dict[str, Schedule]:
    """The schedule of each setting that may change during training; those that are off are left out."""
    settings = {name: getattr(config, name) for name in SCHEDULED}
    return {
        name: parse_schedule(setting, name, name == "learning_rate")
        for name, setting in settings.items()
        if setting is not None
    }


def hyper_at(config: TrainConfig, plan: dict[str, Schedule], progress: Progress) -> Hyper:
    """The settings of the next update.

    The remaining progress counts the steps taken before the rollout, so that the first update gets the schedule's
    start and no update its end (Stable-Baselines3 counts after the rollout: its last update has learning rate 0).
    """
    remaining = max(0.0, 1.0 - progress.num_timesteps / config.total_timesteps)
    values: dict[str, Any] = {name: schedule(remaining) for name, schedule in plan.items()}
    if progress.learning_rate is not None:
        values["learning_rate"] = progress.learning_rate
    values = {"clip_range_vf": None, "n_epochs": config.n_epochs, "target_kl": config.target_kl} | values
    for name, value in progress.changes.items():
        values[name] = parse_schedule(value, name)(remaining) if isinstance(value, str) else value
    return Hyper(**values)


def advance(
    progress: Progress,
    config: TrainConfig,
    plan: dict[str, Schedule],
    rollout: Rollout,
    stats: UpdateStats,
    elapsed_s: float,
) -> Progress:
    """The progress after an iteration that collected `rollout` and did `stats`."""
    adaptive = plan["learning_rate"].adaptive
    rate = progress.learning_rate
    if adaptive is not None:
        rate = adaptive.next(adaptive.start if rate is None else rate, stats.kl_update)
    return dataclasses.replace(
        progress,
        iteration=progress.iteration + 1,
        num_timesteps=progress.num_timesteps + config.n_envs * config.n_steps,
        n_updates=progress.n_updates + stats.n_epochs_done,
        gradient_steps=progress.gradient_steps + stats.gradient_steps,
        train_time_s=progress.train_time_s + rollout.collect_s + stats.update_s,
        elapsed_s=elapsed_s,
        learning_rate=rate,
        recent=(*progress.recent, *rollout.episodes)[-config.stats_window_size :],
    )


def after_request(progress: Progress, request: Request, record: Mapping[str, float | None]) -> Progress:
    """The progress after the hooks have spoken about `record`."""
    best = record["eval/mean_reward"] if request.best else progress.best_mean_reward
    return dataclasses.replace(progress, best_mean_reward=best, changes=progress.changes | dict(request.changes))


def make_record(progress: Progress, hyper: Hyper, rollout: Rollout, stats: UpdateStats, fps_mean: float) -> Record:
    """The iteration's metrics by tag, as metrics.py declares them."""
    figures = stats._asdict()
    update_s = figures.pop("update_s")
    finished, n_truncated = rollout.episodes, int(rollout.truncated.sum())
    steps = len(rollout.rewards) * len(rollout.rewards[0])
    record: Record = {
        "rollout/ep_rew_mean": _mean(e.ret for e in progress.recent),
        "rollout/ep_len_mean": _mean(e.length for e in progress.recent),
        "rollout/success_rate": share([e.success_once for e in progress.recent]),
        "rollout/iteration_rew_mean": _mean(e.ret for e in finished),
        "rollout/iteration_episodes": len(finished),
        "rollout/truncated_fraction": min(1.0, n_truncated / len(finished)) if finished else None,
        "rollout/reward_mean": rollout.raw_reward_mean,
        "time/fps": steps / (rollout.collect_s + update_s),
        "time/fps_mean": fps_mean,
        "time/iterations": progress.iteration,
        "time/total_timesteps": progress.num_timesteps,
        "time/collect_s": rollout.collect_s,
        "time/env_s": rollout.env_s,
        "time/update_s": update_s,
        "time/elapsed_s": progress.elapsed_s,
        "time/peak_memory_mb": peak_memory_mb(),
        "train/clip_range": hyper.clip_range,
        "train/clip_range_vf": hyper.clip_range_vf,
        "train/learning_rate": hyper.learning_rate,
        "train/ent_coef": hyper.ent_coef,
        "train/n_updates": progress.n_updates,
    }
    record |= {f"train/{name}": value for name, value in figures.items()}
    return record | {"train/gradient_steps": progress.gradient_steps}


def peak_memory_mb() -> float:
    """Peak resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def share(flags: list[bool | None]) -> float | None:
    """The share of true ones among those that are known, None where none is."""
    known = [flag for flag in flags if flag is not None]
    return float(np.mean(known)) if known else None


def _mean(values: Iterable[float]) -> float | None:
    values = list(values)
    return float(np.mean(values)) if values else None
