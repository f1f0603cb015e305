"""Remedies while a training goes on: one at a time, after a checkpoint, taken back where they do not work.

    the doctor finds something ─► checkpoint ─► the change, from the next update on ─► 10 to 20 updates later:
        the mechanism's number has moved as predicted            the change stays
        it has not                                               the setting goes back, and is not tried again
        the return has fallen far below what it was              setting, weights and optimiser go back to the checkpoint

Settings alone go back where a change merely did nothing: twenty updates of learning are worth keeping. What is being
tried, and what has been tried, is read back from findings.jsonl when a run is resumed; the settings in force are part of
its checkpoints.
"""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from upswing.doctor.diagnose import Diagnosis
from upswing.doctor.findings import BUG, OPTIMISATION, SCALE, WORLD, Card, Change
from upswing.doctor.hook import DoctorHook
from upswing.doctor.mechanisms import MECHANISMS, RETURN, movement, values_of
from upswing.doctor.remedies import rescaled, start_of
from upswing.doctor.render.worded import measure, setting_text
from upswing.doctor.rules import BY_CODE
from upswing.doctor.stats import spread
from upswing.doctor.texts import fill, texts
from upswing.errors import StorageError
from upswing.hooks import Hook, Record, Request, RunInfo
from upswing.run.records import FINDINGS, read_metrics, read_records
from upswing.view.numbers import number

BEFORE = 10  # updates that a change is compared with
SOONEST, LATEST = 10, 20  # updates after which it is judged
PAUSE = 10  # updates between two changes
LEAST_CONFIDENCE = 0.15  # in the cause: what is tried is judged
FAMILIES = (BUG, WORLD, SCALE, OPTIMISATION)  # outcomes tell no cause, and speed is not worth the learning it may cost


@dataclass(frozen=True)
class Attempt:
    """A change that is being tried."""

    code: str
    field: str
    old: Any
    new: Any
    checkpoint: int  # environment steps at the checkpoint before it
    iteration: int = 0  # the last one before it
    before: float = float("nan")  # the mechanism's number
    floor: float = float("-inf")  # a return below it says that the change does harm


