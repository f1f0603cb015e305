"""TensorBoard logs of RSL-RL. Their axis counts iterations: the environment steps follow from speed and durations.

RSL-RL logs no KL and no clip fraction; what they would tell shows in its learning rate, which adapts to the KL.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from upswing.doctor.readers.settings import understood, yaml_numbers
from upswing.doctor.readers.table import Table, translated
from upswing.doctor.series import (
    ITERATION,
    LAST_EPISODES,
    MOMENT,
    STEP,
    UPDATE,
    Series,
    Source,
    TagMeaning,
)

TAGS = (
    TagMeaning("Train/mean_reward", "rollout/ep_rew_mean", LAST_EPISODES),
    TagMeaning("Train/mean_episode_length", "rollout/ep_len_mean", LAST_EPISODES),
    TagMeaning("Loss/value", "train/value_loss", UPDATE),
    TagMeaning("Loss/value_function", "train/value_loss", UPDATE),
    TagMeaning("Loss/surrogate", "train/policy_gradient_loss", UPDATE),
    TagMeaning("Loss/entropy", "train/entropy_loss", UPDATE, factor=-1.0),
    TagMeaning("Loss/learning_rate", "train/learning_rate", MOMENT),
    TagMeaning("Policy/mean_std", "train/std", MOMENT),
    TagMeaning("Policy/mean_noise_std", "train/std", MOMENT),
    TagMeaning("Perf/total_fps", "time/fps", ITERATION),
    TagMeaning("Perf/collection_time", "time/collect_s", ITERATION),
    TagMeaning("Perf/collection time", "time/collect_s", ITERATION),
    TagMeaning("Perf/learning_time", "time/update_s", ITERATION),
)

_NAMES = {
    "num_steps_per_env": "n_steps",
    "num_learning_epochs": "n_epochs",
    "num_mini_batches": "n_minibatches",
    "learning_rate": "learning_rate",
    "gamma": "gamma",
    "lam": "gae_lambda",
    "entropy_coef": "ent_coef",
    "value_loss_coef": "vf_coef",
    "clip_param": "clip_range",
    "max_grad_norm": "max_grad_norm",
    "seed": "seed",
}


def is_rsl_rl(table: Table) -> bool:
    """Whether `table` bears the tags of RSL-RL."""
    return any(tag in table.scalars for tag in ("Loss/surrogate", "Perf/total_fps"))


def read_rsl_rl(table: Table, folder: Path) -> Series:
    """The run of RSL-RL whose numbers are in `table`; `folder` may hold its params/agent.yaml."""
    marker = next(tag for tag in ("Loss/surrogate", "Perf/total_fps") if tag in table.scalars)
    iterations = np.unique(table.scalars[marker].steps)
    config = {**_adaptive(table), **_config(folder)}
    pool = _pool(table, config)
    axis = iterations + 1.0 if pool is None else (iterations + 1.0) * pool
    facts = ("rsl_iterations", "rsl_no_kl") if pool is None else ("rsl_steps", "rsl_no_kl")
    source = Source("rsl-rl", TAGS, "iterations" if pool is None else "steps", facts)
    columns, nonfinite = translated(table, source, iterations)
    columns |= {STEP: axis, "time/iterations": iterations + 1.0}
    scale = 1.0 if pool is None else pool
    nonfinite = {tag: (step + 1.0) * scale for tag, step in nonfinite.items()}
    return Series(source, columns, config=config, nonfinite=nonfinite, notes=table.notes, name=folder.name)


def _pool(table: Table, config: dict[str, Any]) -> float | None:
    """Transitions in a rollout: from the settings, or speed × (collect + learn); None where neither is known."""
    if "n_envs" in config and "n_steps" in config:
        return float(config["n_envs"] * config["n_steps"])
    collect = table.scalars.get("Perf/collection_time") or table.scalars.get("Perf/collection time")
    learn, fps = table.scalars.get("Perf/learning_time"), table.scalars.get("Perf/total_fps")
    if collect is None or learn is None or fps is None:
        return None
    n = min(len(collect.values), len(learn.values), len(fps.values))
    pools = fps.values[:n] * (collect.values[:n] + learn.values[:n])
    return float(round(np.median(pools))) if n and np.isfinite(pools).all() else None


def _adaptive(table: Table) -> dict[str, Any]:
    """The learning rate as a setting, where its steps betray RSL-RL's rule: times or divided by 1.5, kept in bounds."""
    rates = table.scalars.get("Loss/learning_rate")
    values = np.empty(0) if rates is None else rates.values[np.isfinite(rates.values) & (rates.values > 0)]
    inner = values[(values > 1.01e-5) & (values < 0.99e-2)]
    jumps = np.diff(np.log(inner)) / np.log(1.5)
    if len(inner) < 3 or not (np.abs(jumps) > 0.5).any() or (np.abs(jumps - np.round(jumps)) > 0.02).any():
        return {}
    return {"learning_rate": f"adaptive:{values[0]:g}:0.01:1e-05:0.01"}


def _config(folder: Path) -> dict[str, Any]:
    """Settings from params/agent.yaml and params/env.yaml, which Isaac Lab leaves beside the log."""
    agent = yaml_numbers(folder / "params" / "agent.yaml")
    given: dict[str, Any] = {ours: agent[theirs] for theirs, ours in _NAMES.items() if theirs in agent}
    envs = yaml_numbers(folder / "params" / "env.yaml").get("num_envs")
    if envs is not None:
        given["n_envs"] = envs
    settings = understood(given)
    if agent.get("schedule") == "adaptive" and isinstance(settings.get("learning_rate"), float):
        target = agent.get("desired_kl", "0.01")
        settings["learning_rate"] = f"adaptive:{settings['learning_rate']:g}:{target}:1e-05:0.01"
    return settings
