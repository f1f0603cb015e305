"""Running a study: every run trained to its end, however often that is interrupted, and judged together."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from upswing.config import TrainConfig
from upswing.errors import ConfigError
from upswing.lab.design import WALL_TIME, Point, matched, reloaded
from upswing.lab.executors import executor
from upswing.lab.jobs import BROKE, ENDED, PROGRESS, TICK, Job
from upswing.lab.judging import judged
from upswing.lab.study_record import (
    BROKEN,
    DONE,
    PLANNED,
    RUNNING,
    STUDY,
    Costs,
    RunRecord,
    StudyRecord,
    read_study,
    write_study,
)
from upswing.run.directory import locked
from upswing.run.disk import storage_errors
from upswing.run.signals import StopSignal


class Watcher(Protocol):
    """Who is told how a study goes."""

    def on_plan(self, study: StudyRecord) -> None:
        """All runs that there will be; again when controls are added."""

    def on_progress(self, index: int, values: Mapping[str, Any]) -> None:
        """How far run `index` has come: steps, total, fps, return."""

    def on_run(self, index: int, run: RunRecord) -> None:
        """Run `index` has ended."""

    def on_tick(self) -> None:
        """Time has passed."""


class NoWatcher:
    """Tells nobody."""

    def on_plan(self, study: StudyRecord) -> None: ...

    def on_progress(self, index: int, values: Mapping[str, Any]) -> None: ...

    def on_run(self, index: int, run: RunRecord) -> None: ...

    def on_tick(self) -> None: ...


@dataclass(frozen=True)
class Plan:
    """How the runs of a study are done."""

    executor: str = "local"
    n_jobs: int | None = None  # runs side by side; by default one a core, and one alone on a GPU
    doctor: bool = True
    trusted: bool = True
    lang: str = "en"


def new_study(
    folder: str | Path,
    points: Sequence[Point],
    seeds: Sequence[int],
    *,
    match: str | None = None,
    reference: str | None = None,
    only: Sequence[str] | None = None,
) -> StudyRecord:
    """The record of a new study in the new folder `folder`, with nothing trained yet.

    `reference` is the label of the point that others are measured against, by default the first; with `match` there
    are controls of the other points, or only of those whose labels are in `only`. Raises ConfigError where the folder
    exists.
    """
    labels = [point.label for point in points]
    first = reference or labels[0]
    for flag, named in (("--reference", [first]), ("--control", only or [])):
        if unknown := [label for label in named if label not in labels]:
            raise ConfigError(f"{flag} {unknown[0]!r} is no setting of this study: choose one of {', '.join(labels)}.")
    if only and not match:
        raise ConfigError("--control says which settings get a control, and --match what it equates: add --match.")
    controls = matched(points, first, match) if match else []  # of wall_time none yet: nothing has been trained
    study = StudyRecord(
        env=str(points[0].config.env),
        varied=list(dict.fromkeys(name for point in points for name in point.values)),
        settings=[],
        seeds=list(seeds),
        reference=first,
        runs=[],
        match=match,
        only=list(only) if only else None,
        created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    )
    study = with_points(study, [*points, *_wanted(study, controls)])
    target = Path(folder).expanduser()
    with storage_errors(f"Creating the study {target}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.mkdir()
        except FileExistsError:
            raise ConfigError(
                f"{target} exists already and is not overwritten: choose another --name, or continue that study with "
                f"--resume {target}."
            ) from None
    write_study(target, study)
    return study


def with_points(study: StudyRecord, points: Sequence[Point]) -> StudyRecord:
    """`study` with further settings and their runs."""
    runs = [
        RunRecord(point.label, point.values, seed, f"{folder_name(point.label)}-seed{seed}")
        for point in points
        for seed in study.seeds
    ]
    settings = [*study.settings, *(point.recorded() for point in points)]
    return replace(study, settings=settings, runs=[*study.runs, *runs])


def _wanted(study: StudyRecord, controls: Sequence[Point]) -> list[Point]:
    """Those of `controls` that were asked for."""
    return [control for control in controls if study.only is None or control.control_of in study.only]


def folder_name(label: str) -> str:
    """`label` as a part of a folder's name."""
    return re.sub(r"[^\w.+@=,-]+", "_", label).strip("_.-")[:150] or "run"


class Finished(NamedTuple):
    """A study after it was run, and the exit code of a signal that interrupted it, otherwise 0."""

    study: StudyRecord
    exit_code: int


