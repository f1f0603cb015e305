"""What a view knows of a training: everything is taken from its records, in bounded memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from upswing.hooks import Record, Result, RunInfo
from upswing.view.series import Series

RETURN = "rollout/ep_rew_mean"
EVALUATION = "eval/mean_reward"
SHOWN = (
    "train/approx_kl",
    "train/clip_fraction",
    "train/explained_variance",
    "train/entropy_loss",
    "rollout/success_rate",
    "train/std",
    "train/value_loss",
    "rollout/ep_len_mean",
    "train/learning_rate",
    "train/grad_norm",
)
"""The metrics of the live view, in order of importance; a short window shows the first ones."""


class RunState:
    """A training so far, as its records tell it."""

    def __init__(self, notices: Sequence[str] = (), clock: Callable[[], float] = time.monotonic):
        self.clock = clock
        self.notices = list(notices)
        self.happened: list[str] = []  # those among the notices that came after the start
        self.info: RunInfo | None = None
        self.result: Result | None = None
        self.latest: Record = {}
        self.evaluated: Record = {}  # the last record that holds an evaluation
        self.best: float | None = None
        self.curves = {RETURN: Series(), EVALUATION: Series()}
        self.trends = {tag: Series(128) for tag in SHOWN}
        self.seconds = {"collect": 0.0, "update": 0.0, "eval": 0.0}
        self.started = clock()
        self._marks: deque[tuple[float, int]] = deque(maxlen=64)  # (clock, steps), half a second apart or more
        self._now = (self.started, 0)
        self._iterations = 0

    def start(self, info: RunInfo) -> None:
        """Take in what is known at the start."""
        self.info = info
        self.notices = list(dict.fromkeys([*self.notices, *info.notices]))
        self.started = self.clock()
        self._now = (self.started, info.start_timesteps)
        self._marks.append(self._now)

    def add(self, record: Record) -> None:
        """Take in one iteration."""
        self.latest = record
        for name in self.seconds:
            self.seconds[name] += record.get("eval/eval_s" if name == "eval" else f"time/{name}_s") or 0.0
        for tag, series in (*self.curves.items(), *self.trends.items()):
            value = record.get(tag)
            if value is not None:
                series.add(self.steps, -value if tag == "train/entropy_loss" else value)
        if record.get(EVALUATION) is not None:
            self.evaluated = record
            self.best = max(value for value in (self.best, record[EVALUATION]) if value is not None)
        self._keep_pace()

    def _keep_pace(self) -> None:
        """Note when how many steps were done. The first iteration, which may compile, counts only until the second."""
        previous, self._now = self._now, (self.clock(), self.steps)
        self._iterations += 1
        if self._iterations == 2:
            self._marks.clear()
            self._marks.append(previous)
        elif self._now[0] - self._marks[-1][0] >= 0.5:
            self._marks.append(self._now)

    @property
    def env(self) -> str:
        """The environment's name."""
        env = self.info.config.env if self.info else ""
        return env if isinstance(env, str) else getattr(env, "__name__", str(env))

    @property
    def steps(self) -> int:
        """Environment steps since the start of the training."""
        return int(self.latest.get("time/total_timesteps") or (self.info.start_timesteps if self.info else 0))

    @property
    def total(self) -> int:
        """Environment steps of the whole training."""
        return self.info.derived.total_timesteps if self.info else 1

    @property
    def share(self) -> float:
        """The share of the training that is done."""
        return min(1.0, self.steps / max(1, self.total))

    @property
    def elapsed_s(self) -> float:
        """Wall-clock seconds since the first rollout began, in this process."""
        return self.clock() - self.started

    @property
    def left_s(self) -> float | None:
        """Seconds until the end at the pace of about the last half minute, None as long as nothing is known."""
        if not self._iterations:
            return None
        (began, steps_then), (at, steps) = self._marks[0], self._now
        if steps <= steps_then or at <= began:
            return None
        return max(0.0, (self.total - steps) * (at - began) / (steps - steps_then) - (self.clock() - at))
