"""A study on disk: a folder with study.json and the run folders of all its trainings.

    <study>/study.json            what was varied, every setting with what follows from it, every run with its outcome
    <study>/<setting>-seed<n>/    ordinary run folders (run/directory.py)

study.json is replaced as a whole whenever a run begins or ends, so that it can be read at any moment and a killed study
can be continued. Run folders are named relative to the study, which may be moved.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from upswing.errors import StorageError
from upswing.run.disk import json_bytes, read_json, replace_file, storage_errors

STUDY = "study.json"
SCHEMA = 1
PLANNED, RUNNING, DONE, BROKEN = "planned", "running", "done", "broken"
"""States of a run. Broken: it could not be trained to its end; `reason` says why."""
LEARNED, FAILED, SUSPECTED, UNKNOWN = "learned", "failed", "suspected", "unknown"
"""Verdicts on a setting. Suspected: it looks failed, from fewer seeds than a verdict needs."""


@dataclass(frozen=True)
class Costs:
    """What a run took. None where it is not known."""

    wall_time_s: float | None = None  # everything: start-up, compilation, evaluation, saving
    train_time_s: float | None = None  # collecting and updating
    steps_per_second: float | None = None  # over train_time_s
    peak_memory_mb: float | None = None
    total_timesteps: int | None = None
    iterations: int | None = None
    gradient_steps: int | None = None
    evaluations: int | None = None  # during training and after it


@dataclass(frozen=True)
class RunRecord:
    """One training of a study."""

    setting: str  # the label of its StudySetting
    settings: dict[str, Any]  # the varied settings' values, by field or field.key
    seed: int
    run_dir: str  # relative to the study's folder
    state: str = PLANNED
    mean_reward: float | None = None  # deterministic evaluation of the final policy
    success_once: float | None = None  # of the same evaluation; None where the task does not speak of success
    success_at_end: float | None = None
    untrained_reward: float | None = None  # of the policy before its first update, where it was measured
    untrained_success: float | None = None
    failed: bool | None = None  # it broke, or its setting's verdict is "failed"; None until that is known
    reason: str | None = None
    costs: Costs = field(default_factory=Costs)


@dataclass(frozen=True)
class StudySetting:
    """One point of a study: what was set, and what follows from it by arithmetic."""

    label: str  # "n_envs=256"; a control's ends in "[matched]"
    values: dict[str, Any]  # by field or field.key; a control's include total_timesteps
    derived: dict[str, int]  # config.Derived of its runs
    config: dict[str, Any]  # every setting of its runs as JSON, seed and name apart
    control_of: str | None = None  # the label of the setting whose budget this control raises
    verdict: str = UNKNOWN
    reason: str | None = None


@dataclass(frozen=True)
class StudyRecord:
    """A study: its settings, its seeds, and how far each run has come."""

    env: str
    varied: list[str]  # fields, or field.key
    settings: list[StudySetting]
    seeds: list[int]
    reference: str  # the label of the setting that others are measured against
    runs: list[RunRecord]
    match: str | None = None  # the quantity that controls equate: gradient_steps, iterations or wall_time
    only: list[str] | None = None  # labels of the settings that may have a control; None for all
    score: str = "mean_reward"  # what the verdict is about: "success_once" where the task speaks of it
    halfway: float | None = None  # between the untrained policy's score and the best setting's
    definition: str | None = None  # what `failed` means, in a sentence
    created: str = ""
    schema: int = SCHEMA

    def setting(self, label: str) -> StudySetting:
        """The setting called `label`. Raises KeyError."""
        return next((s for s in self.settings if s.label == label), None) or _unknown(label)

    def runs_of(self, label: str) -> list[RunRecord]:
        """The runs of the setting called `label`, in the order of the seeds."""
        return [run for run in self.runs if run.setting == label]

    def scores(self, label: str) -> list[float]:
        """The final scores of the setting's finished runs, in the order of the seeds."""
        found = (getattr(run, self.score) for run in self.runs_of(label) if run.state == DONE)
        return [float(score) for score in found if score is not None]


def is_study(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is the folder of a study."""
    return (Path(path).expanduser() / STUDY).is_file()


def write_study(folder: str | os.PathLike[str], study: StudyRecord) -> None:
    """Replace the study.json in `folder`. Raises StorageError."""
    target = Path(folder) / STUDY
    with storage_errors(f"Writing {target}"):
        replace_file(target, json_bytes(dataclasses.asdict(study)))


def read_study(path: str | os.PathLike[str]) -> StudyRecord:
    """The study in the folder `path`. Raises StorageError where there is none, or where it is not what was written."""
    folder = Path(path).expanduser()
    if not (folder / STUDY).is_file():
        raise StorageError(f"{folder} is not a study, since it has no {STUDY}: give the folder of a study.")
    content = read_json(folder / STUDY)
    if content.get("schema") != SCHEMA:
        raise StorageError(
            f"{folder / STUDY} has schema {content.get('schema')!r}, which this version cannot read: use the one that wrote it."
        )
    try:
        runs = [_made(RunRecord, {**run, "costs": _made(Costs, run.get("costs", {}))}) for run in content["runs"]]
        settings = [_made(StudySetting, setting) for setting in content["settings"]]
        study = _made(StudyRecord, {**content, "runs": runs, "settings": settings})
        for run in study.runs:
            study.setting(run.setting)
        study.setting(study.reference)
        return study
    except (KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{folder / STUDY} is damaged ({error}): run the study again.") from None


def _made(kind: type, values: Mapping[str, Any]) -> Any:
    """An instance of the dataclass `kind`; entries that this version does not know are left out."""
    known = {f.name for f in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in known})


def _unknown(label: str) -> StudySetting:
    raise KeyError(f"no setting is called {label!r}")
