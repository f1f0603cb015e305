"""TensorBoard logs of CleanRL's PPO scripts and of ManiSkill's ppo.py, which is one of their descendants.

Their training figures are those of one minibatch, the last; the value loss carries a factor of ½; entropy is positive.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from upswing.doctor.readers.settings import markdown_table, understood
from upswing.doctor.readers.table import Scalars, Table, moving_mean, translated
from upswing.doctor.series import (
    CUMULATIVE,
    ITERATION,
    LAST_EPISODES,
    LAST_MINIBATCH,
    MOMENT,
    ROLLOUT,
    STEP,
    UPDATE,
    Episodes,
    Series,
    Source,
    TagMeaning,
    on_axis,
)
from upswing.errors import StorageError

_LOSSES = (
    TagMeaning("losses/approx_kl", "train/approx_kl", LAST_MINIBATCH),
    TagMeaning("losses/clipfrac", "train/clip_fraction", UPDATE),
    TagMeaning("losses/entropy", "train/entropy_loss", LAST_MINIBATCH, factor=-1.0),
    TagMeaning("losses/explained_variance", "train/explained_variance", ROLLOUT),
    TagMeaning("losses/policy_loss", "train/policy_gradient_loss", LAST_MINIBATCH),
    TagMeaning("losses/value_loss", "train/value_loss", LAST_MINIBATCH, factor=2.0),
    TagMeaning("charts/learning_rate", "train/learning_rate", MOMENT),
    TagMeaning("charts/SPS", "time/fps_mean", CUMULATIVE),
)
_MOVING = (
    TagMeaning("charts/episodic_return", "rollout/ep_rew_mean", LAST_EPISODES),
    TagMeaning("charts/episodic_length", "rollout/ep_len_mean", LAST_EPISODES),
)

CLEANRL = Source("cleanrl", _LOSSES + _MOVING, facts=("last_minibatch", "half_mse"))
MANISKILL = Source(
    "maniskill",
    (
        *_LOSSES,
        TagMeaning("time/update_time", "time/update_s", ITERATION),
        TagMeaning("time/rollout_time", "time/collect_s", ITERATION),
        TagMeaning("train/return", "rollout/ep_rew_mean", LAST_EPISODES),
        TagMeaning("train/episode_len", "rollout/ep_len_mean", LAST_EPISODES),
        TagMeaning("train/success_once", "rollout/success_rate", LAST_EPISODES),
        TagMeaning("train/reward", "rollout/reward_mean", ITERATION),
        TagMeaning("charts/success_rate", "rollout/success_rate", LAST_EPISODES),
        *_MOVING,
        TagMeaning("eval/return", "eval/mean_reward", MOMENT),
        TagMeaning("eval/reward", "eval/reward", MOMENT),
        TagMeaning("eval/episode_len", "eval/mean_ep_length", MOMENT),
        TagMeaning("eval/success_once", "eval/success_once", MOMENT),
        TagMeaning("eval/success_at_end", "eval/success_at_end", MOMENT),
        TagMeaning("charts/eval_episodic_return", "eval/mean_reward", MOMENT),
        TagMeaning("charts/eval_success_rate", "eval/success_once", MOMENT),
    ),
    facts=("last_minibatch", "half_mse", "maniskill_bootstrap"),
)

_MARKERS = ("losses/approx_kl", "losses/value_loss", "losses/policy_loss")
_RETURNS = ("charts/episodic_return", "train/return")
_LENGTHS = ("charts/episodic_length", "train/episode_len")


def is_cleanrl(table: Table) -> bool:
    """Whether `table` bears the tags of CleanRL's PPO or of ManiSkill's."""
    return any(tag in table.scalars for tag in _MARKERS)


def read_cleanrl(table: Table, folder: Path) -> Series:
    """The run of a CleanRL or ManiSkill script whose numbers are in `table`."""
    marker = next((tag for tag in _MARKERS if tag in table.scalars), None)
    if marker is None:
        raise StorageError(f"{folder} holds a log of CleanRL without a single update: nothing to judge yet.")
    axis = np.unique(table.scalars[marker].steps)
    given = markdown_table(table.texts.get("hyperparameters/text_summary", table.texts.get("hyperparameters", "")))
    source = MANISKILL if _is_maniskill(table, given) else CLEANRL
    columns, nonfinite = translated(table, source, axis)
    columns[STEP] = axis
    episodes = _episodes(table)
    if episodes is not None:
        columns |= _from_episodes(episodes, axis)
    columns["time/iterations"] = np.arange(1.0, len(axis) + 1.0)
    evaluations = next(
        (table.scalars[t.theirs] for t in source.tags if t.ours == "eval/mean_reward" and t.theirs in table.scalars),
        None,
    )
    return Series(
        source,
        columns,
        config=_config(given, source.name),
        episodes=episodes,
        nonfinite=nonfinite,
        notes=table.notes,
        name=folder.name,
        environment={} if evaluations is None else {"eval_steps": tuple(evaluations.steps.tolist())},
    )


def _is_maniskill(table: Table, given: dict[str, str]) -> bool:
    tags = ("train/return", "eval/return", "eval/success_once", "time/rollout_fps", "charts/eval_success_rate")
    return "num_eval_envs" in given or any(tag in table.scalars for tag in tags)


def _episodes(table: Table) -> Episodes | None:
    """Episodes, or in ManiSkill's logs means over those that ended at the same step."""
    found: Scalars | None = next((table.scalars[tag] for tag in _RETURNS if tag in table.scalars), None)
    if found is None:
        return None
    lengths = next((table.scalars[tag] for tag in _LENGTHS if tag in table.scalars), None)
    matching = lengths is not None and len(lengths.values) == len(found.values)
    return Episodes(
        found.steps,
        found.values,
        lengths.values if lengths is not None and matching else np.full(len(found.values), np.nan),
    )


