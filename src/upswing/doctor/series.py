"""What a run looks like to the doctor, whatever wrote it: columns under Upswing's tags, on the axis of environment steps.

A value that was never logged is absent; one that is undefined in an iteration is NaN. Both mean "not checked", never
"healthy". NaN and infinity that a program really logged are no values either: `Series.nonfinite` tells where they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

STEP = "time/total_timesteps"

Column = np.ndarray
"""float64 [U], NaN where not logged or undefined; U is the number of iterations."""

UPDATE, LAST_EPOCH, LAST_MINIBATCH, ROLLOUT, LAST_EPISODES, ITERATION, CUMULATIVE, MOMENT = (
    "update",  # mean over all minibatches of all epochs
    "last_epoch",  # mean over the minibatches of the last epoch
    "last_minibatch",  # one minibatch: noisy
    "rollout",  # all transitions of the rollout
    "last_episodes",  # a moving mean over the last episodes, often 100: lags behind
    "iteration",  # what happened in this iteration
    "cumulative",  # a mean since the start
    "moment",  # the value at this moment
)
"""Over what a logged number was taken."""


@dataclass(frozen=True)
class TagMeaning:
    """What a framework's tag means in our terms: ours = factor × theirs, taken `over` a set of samples."""

    theirs: str
    ours: str
    over: str
    factor: float = 1.0


@dataclass(frozen=True)
class Source:
    """What wrote a log, and what its tags mean."""

    name: str  # "upswing", "stable-baselines3", "cleanrl", "maniskill", "rsl-rl", "csv"
    tags: tuple[TagMeaning, ...] = ()
    axis: str = "steps"  # "iterations" where the log does not say how many environment steps one took
    facts: tuple[str, ...] = ()  # keys of texts: what a reader of the diagnosis should know about this framework's logs

    def over(self, tag: str) -> str:
        """Over what our `tag` was taken in this log; our own meaning where the log does not differ."""
        return next((meaning.over for meaning in self.tags if meaning.ours == tag), _OURS.get(tag, UPDATE))


_OURS = {
    "train/approx_kl": LAST_EPOCH,
    "train/explained_variance": ROLLOUT,
    "train/loss": LAST_MINIBATCH,
    "rollout/ep_rew_mean": LAST_EPISODES,
    "rollout/ep_len_mean": LAST_EPISODES,
    "time/fps": ITERATION,
}


@dataclass(frozen=True)
class Note:
    """Something to tell about how a log was read: a key of the texts, and what to fill in."""

    key: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Episodes:
    """Finished episodes, raw, in the order in which they ended; all [E]."""

    steps: np.ndarray  # environment steps taken when it ended, over all environments
    returns: np.ndarray
    lengths: np.ndarray  # NaN where not logged


@dataclass(frozen=True)
class Series:
    """A run as columns by tag, with its settings as far as they are known."""

    source: Source
    columns: Mapping[str, Column]
    config: Mapping[str, Any] = field(default_factory=dict)  # TrainConfig's names; only what is known
    episodes: Episodes | None = None
    nonfinite: Mapping[str, float] = field(default_factory=dict)  # first step at which a NaN or infinity was logged
    notes: tuple[Note, ...] = ()
    name: str = ""  # what to call the run
    environment: Mapping[str, Any] = field(default_factory=dict)  # what is known of it: max_episode_steps, n_actions …

    @property
    def steps(self) -> Column:
        """Environment steps taken after each iteration, increasing."""
        return self.columns.get(STEP, np.empty(0))

    def __len__(self) -> int:
        return len(self.steps)

    def column(self, tag: str) -> Column:
        """The column under `tag`, all NaN where it was not logged."""
        return self.columns[tag] if tag in self.columns else np.full(len(self), np.nan)

    def has(self, *tags: str) -> bool:
        """Whether every one of `tags` holds at least one number."""
        return all(tag in self.columns and bool(np.isfinite(self.columns[tag]).any()) for tag in tags)

    def setting(self, name: str, otherwise: Any = None) -> Any:
        """The setting `name` where it is known, else `otherwise`."""
        value = self.config.get(name)
        return otherwise if value is None else value

    def is_off(self, name: str) -> bool:
        """Whether the setting `name` is known to be left out: unlike one that the log does not tell of."""
        return name in self.config and self.config[name] is None

    @property
    def pool(self) -> float | None:
        """Transitions in one rollout, from the settings or from the distance of the logged steps; None if unknown."""
        if "n_envs" in self.config and "n_steps" in self.config:
            return float(self.config["n_envs"] * self.config["n_steps"])
        gaps = np.diff(self.steps)
        return float(np.median(gaps)) if len(gaps) and self.source.axis == "steps" else None


def on_axis(steps: np.ndarray, at: np.ndarray, values: np.ndarray) -> Column:
    """Logged `values` [K] at steps `at` [K] as a column on the axis `steps` [U]: each at the first step not before it.

    Several values that fall on one step are averaged; values after the last step are put there.
    """
    column, count = np.zeros(len(steps)), np.zeros(len(steps))
    keep = np.isfinite(values)
    place = np.minimum(np.searchsorted(steps, at[keep], side="left"), len(steps) - 1)
    np.add.at(column, place, values[keep])
    np.add.at(count, place, 1.0)
    return np.where(count > 0, column / np.maximum(count, 1.0), np.nan)
