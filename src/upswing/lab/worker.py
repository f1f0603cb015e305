"""One run of a study, in a process of its own: trained, or continued where a kill left it.

The processes are forked from one that has torch and the engine in memory (before_fork.py). A run tells how far it has
come through `tell`; where nobody listens any more it saves and stops.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from upswing.agent import Agent
from upswing.errors import StorageError, UserError
from upswing.hooks import Hook, Record, Request, Result, RunInfo
from upswing.keeping import Evaluator
from upswing.lab.jobs import BROKE, ENDED, PROGRESS, STOPPED, Job, Tell
from upswing.lab.study_record import Costs
from upswing.progress import peak_memory_mb
from upswing.run.records import read_metrics
from upswing.training import SIGNAL_EXITS, prepare, resume, train

TELL_EVERY_S = 0.2
LOCK_PATIENCE_S = 10.0  # for the process of a killed study to save and let go of its run
GONE = "the study has gone"


def do(job: Job, tell: Tell) -> None:
    """Train or continue `job`, and tell how it ended. Never raises an Exception: a failure is an event of its own."""
    try:
        untrained = _untrained(job) if job.untrained else {}
        result = _train(job, [*_doctor(job), Reporter(tell)])
        if result.stopped in SIGNAL_EXITS or result.stopped == GONE:
            tell(STOPPED, {})
        else:
            tell(ENDED, {**outcome(result), **untrained})
    except UserError as error:
        tell(BROKE, {"reason": str(error)})
    except Exception as error:
        tell(BROKE, {"reason": f"{type(error).__name__}: {error}"})


def outcome(result: Result) -> dict[str, Any]:
    """The entries of a RunRecord that a finished run fills in."""
    columns = read_metrics(result.run_dir)
    costs = Costs(
        wall_time_s=result.wall_time_s,
        train_time_s=result.train_time_s,
        steps_per_second=result.total_timesteps / result.train_time_s if result.train_time_s > 0 else None,
        peak_memory_mb=peak_memory_mb(),
        total_timesteps=result.total_timesteps,
        iterations=result.iterations,
        gradient_steps=int(_last(columns, "train/gradient_steps") or 0),
        evaluations=sum(math.isfinite(score) for score in columns.get("eval/mean_reward", ())),
    )
    return {
        "mean_reward": result.mean_reward,
        "success_once": _last(columns, "eval/success_once"),
        "success_at_end": _last(columns, "eval/success_at_end"),
        "costs": asdict(costs),
    }


def _untrained(job: Job) -> dict[str, Any]:
    """The score of the policy before its first update."""
    training = prepare(job.config, trusted=job.trusted)
    evaluator = Evaluator(training.config)
    with contextlib.closing(training.engine), contextlib.closing(evaluator):
        score = evaluator.score(training.agent, 0)
    return {"untrained_reward": score.mean_reward, "untrained_success": score.success_once}


def _train(job: Job, hooks: list[Hook]) -> Result:
    """A new training, or the rest of one that has a checkpoint. What has none is begun anew."""
    folder = Path(job.run_dir)
    if (folder / "checkpoints" / "latest").is_file():
        return _patiently(lambda: resume(folder, hooks, trusted=job.trusted))
    shutil.rmtree(folder, ignore_errors=True)
    return train(replace(job.config, out_dir=str(folder.parent), name=folder.name), hooks, trusted=job.trusted)


def _patiently(resumed: Callable[[], Result]) -> Result:
    """`resumed`, tried again while the process of a killed study still holds the run."""
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            return resumed()
        except StorageError as error:
            if "another process" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _doctor(job: Job) -> list[Hook]:
    if not job.doctor:
        return []
    from upswing.doctor.hook import DoctorHook

    return [DoctorHook()]


def _last(columns: Mapping[str, Any], tag: str) -> float | None:
    known = [float(value) for value in columns.get(tag, ()) if math.isfinite(value)]
    return known[-1] if known else None


class Reporter(Hook):
    """Tells how far its run has come, a few times a second."""

    def __init__(self, tell: Tell):
        self.tell, self.told = tell, 0.0

    def on_start(self, info: RunInfo) -> None:
        """Tell the budget."""
        self.total = info.derived.total_timesteps
        self.tell(PROGRESS, {"steps": info.start_timesteps, "total": self.total})

    def on_iteration(self, record: Record, agent: Agent) -> Request | None:
        """Tell steps, speed and return; stop where nobody wants to hear it."""
        now = time.monotonic()
        if now - self.told < TELL_EVERY_S:
            return None
        self.told = now
        values = {
            "steps": record["time/total_timesteps"],
            "total": self.total,
            "fps": record["time/fps_mean"],
            "return": record["rollout/ep_rew_mean"],
        }
        return None if self.tell(PROGRESS, values) else Request(stop=GONE, checkpoint=True)