def run_study(folder: str | Path, plan: Plan | None = None, watcher: Watcher | None = None) -> Finished:
    """The study in `folder` after every run that was not finished has been, judged; finished runs are left alone.

    Ctrl-C or SIGTERM lets the runs save and stop; the record then says what is left, and calling this again goes on.
    Raises ConfigError, MissingExtra, or StorageError, also where another process runs it; a run that fails is an entry
    of the record.
    """
    folder, plan, watcher = Path(folder).expanduser(), plan or Plan(), watcher or NoWatcher()
    read_study(folder)  # what is no study is refused before anything is locked
    with locked(folder), StopSignal() as signal:
        study = _finish(folder, read_study(folder), plan, watcher, signal)
        if study.match == WALL_TIME and not signal.received and not any(s.control_of for s in study.settings):
            times = {s.label: _mean_train_time(study, s.label) for s in study.settings}
            controls = matched([reloaded(s) for s in study.settings], study.reference, WALL_TIME, times)
            study = with_points(study, _wanted(study, controls))
            study = _finish(folder, study, plan, watcher, signal)
        study = judged(study, folder, plan.lang)
        write_study(folder, study)
    return Finished(study, signal.exit_code)


def unfinished(study: StudyRecord) -> int:
    """How many runs are neither done nor broken."""
    return sum(run.state in (PLANNED, RUNNING) for run in study.runs)


def _finish(folder: Path, study: StudyRecord, plan: Plan, watcher: Watcher, signal: StopSignal) -> StudyRecord:
    """`study` after its unfinished runs have been trained as far as `signal` allows."""
    execute = executor(plan.executor)
    watcher.on_plan(study)
    points = {setting.label: reloaded(setting) for setting in study.settings}
    open_runs = [i for i, run in enumerate(study.runs) if run.state in (PLANNED, RUNNING)]
    n_parallel = _n_parallel(plan, points)
    if n_parallel != 1:  # the longest first, so that the cores end together
        open_runs.sort(key=lambda i: -points[study.runs[i].setting].config.total_timesteps)
    jobs = []
    for i in open_runs:
        run = study.runs[i]
        target = folder.resolve() / run.run_dir
        config = _config_of(points[run.setting], run, target)
        jobs.append(Job(str(target), config, run.setting == study.reference, plan.doctor, plan.trusted))
    for place, kind, values in execute(jobs, n_parallel, lambda: signal.received is not None):
        if kind == TICK:
            watcher.on_tick()
            continue
        index = open_runs[place]
        run = study.runs[index]
        if kind == PROGRESS:
            if run.state == PLANNED:
                study = _replaced(folder, study, index, replace(run, state=RUNNING))
            watcher.on_progress(index, values)
        elif kind in (ENDED, BROKE):
            run = _ended(run, values) if kind == ENDED else replace(run, state=BROKEN, failed=True, **values)
            study = _replaced(folder, study, index, run)
            watcher.on_run(index, run)
    return study


def _config_of(point: Point, run: RunRecord, target: Path) -> TrainConfig:
    return replace(point.config, seed=run.seed, out_dir=str(target.parent), name=target.name)


def _ended(run: RunRecord, values: Mapping[str, Any]) -> RunRecord:
    return replace(run, state=DONE, **{**values, "costs": Costs(**values["costs"])})


def _replaced(folder: Path, study: StudyRecord, index: int, run: RunRecord) -> StudyRecord:
    runs = [*study.runs[:index], run, *study.runs[index + 1 :]]
    study = dataclasses.replace(study, runs=runs)
    write_study(folder, study)
    return study


def _mean_train_time(study: StudyRecord, label: str) -> float:
    times = [run.costs.train_time_s for run in study.runs_of(label) if run.costs.train_time_s]
    return sum(times) / len(times) if times else 0.0


def _n_parallel(plan: Plan, points: Mapping[str, Point]) -> int | None:
    """How many runs at once: what was asked for, one where a GPU is named, otherwise None, one a core."""
    if plan.n_jobs is not None:
        return plan.n_jobs
    on_gpu = any(point.config.device.startswith("cuda") for point in points.values())
    return 1 if on_gpu else None


__all__ = ["STUDY", "Finished", "NoWatcher", "Plan", "Watcher", "new_study", "run_study", "unfinished"]