def _from_episodes(episodes: Episodes, axis: np.ndarray) -> dict[str, np.ndarray]:
    """The columns that our own log takes from episodes."""
    here = on_axis(axis, episodes.steps, np.ones(len(episodes.steps)))
    count = np.zeros(len(axis))
    np.add.at(count, np.minimum(np.searchsorted(axis, episodes.steps, side="left"), len(axis) - 1), 1.0)
    columns = {
        "rollout/ep_rew_mean": moving_mean(episodes.steps, episodes.returns, axis),
        "rollout/iteration_rew_mean": on_axis(axis, episodes.steps, episodes.returns),
        "rollout/iteration_episodes": np.where(np.isfinite(here), count, 0.0),
    }
    if np.isfinite(episodes.lengths).all():
        columns["rollout/ep_len_mean"] = moving_mean(episodes.steps, episodes.lengths, axis)
    return columns


def _config(given: dict[str, str], framework: str) -> dict[str, Any]:
    """The script's arguments in our words. Its batch_size is our pool, its eval_freq counts iterations."""
    settings = understood(
        {name: text for name, text in given.items() if name not in ("batch_size", "eval_freq", "checkpoint")}
    )
    if given.get("anneal_lr") == "True" and "learning_rate" in settings:
        settings["learning_rate"] = f"linear:{settings['learning_rate']:g}"
    if given.get("clip_vloss") == "True" and "clip_range" in settings:
        settings["clip_range_vf"] = settings["clip_range"]
    if "minibatch_size" not in given and "n_minibatches" in settings:
        settings.pop("batch_size", None)
    elif settings.get("batch_size"):
        settings.pop("n_minibatches", None)
    if "continuous" in given.get("exp_name", ""):  # that script wraps its environments so
        settings |= {"normalize_obs": True, "normalize_reward": True}
    if framework == "maniskill":
        settings["bootstrap_terminations"] = True
        if given.get("eval_freq", "").isdigit() and {"n_envs", "n_steps"} <= settings.keys():
            settings["eval_freq"] = int(given["eval_freq"]) * settings["n_envs"] * settings["n_steps"]
        settings["rollout_rounding"] = "down"
    return settings