class Autopilot(Hook):
    """Applies the doctor's remedies that can be applied in flight. Comes after `doctor` among the hooks.

    State: the last records, the attempt under way, what has been returned, what has been advised.
    """

    def __init__(self, doctor: DoctorHook):
        self.doctor, self.lang = doctor, doctor.lang
        self.recent: deque[Mapping[str, Any]] = deque(maxlen=BEFORE + LATEST)
        self.planned: Attempt | None = None  # the checkpoint has been asked for
        self.attempt: Attempt | None = None
        self.returned: set[tuple[str, str]] = set()
        self.advised: set[tuple[str, str]] = set()
        self.rested = 0  # the iteration from which on another change may be made
        self._seen: Diagnosis | None = None

    def on_start(self, info: RunInfo) -> None:
        """Take up again what an earlier process was trying."""
        self.run = info.run_dir
        if info.start_timesteps and self.doctor.run_dir is not None:
            with contextlib.suppress(StorageError):  # nothing was recorded yet
                self._take_up(read_records(self.doctor.run_dir / FINDINGS))
                self.recent.extend(_rows(read_metrics(self.doctor.run_dir), self.recent.maxlen or 0))

    def on_iteration(self, record: Record, agent: Any) -> Request | None:
        """The next step of an attempt; else, where the doctor has just looked, the plan of one."""
        self.recent.append(record)
        iteration = int(record["time/iterations"] or 0)
        if self.attempt is not None:
            return self._judge(self.attempt, iteration)
        if self.planned is not None:
            return self._begin(self.planned, iteration)
        diagnosis = self.doctor.diagnosis
        if diagnosis is None or diagnosis is self._seen or iteration < self.rested or len(self.recent) < BEFORE:
            return None
        self._seen = diagnosis
        return self._plan(diagnosis, int(record["time/total_timesteps"] or 0))

    def _plan(self, diagnosis: Diagnosis, step: int) -> Request:
        """A checkpoint, where a remedy can be tried; advice on those that cannot."""
        advice: list[str] = []
        for card, change in self._remedies(diagnosis):
            safe = in_flight(change) if change.in_flight else None
            if safe is None:
                advice += self._advise(card.code, change)
            elif card.code in MECHANISMS and (card.code, change.field) not in self.returned:
                self.planned = Attempt(card.code, safe.field, safe.old, safe.new, step)
                break
        return Request(checkpoint=self.planned is not None, keep=self.planned is not None, notices=tuple(advice))

    def _remedies(self, diagnosis: Diagnosis) -> Iterator[tuple[Card, Change]]:
        """The changes that findings in force ask for, the gravest finding and the likeliest cause first."""
        for card in diagnosis.grave:
            if card.code in self.doctor.active and BY_CODE[card.code].family in FAMILIES:
                for cause in card.causes:
                    if cause.change is not None and cause.confidence >= LEAST_CONFIDENCE:
                        yield card, cause.change

    def _begin(self, planned: Attempt, iteration: int) -> Request:
        """The change, from the next update on."""
        self.planned = None
        before = values_of(MECHANISMS[planned.code], list(self.recent)[-BEFORE:])
        if not len(before):
            return Request()
        level = float(np.median(before))
        self.attempt = replace(planned, iteration=iteration, before=level, floor=self._floor())
        self._seen = self.doctor.diagnosis
        return self._changed("changed", self.attempt, self.attempt.new, asdict(self.attempt), before=number(level))

    def _floor(self) -> float:
        """The return that the last updates had, less 30 % of its whole range or four times its scatter: R02's limits."""
        returns = values_of(RETURN, list(self.recent)[-BEFORE:])
        if len(returns) < BEFORE // 2:
            return float("-inf")
        whole = self.doctor.diagnosis.case.returns.range if self.doctor.diagnosis else float("nan")
        noise = float(np.nan_to_num(spread(returns)))
        return float(np.median(returns)) - max(0.3 * float(np.nan_to_num(whole)), 4.0 * noise)

    def _judge(self, attempt: Attempt, iteration: int) -> Request | None:
        """Whether the change stays, once that can be told."""
        done = iteration - attempt.iteration
        if done < SOONEST:
            return None
        records = list(self.recent)
        mechanism = MECHANISMS[attempt.code]
        after = values_of(mechanism, records[-done:])
        before = values_of(mechanism, records[:-done][-BEFORE:])
        moved = movement(mechanism, before if len(before) else np.array([attempt.before]), after)
        said: dict[str, Any] = {"before": number(attempt.before), "after": number(moved.after)}
        event = {"code": attempt.code, "field": attempt.field, "before": attempt.before, "after": moved.after}
        returns = values_of(RETURN, records[-SOONEST:])
        if len(returns) and float(np.median(returns)) < attempt.floor:
            said |= {"return": number(float(np.median(returns))), "floor": number(attempt.floor)}
            return self._finish("harmed", attempt, event, said, iteration)
        if moved.as_predicted:
            return self._finish("kept", attempt, event, said, iteration)
        return self._finish("returned", attempt, event, said, iteration) if done >= LATEST else None

    def _finish(
        self, kind: str, attempt: Attempt, event: dict[str, Any], said: dict[str, Any], iteration: int
    ) -> Request:
        self.attempt, self.rested = None, iteration + PAUSE
        value = attempt.new if kind == "kept" else attempt.old
        if kind != "kept":
            self.returned.add((attempt.code, attempt.field))
        request = self._changed(kind, attempt, value, {**event, "value": value, "iteration": iteration}, **said)
        if kind == "harmed" and self.run:
            return Request(changes=request.changes, notices=request.notices, return_to=attempt.checkpoint)
        return request

    def _changed(self, kind: str, attempt: Attempt, value: Any, event: dict[str, Any], **said: Any) -> Request:
        """The request that sets the field to `value`, with a word to the user and a line in findings.jsonl."""
        words = texts(self.lang)
        mechanism = MECHANISMS[attempt.code]
        sentence = fill(
            words.actions[kind],
            {
                "field": attempt.field,
                "old": setting_text(attempt.old, words),
                "new": setting_text(attempt.new, words),
                "code": attempt.code,
                "title": words.rules[attempt.code].title,
                "metric": measure(mechanism.name, words),
                "moves": words.actions["rises" if mechanism.direction > 0 else "falls"],
                "checkpoint": f"{attempt.checkpoint:,}",
                **said,
            },
        )
        self.doctor.settings[attempt.field] = value
        self.doctor.write({"event": kind, **event})
        return Request(changes={} if kind == "kept" else {attempt.field: value}, notices=(sentence,))

    def _advise(self, code: str, change: Change) -> list[str]:
        """A word on a change that only a new run can make, the first time."""
        if (code, change.field) in self.advised:
            return []
        self.advised.add((code, change.field))
        words = texts(self.lang)
        values = {
            "code": code,
            "field": change.field,
            "old": setting_text(change.old, words),
            "new": setting_text(change.new, words),
            "command": f"upswing train --config {self.run or 'RUN'} {flag(change)}",
        }
        self.doctor.write(
            {"event": "advised", "code": code, "field": change.field, "old": change.old, "new": change.new}
        )
        return [fill(words.actions["advised"], values)]

    def _take_up(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            kind = record.get("event")
            if kind == "changed":
                floor = float("-inf") if record["floor"] is None else record["floor"]  # JSON knows no infinity
                self.attempt = Attempt(**{f.name: record[f.name] for f in fields(Attempt)} | {"floor": floor})
            elif kind in ("kept", "returned", "harmed"):
                self.attempt, self.rested = None, int(record.get("iteration") or 0) + PAUSE
                if kind != "kept":
                    self.returned.add((record["code"], record["field"]))
            elif kind == "advised":
                self.advised.add((record["code"], record["field"]))


def in_flight(change: Change) -> Change | None:
    """`change` as one step that is small enough to be made while the training goes on; None where it is none.

    Rates and bonuses fall to between a half and a quarter, or double; epochs halve or double. An adaptive learning rate
    follows the KL by itself and is left alone.
    """
    old, new = change.old, change.new
    if change.field == "learning_rate" and (not _steers(old)):
        return None
    if change.field in ("learning_rate", "ent_coef"):
        first, then = start_of(old), start_of(new)
        if first is None or then is None:
            return None
        new = new if first == 0 else rescaled(old, max(0.25, min(0.5, then / first)) if then < first else 2.0)
        new = change.new if first < 1e-3 and change.field == "ent_coef" and then > first else new
    if change.field == "n_epochs":
        new = max(1, old // 2) if new < old else min(new, 2 * old)
    return None if new is None or new == old else Change(change.field, old, new, True)


def _steers(setting: Any) -> bool:
    return not (isinstance(setting, str) and setting.startswith("adaptive"))


def flag(change: Change) -> str:
    """The flag of `upswing train` that makes `change`."""
    name, _, part = change.field.partition(".")
    option = "--" + name.replace("_", "-")
    if part:
        return f"{option} '{part}={json.dumps(change.new)}'"
    if isinstance(change.new, bool):
        return option if change.new else f"--no-{name.replace('_', '-')}"
    return f"{option} {change.new:g}" if isinstance(change.new, float) else f"{option} {change.new}"


def _rows(columns: Mapping[str, np.ndarray], most: int) -> Iterator[dict[str, Any]]:
    """The last `most` records of what `read_metrics` gave, undefined values as None."""
    n = min((len(values) for values in columns.values()), default=0)
    for row in range(max(0, n - most), n):
        yield {tag: float(v[row]) if np.isfinite(v[row]) else None for tag, v in columns.items()}
