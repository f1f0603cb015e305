"""Logs of Stable-Baselines3's PPO: progress.csv, TensorBoard, and what its archives and monitors tell beside them.

Its training figures are dumped with the *next* rollout's row, one rollout late, and those of the last update never.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from upswing.doctor.readers.settings import sb3_archive
from upswing.doctor.readers.table import Table, translated
from upswing.doctor.series import (
    CUMULATIVE,
    LAST_EPISODES,
    LAST_EPOCH,
    LAST_MINIBATCH,
    MOMENT,
    ROLLOUT,
    STEP,
    UPDATE,
    Episodes,
    Series,
    Source,
    TagMeaning,
)
from upswing.errors import StorageError

SOURCE = Source(
    "stable-baselines3",
    (
        TagMeaning("rollout/ep_rew_mean", "rollout/ep_rew_mean", LAST_EPISODES),
        TagMeaning("rollout/ep_len_mean", "rollout/ep_len_mean", LAST_EPISODES),
        TagMeaning("rollout/success_rate", "rollout/success_rate", LAST_EPISODES),
        TagMeaning("time/fps", "time/fps_mean", CUMULATIVE),
        TagMeaning("time/iterations", "time/iterations", MOMENT),
        TagMeaning("time/time_elapsed", "time/elapsed_s", MOMENT),
        TagMeaning("train/approx_kl", "train/approx_kl", LAST_EPOCH),
        TagMeaning("train/clip_fraction", "train/clip_fraction", UPDATE),
        TagMeaning("train/clip_range", "train/clip_range", MOMENT),
        TagMeaning("train/clip_range_vf", "train/clip_range_vf", MOMENT),
        TagMeaning("train/entropy_loss", "train/entropy_loss", UPDATE),
        TagMeaning("train/explained_variance", "train/explained_variance", ROLLOUT),
        TagMeaning("train/learning_rate", "train/learning_rate", MOMENT),
        TagMeaning("train/loss", "train/loss", LAST_MINIBATCH),
        TagMeaning("train/policy_gradient_loss", "train/policy_gradient_loss", UPDATE),
        TagMeaning("train/value_loss", "train/value_loss", UPDATE),
        TagMeaning("train/std", "train/std", MOMENT),
        TagMeaning("train/n_updates", "train/n_updates", MOMENT),
        TagMeaning("eval/mean_reward", "eval/mean_reward", MOMENT),
        TagMeaning("eval/mean_ep_length", "eval/mean_ep_length", MOMENT),
        TagMeaning("eval/success_rate", "eval/success_once", MOMENT),
    ),
    facts=("sb3_lag", "sb3_kl"),
)


def is_sb3(table: Table) -> bool:
    """Whether `table` bears the tags of Stable-Baselines3's PPO."""
    return "train/policy_gradient_loss" in table.scalars or (
        "rollout/ep_rew_mean" in table.scalars and "time/fps" in table.scalars
    )


def read_sb3(table: Table, folder: Path) -> Series:
    """The run of Stable-Baselines3 whose numbers are in `table`; `folder` is searched for its archive and monitors."""
    marker = next((tag for tag in ("time/fps", "rollout/ep_rew_mean") if tag in table.scalars), None)
    if marker is None:
        raise StorageError(
            f"{folder} holds a log of Stable-Baselines3 without a single finished rollout: nothing to judge."
        )
    axis = np.unique(table.scalars[marker].steps)
    place = {"train": lambda steps: axis[np.maximum(0, np.searchsorted(axis, steps, side="left") - 1)]}
    columns, nonfinite = translated(table, SOURCE, axis, place)
    columns[STEP] = axis
    config, environment = _described(folder)
    inferred = _inferred(columns)
    return Series(
        SOURCE,
        columns,
        config={**inferred, **config},
        episodes=read_monitors(sorted(folder.glob("*monitor.csv"))),
        nonfinite=nonfinite,
        notes=table.notes,
        name=folder.name,
        environment=environment,
    )


def _described(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and environment from the first archive of a PPO model in `folder`."""
    for path in sorted(folder.glob("*.zip"))[:5]:
        settings, environment = sb3_archive(path)
        if settings:
            return settings, environment
    return {}, {}


def _inferred(columns: dict[str, np.ndarray]) -> dict[str, Any]:
    """Settings that the columns themselves betray."""
    found: dict[str, Any] = {}
    for tag, name in (("train/learning_rate", "learning_rate"), ("train/clip_range", "clip_range")):
        values = columns.get(tag, np.empty(0))
        values = values[np.isfinite(values)]
        if len(values):
            found[name] = float(values[0])
    epochs = np.diff(columns.get("train/n_updates", np.empty(0)))
    epochs = epochs[np.isfinite(epochs) & (epochs > 0)]
    if len(epochs):
        found["n_epochs"] = int(np.median(epochs))
    return found


def read_monitors(paths: Sequence[Path]) -> Episodes | None:
    """Raw episodes from Monitor's files, one an environment; None where there are none.

    A file does not say how many steps all environments had taken: an environment's own steps times their number does.
    """
    ends, returns, lengths = [], [], []
    for path in paths:
        try:
            lines = path.read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
        own = 0.0
        for row in rows:
            try:
                ret, length = float(row["r"]), float(row["l"])
            except (KeyError, TypeError, ValueError):
                continue
            own += length
            ends.append(own * len(paths))
            returns.append(ret)
            lengths.append(length)
    if not ends:
        return None
    order = np.argsort(ends, kind="stable")
    return Episodes(np.array(ends)[order], np.array(returns)[order], np.array(lengths)[order])
