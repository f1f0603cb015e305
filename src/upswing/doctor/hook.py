"""The doctor beside a running training: it looks now and then, and speaks only when something has changed.

Looking is paid for by the clock: looks may take SHARE_OF_TIME of the time that has passed, and CREDIT_S besides. An
iteration in between costs a list append.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from upswing.config import config_to_json
from upswing.doctor.diagnose import Diagnosis, ask, diagnose
from upswing.doctor.environment import completed
from upswing.doctor.findings import ERROR, SETUP, SEVERITY, WARN, Card
from upswing.doctor.growing import GrowingSeries
from upswing.doctor.observe import observed
from upswing.doctor.plan import check_setup
from upswing.doctor.render.structured import card_json
from upswing.doctor.render.worded import card_words
from upswing.doctor.rules import BY_CODE
from upswing.doctor.series import STEP, Series, Source
from upswing.doctor.texts import fill, texts
from upswing.engine.contract import Rollout
from upswing.errors import ConfigError, StorageError
from upswing.hooks import Hook, Record, Request, Result, RunInfo
from upswing.run.records import FINDINGS, RecordWriter, read_metrics

SHARE_OF_TIME = 0.0035
CREDIT_S = 0.03  # so that the first looks come soon
SHORTEST_S = 1.0  # between two looks
STOP_ON = ("never", WARN, ERROR)

__all__ = ["DoctorHook", "ask"]


class DoctorHook(Hook):
    """Watches a training: findings go to findings.jsonl and to every hook's on_notice when they begin and when they end.

    `stop_on` "error" (or "warn") asks for a stop with a checkpoint as soon as a finding is that grave. State: what has
    been recorded, which findings are in force, and when to look next.
    """

    def __init__(
        self,
        lang: str = "en",
        stop_on: str = "never",
        clock: Callable[[], float] = time.perf_counter,
    ):
        if stop_on not in STOP_ON:
            raise ConfigError(f"--stop-on {stop_on!r} is not known: choose one of {', '.join(STOP_ON)}.")
        self.lang, self.stop_on, self.clock = lang, stop_on, clock
        self.growing = GrowingSeries()
        self.active: dict[str, str] = {}  # codes in force and their severity
        self.spoken: list[str] = []  # sentences not yet passed on
        self._looks: dict[str, int] = {}  # by code: looks in a row that saw it (above 0) or did not (below)
        self.diagnosis: Diagnosis | None = None
        self.spent_s = self._last_cost_s = 0.0
        self.failed = False  # the doctor itself: it must never harm the training
        self._rollout: Rollout | None = None
        self._started = self._looked = clock()

    def on_start(self, info: RunInfo) -> None:
        """Note the settings, take up what an earlier process recorded, and judge the set-up."""
        self.run_dir = Path(info.run_dir) if info.run_dir else None
        self.settings = {**config_to_json(info.config), **info.changes, "env": info.config.env}
        self.environment = completed({}, info.config.env, info.config.env_kwargs)
        self.clip_obs = info.config.clip_obs if info.config.normalize_obs else None
        if info.start_timesteps and self.run_dir is not None:
            with contextlib.suppress(StorageError):  # nothing was recorded yet
                self.growing.start_with(read_metrics(self.run_dir))
        elif not info.start_timesteps:
            self._compare_safely(lambda: check_setup(self._series({})))
        self._started = self._looked = self.clock()

    def on_rollout(self, rollout: Rollout, num_timesteps: int) -> None:
        """Remember the episodes; keep the rollout for a look where one is due."""
        if rollout.episodes:
            self.growing.add_episodes(num_timesteps, rollout.episodes)
        self._rollout = rollout if self._due() else None

    def on_iteration(self, record: Record, agent: Any) -> Request | None:
        """Take in the record. When a look is due: its figures as metrics, what is new as notices, perhaps a stop."""
        self.growing.add(record)
        if self._rollout is None:
            return self._pass_on({}) if self.spoken else None
        began = self._looked = self.clock()
        figures = self._look_into(self._rollout, agent)
        self._rollout = None
        record.update(figures)
        self._judge()
        self._last_cost_s = self.clock() - began
        self.spent_s += self._last_cost_s
        return self._pass_on(figures)

    def on_end(self, result: Result) -> None:
        """Judge the whole run once more, for the record."""
        if len(self.growing):
            self._judge(live=False)

    def _due(self) -> bool:
        """Whether it is time for another look, and enough time has passed to pay for those before."""
        now = self.clock()
        paid = self.spent_s + self._last_cost_s <= CREDIT_S + SHARE_OF_TIME * (now - self._started)
        return now - self._looked >= SHORTEST_S and paid and not self.failed

    def _look_into(self, rollout: Rollout, agent: Any) -> dict[str, float]:
        policy = getattr(agent, "policy", None)
        self._note_actions(policy)
        try:
            return observed(rollout, policy, self.clip_obs)
        except (TypeError, ValueError, IndexError, AttributeError, RuntimeError):
            return {}  # a rollout of an unusual kind: nothing is seen in it, and nothing is claimed

    def _note_actions(self, policy: Any) -> None:
        space = getattr(policy, "action_space", None)
        if space is not None and hasattr(space, "n"):
            self.environment["n_actions"] = int(space.n)
        elif hasattr(space, "low"):
            self.environment["continuous"] = True

    def _series(self, columns: dict[str, Any]) -> Series:
        name = self.run_dir.name if self.run_dir else ""
        episodes = self.growing.episodes() if columns else None
        return Series(Source("upswing"), columns, self.settings, episodes, name=name, environment=self.environment)

    def _judge(self, live: bool = True) -> None:
        self._compare_safely(lambda: diagnose(self._series(self.growing.columns()), active=self.active, live=live))

    def _compare_safely(self, examine: Callable[[], Diagnosis]) -> None:
        """Examine and speak. Whatever goes wrong in here ends the doctor's work, not the training."""
        try:
            self.diagnosis = examine()
            self._compare(self.diagnosis)
        except Exception as error:
            self.failed = True
            self.spoken.append(
                fill(texts(self.lang).words["doctor_failed"], {"error": f"{type(error).__name__}: {error}"})
            )

    def _compare(self, diagnosis: Diagnosis) -> None:
        """Speak of what began or ended since the last look, and write it down.

        A warning begins when two looks in a row see it and ends when three do not: a figure that hovers about its
        threshold is not worth a word each time. Errors and the set-up are told at once.
        """
        seen = {
            f.code: f.severity
            for card in diagnosis.grave
            for f in (card.finding, *card.symptoms)
            if f.severity in (WARN, ERROR)
        }
        for code in seen.keys() | self._looks.keys():
            self._looks[code] = (
                max(1, self._looks.get(code, 0) + 1) if code in seen else min(-1, self._looks.get(code, 0) - 1)
            )
        before = dict(self.active)
        for code, severity in seen.items():
            at_once = severity == ERROR or BY_CODE[code].family == SETUP or not diagnosis.case.live
            if code in self.active or at_once or self._looks[code] >= 2:
                self.active[code] = severity
        for card in diagnosis.grave:
            if card.code in self.active and SEVERITY[card.severity] > SEVERITY.get(before.get(card.code, ""), 0):
                self._tell(diagnosis, card)
        for code in [code for code in self.active if code not in seen]:
            if BY_CODE[code].family == SETUP:
                continue
            if self._looks[code] <= -3 or not diagnosis.case.live:
                del self.active[code]
                self._tell_end(code)

    def _tell(self, diagnosis: Diagnosis, card: Card) -> None:
        words = card_words(diagnosis.case, card, self.lang)
        said = texts(self.lang).words
        change = next((cause.change for cause in words.causes if cause.change), None)
        sentence = fill(said["began"], {"severity": words.severity_word, "code": card.code, "claim": words.claim})
        self.spoken.append(f"{sentence} → {change}" if change else sentence)
        self.write({"event": "began", **card_json(diagnosis, card, self.lang)})

    def _tell_end(self, code: str) -> None:
        said = texts(self.lang)
        self.spoken.append(fill(said.words["cleared"], {"code": code, "title": said.rules[code].title}))
        self.write({"event": "ended", "code": code})

    def write(self, record: dict[str, Any]) -> None:
        """Add `record` to findings.jsonl, at the step reached so far."""
        if self.run_dir is None:
            return
        writer = RecordWriter(self.run_dir / FINDINGS)
        writer.write({"total_timesteps": self._steps(), **record})
        writer.close()

    def _steps(self) -> int:
        columns = self.growing.columns()
        return int(columns[STEP][-1]) if len(columns.get(STEP, ())) else 0

    def _pass_on(self, figures: dict[str, float]) -> Request:
        """What has been found, as a request to the training."""
        notices, self.spoken = tuple(self.spoken), []
        stop = None
        if self.stop_on != "never":
            grave = [code for code, severity in self.active.items() if SEVERITY[severity] >= SEVERITY[self.stop_on]]
            grave = [code for code in grave if BY_CODE[code].family != SETUP]
            if grave:
                title = texts(self.lang).rules[grave[0]].title
                stop = f"the doctor found {grave[0]} ({title}); see upswing doctor"
        return Request(stop=stop, checkpoint=stop is not None, metrics=figures, notices=notices)
