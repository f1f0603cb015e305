"""What became of each setting of a study, and the reason in words, from the study's own numbers."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from upswing.lab.design import WALL_TIME
from upswing.lab.study_record import BROKEN, DONE, FAILED, LEARNED, RunRecord, StudyRecord, StudySetting
from upswing.lab.study_words import fill
from upswing.lab.verdict import SUSPECTED, verdicts

FEWER = 1.5  # a quantity is named as a reason where the reference has this many times as much


def judged(study: StudyRecord, folder: Path, lang: str = "en") -> StudyRecord:
    """`study` with a verdict on every setting that has a finished run, its reason, and what failing means."""
    score = "success_once" if _speaks_of_success(study) else "mean_reward"
    study = replace(study, score=score)
    labels = [s.label for s in study.settings if study.scores(s.label)]
    untrained = _untrained(study)
    if not labels or untrained is None:
        return replace(study, definition=None)
    found = dict(zip(labels, verdicts([study.scores(label) for label in labels], untrained), strict=True))
    bar = found[labels[0]].bar
    settings = []
    states = {label: verdict.state for label, verdict in found.items()}
    for setting in study.settings:
        state = states.get(setting.label)
        if state is None:
            settings.append(setting)
            continue
        bad = state in (FAILED, SUSPECTED)
        reason = _reason(study, setting, states, folder, lang) if bad else None
        settings.append(replace(setting, verdict=state, reason=reason))
    study = replace(study, settings=settings, halfway=bar, definition=_definition(study, untrained, bar, lang))
    return replace(study, runs=[_run_judged(study, run) for run in study.runs])


def _run_judged(study: StudyRecord, run: RunRecord) -> RunRecord:
    if run.state != DONE:
        return run
    setting = study.setting(run.setting)
    return replace(run, failed=setting.verdict == FAILED, reason=setting.reason)


def _speaks_of_success(study: StudyRecord) -> bool:
    done = [run for run in study.runs if run.state == DONE]
    return bool(done) and all(run.success_once is not None for run in done)


def _untrained(study: StudyRecord) -> float | None:
    """The mean score of the untrained policies."""
    name = "untrained_success" if study.score == "success_once" else "untrained_reward"
    known = [value for run in study.runs if (value := getattr(run, name)) is not None]
    return sum(known) / len(known) if known else None


def _definition(study: StudyRecord, untrained: float, bar: float, lang: str) -> str:
    few = len(study.seeds) < 3
    values = {"score": fill(lang, study.score), "untrained": untrained, "best": 2 * bar - untrained, "halfway": bar}
    return fill(lang, "definition_few" if few else "definition", **values)


def _reason(study: StudyRecord, setting: StudySetting, states: dict[str, str], folder: Path, lang: str) -> str:
    """Why `setting` failed: what it had less of, what its control shows, and what the doctor says."""
    said = [
        _arithmetic(study, setting, lang),
        _control(study, setting, states, lang),
        _doctor(study, setting, folder, lang),
    ]
    return ("" if lang == "zh" else " ").join(sentence for sentence in said if sentence)


def _arithmetic(study: StudyRecord, setting: StudySetting, lang: str) -> str:
    """How many updates it had beside the reference, where those are much fewer."""
    goal = study.setting(study.reference)
    mine, theirs = setting.derived, goal.derived
    if setting.label == goal.label or theirs["gradient_steps"] < FEWER * mine["gradient_steps"]:
        return ""
    return fill(
        lang,
        "few_updates",
        iterations=mine["iterations"],
        steps=mine["gradient_steps"],
        reference=goal.label,
        its_iterations=theirs["iterations"],
        its_steps=theirs["gradient_steps"],
    )


def _control(study: StudyRecord, setting: StudySetting, states: dict[str, str], lang: str) -> str:
    """What the control of `setting` shows, or that there is none."""
    if setting.control_of is not None or setting.label == study.reference:
        return ""
    control = next((s for s in study.settings if s.control_of == setting.label), None)
    if control is None:
        few = study.setting(study.reference).derived["gradient_steps"] >= FEWER * setting.derived["gradient_steps"]
        return fill(lang, "no_control") if few and not study.match and "total_timesteps" not in study.varied else ""
    if control.label not in states:
        return ""
    what = "train_time" if study.match == WALL_TIME else study.match
    key = "control_learned" if states[control.label] == LEARNED else "control_failed"
    scores = study.scores(control.label)
    return fill(
        lang,
        key,
        quantity=fill(lang, str(what)),
        total=control.derived["total_timesteps"],
        steps=control.derived["gradient_steps"],
        iterations=control.derived["iterations"],
        score=fill(lang, study.score),
        value=sum(scores) / len(scores),
        varied=", ".join(study.varied),
    )


def _doctor(study: StudyRecord, setting: StudySetting, folder: Path, lang: str) -> str:
    """What the doctor says of most runs of `setting`."""
    from upswing.doctor.diagnose import diagnose
    from upswing.doctor.render.worded import card_words
    from upswing.errors import UserError
    from upswing.lab.reason import reason_of

    diagnoses = []
    for run in study.runs_of(setting.label):
        if run.state == DONE:
            with contextlib.suppress(UserError):  # its records are gone
                diagnoses.append(diagnose(folder / run.run_dir))
    reason = reason_of(diagnoses)
    if reason is None:
        return ""
    claim = card_words(reason.diagnosis.case, reason.card, lang).claim
    return fill(lang, "doctor_says", code=reason.code, claim=claim, n=reason.n, of=reason.of)


def mean(values: Sequence[float]) -> float:
    """The mean; NaN of nothing."""
    return sum(values) / len(values) if values else math.nan


def broken(study: StudyRecord) -> list[RunRecord]:
    """The runs that could not be trained."""
    return [run for run in study.runs if run.state == BROKEN]


def as_json(study: StudyRecord, folder: str | Path) -> dict[str, object]:
    """A study as the command line's last line: study_dir, runs with their paths, settings with their verdicts."""
    content = dataclasses.asdict(study)
    for run in content["runs"]:
        run["run_dir"] = str(Path(folder) / run["run_dir"])
    return {"study_dir": str(folder), **content}
