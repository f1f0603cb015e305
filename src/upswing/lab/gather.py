"""From what a user names (runs, folders of runs, a study, other programs' logs) to settings with their runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from upswing.doctor.diagnose import Diagnosis, diagnose
from upswing.doctor.returns import Returns
from upswing.doctor.series import Series
from upswing.doctor.shape import Shape, shape_of
from upswing.doctor.stats import smooth
from upswing.errors import ConfigError, StorageError, UserError
from upswing.lab.study_record import DONE, PLANNED, RunRecord, StudyRecord, is_study, read_study
from upswing.run.directory import CONFIG

APART = frozenset(
    [
        "seed",
        "name",
        "out_dir",
        "checkpoint_freq",
        "keep_checkpoints",
        "n_workers",
        "step_timeout_s",
        "max_worker_restarts",
        "threads",
    ]
)
"""Settings in which runs of one setting may differ: they change nothing of what is learned, or are the repetition."""

SUCCESS, EVALUATION, RETURN = "success", "evaluation", "return"
"""What a run's score is: success in its last evaluation, else the return there, else that of its last episodes."""


@dataclass(frozen=True)
class Member:
    """One run of a setting."""

    path: Path
    diagnosis: Diagnosis
    record: RunRecord | None = None  # in a study

    @property
    def series(self) -> Series:
        """The run's curves."""
        return self.diagnosis.series

    @property
    def returns(self) -> Returns:
        """What its return does."""
        return self.diagnosis.case.returns

    @property
    def name(self) -> str:
        """What to call it."""
        return self.series.name or self.path.name

    @cached_property
    def shape(self) -> Shape:
        """Its arithmetic."""
        return shape_of(self.series)

    def score(self, measure: str) -> float:
        """Its final score; NaN where it has none."""
        if self.record is not None and self.record.state == DONE:
            told = self.record.success_once if measure == SUCCESS else self.record.mean_reward
            if told is not None and measure != RETURN:
                return float(told)
        if measure == RETURN:
            final = float(self.returns.final)
            return final if np.isfinite(final) else last(self.returns.y)  # of a run too short to judge
        return last(self.series.column("eval/success_once" if measure == SUCCESS else "eval/mean_reward"))

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Its return over environment steps, smoothed over three of at most forty stretches."""
        return self.returns.x, smooth(self.returns.y, 3)

    @cached_property
    def seconds(self) -> np.ndarray:
        """Wall-clock seconds after each iteration, from the record or from its speed; NaN where neither is known."""
        if self.series.has("time/elapsed_s"):
            return self.series.column("time/elapsed_s")
        gaps = np.diff(self.series.steps, prepend=0.0)
        return np.cumsum(gaps / self.series.column("time/fps"))


@dataclass(frozen=True)
class Setting:
    """Runs that differ in their seeds alone."""

    label: str
    members: tuple[Member, ...]
    config: Mapping[str, Any]  # what is known of it
    control_of: str | None = None

    @property
    def diagnoses(self) -> list[Diagnosis]:
        """What the doctor says of each run."""
        return [member.diagnosis for member in self.members]

    def scores(self, measure: str) -> np.ndarray:
        """The final scores [N]."""
        return np.array([member.score(measure) for member in self.members])

    def count(self, what: str) -> float | None:
        """A number that follows from its settings: a field of Shape, or `evaluations`; None where unknown."""
        if what == "evaluations":
            counts = [float(np.isfinite(m.series.column("eval/mean_reward")).sum()) for m in self.members]
            return float(np.median(counts))
        values = [getattr(member.shape, what) for member in self.members]
        known = [float(value) for value in values if value is not None]
        return float(np.median(known)) if known else None


@dataclass(frozen=True)
class Gathered:
    """Everything that is compared, before it is."""

    env: str | None
    settings: tuple[Setting, ...]
    reference: str
    measure: str
    untrained: float
    study: StudyRecord | None = None
    missing: tuple[str, ...] = ()  # runs that left nothing to read, with the reason
    given: tuple[str, ...] = field(default=())  # as the user named them

    def setting(self, label: str) -> Setting:
        """The setting called `label`."""
        return next(each for each in self.settings if each.label == label)

    @property
    def members(self) -> list[Member]:
        """All runs."""
        return [member for setting in self.settings for member in setting.members]


Groups = dict[tuple[str, str], list["Member"]]
"""Runs by where they came from and by their settings."""

Told = Callable[[Iterable[Path]], Iterable[Path]]
"""Passes paths on, and may show how many of them are done."""


def gather(paths: Sequence[str], reference: str | None = None, told: Told = lambda paths: paths) -> Gathered:
    """The settings that `paths` hold. Raises UserError where there is nothing to read, or no common scale."""
    study: StudyRecord | None = None
    missing: list[str] = []
    if len(paths) == 1 and is_study(paths[0]):
        study = read_study(paths[0])
        settings, missing = _of_study(Path(paths[0]).expanduser(), study, told)
    else:
        settings = _of_runs(paths, told)
    if not settings:
        raise StorageError(f"{paths[0]} has no run to read yet: wait for the first iterations. {' '.join(missing)}")
    labels = [setting.label for setting in settings]
    chosen = reference or (study.reference if study and study.reference in labels else labels[0])
    if chosen not in labels:
        raise ConfigError(f"--reference {chosen} is none of the settings: choose one of {'; '.join(labels)}.")
    members = [member for setting in settings for member in setting.members]
    environments = sorted({str(m.series.setting("env")) for m in members if m.series.setting("env")})
    if len(environments) > 1:
        raise ConfigError(
            f"The runs are of different environments ({', '.join(environments)}), whose returns have no common scale: "
            f"compare one environment at a time."
        )
    measure = measure_of(members)
    env = environments[0] if environments else None
    return Gathered(
        env, settings, chosen, measure, untrained_score(members, measure), study, tuple(missing), tuple(paths)
    )


def measure_of(members: Sequence[Member]) -> str:
    """The best measure that every run has."""
    return next(
        (each for each in (SUCCESS, EVALUATION) if all(np.isfinite(m.score(each)) for m in members)),
        RETURN,
    )


def untrained_score(members: Sequence[Member], measure: str) -> float:
    """The score before anything was learned: as a study measured it, else 0 for success, else the first returns."""
    name = "untrained_success" if measure == SUCCESS else "untrained_reward"
    told = [getattr(m.record, name) for m in members if m.record and getattr(m.record, name) is not None]
    if told and measure != RETURN:
        return float(np.mean(told))
    if measure == SUCCESS:
        return 0.0
    starts = [m.returns.start for m in members if np.isfinite(m.returns.start)]
    return float(np.median(starts)) if starts else min(m.score(measure) for m in members)


def _of_study(folder: Path, study: StudyRecord, told: Told) -> tuple[tuple[Setting, ...], list[str]]:
    records = {folder / run.run_dir: run for run in study.runs if run.state != PLANNED}
    members, missing = {}, []
    for path in told(list(records)):
        try:
            members[path] = Member(path, diagnose(path), records[path])
        except UserError as error:
            missing.append(f"{path.name}: {records[path].reason or error}")
    settings = []
    for point in study.settings:
        own = tuple(m for m in members.values() if m.record is not None and m.record.setting == point.label)
        if own:
            settings.append(Setting(point.label, own, common(own), point.control_of))
    return tuple(settings), missing


def _of_runs(paths: Sequence[str], told: Told) -> tuple[Setting, ...]:
    """Runs by their settings. Folders of runs that are given side by side stay apart, even where settings are equal."""
    origin: dict[Path, str] = {}
    for given in paths:
        for path in runs_in(Path(given).expanduser()):
            origin.setdefault(path, given)
    groups: Groups = {}
    several = sum(not _is_run(Path(given).expanduser()) for given in paths) > 1
    for path in told(list(origin)):
        member = Member(path, diagnose(path))
        known = {k: v for k, v in member.series.config.items() if k not in APART}
        alone = "" if known else str(path)  # a log that tells no settings is a setting of its own
        groups.setdefault(
            (origin[path] if several else alone, json.dumps(known, sort_keys=True, default=str)), []
        ).append(member)
    if any(not _is_run(Path(given).expanduser()) for given in paths):
        groups = _ordered(groups, paths)
    configs = [common(members) for members in groups.values()]
    folder = Path(paths[0]).name if len(paths) == 1 else ""
    sources = [Path(source).name or folder for source, _ in groups]
    labels = _labels(configs, sources, [members[0].name for members in groups.values()])
    return tuple(
        Setting(label, tuple(members), config)
        for label, members, config in zip(labels, groups.values(), configs, strict=True)
    )


def _ordered(groups: Groups, paths: Sequence[str]) -> Groups:
    """`groups` by the folders as they were given, and in each by the values of the settings that differ, if numbers."""
    configs = {key: common(members) for key, members in groups.items()}
    fields = differing(list(configs.values()))
    if not fields or not all(isinstance(c[name], int | float) for c in configs.values() for name in fields):
        return groups
    place = {given: i for i, given in enumerate(paths)}
    return dict(
        sorted(groups.items(), key=lambda item: (place.get(item[0][0], 0), [configs[item[0]][name] for name in fields]))
    )


def runs_in(path: Path) -> list[Path]:
    """`path` itself where it is a run or a log, else the runs in that folder."""
    if not path.is_dir() or _is_run(path):
        return [path]
    if is_study(path):
        return [path / run.run_dir for run in read_study(path).runs if (path / run.run_dir / CONFIG).is_file()]
    return sorted(child.parent for child in path.glob(f"*/{CONFIG}")) or [path]


def _is_run(path: Path) -> bool:
    return not path.is_dir() or (path / CONFIG).is_file()


def common(members: Sequence[Member]) -> dict[str, Any]:
    """The settings of the first of `members`, without those in which repetitions may differ."""
    return {name: value for name, value in members[0].series.config.items() if name not in APART}


def differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings that are known in all `configs` and not the same in all."""
    shared = [name for name in configs[0] if all(name in config for config in configs)]
    return [name for name in shared if any(config[name] != configs[0][name] for config in configs)]


def _labels(configs: Sequence[Mapping[str, Any]], sources: Sequence[str], names: Sequence[str]) -> list[str]:
    """What to call each: its settings that differ, else its folder, else its run; made different where they are not."""
    fields = differing(configs)
    told = [" ".join(f"{name}={plain_setting(config[name])}" for name in fields) for config in configs]
    labels = [text or source or name for text, source, name in zip(told, sources, names, strict=True)]
    if len(set(labels)) < len(labels):
        labels = [f"{label} ({source or name})" for label, source, name in zip(labels, sources, names, strict=True)]
    if len(set(labels)) < len(labels):
        labels = [f"{label} #{i + 1}" for i, label in enumerate(labels)]
    return labels


def plain_setting(value: Any) -> str:
    """A setting's value as one would write it on the command line."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value) if isinstance(value, Mapping | list | tuple) else str(value)


def last(column: np.ndarray) -> float:
    """The last number of a column; NaN where there is none."""
    known = column[np.isfinite(column)]
    return float(known[-1]) if len(known) else float("nan")
