"""The diagnosis of a run: every rule is asked, and the findings become cards. Exit codes say how grave it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from upswing.doctor.case import Case, make_case
from upswing.doctor.environment import completed
from upswing.doctor.findings import (
    BUG,
    ERROR,
    INFO,
    SETUP,
    WARN,
    Card,
    Finding,
    NotApplicable,
    NotChecked,
    Outcome,
    Passed,
    worst,
)
from upswing.doctor.grouping import make_cards, odd_settings
from upswing.doctor.measured import often_wrong
from upswing.doctor.readers import read_series
from upswing.doctor.reference import reference_of
from upswing.doctor.returns import PLATEAU, RISING
from upswing.doctor.rules import BY_CODE, RULES, Rule
from upswing.doctor.rules.exploration import NEEDLESS
from upswing.doctor.rules.outcome import capped, same_returns
from upswing.doctor.series import Series
from upswing.doctor.thresholds import limit

EXIT_CODES = {None: 0, INFO: 0, WARN: 10, ERROR: 20}
_ARITHMETIC = ("S01", "T02")  # far beyond what any recipe has, only a solved task excuses it
_NEVER_DEMOTED = ("R03",)  # a gap to the evaluation says that the return itself cannot be trusted


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor says about a run."""

    case: Case
    cards: tuple[Card, ...]  # the gravest first
    passed: tuple[Passed, ...]
    not_checked: tuple[NotChecked, ...]
    not_applicable: tuple[NotApplicable, ...]

    @property
    def series(self) -> Series:
        """The run."""
        return self.case.series

    @property
    def grave(self) -> tuple[Card, ...]:
        """Cards above a remark."""
        return tuple(card for card in self.cards if card.severity != INFO)

    @property
    def remarks(self) -> tuple[Card, ...]:
        """Cards that are mere remarks."""
        return tuple(card for card in self.cards if card.severity == INFO)

    @property
    def exit_code(self) -> int:
        """0 nothing above a remark, 10 warnings, 20 errors."""
        return EXIT_CODES[worst(self.cards)]

    def to_json(self, lang: str = "en") -> dict[str, Any]:
        """The diagnosis as JSON values, its texts in `lang`."""
        from upswing.doctor.render.structured import diagnosis_json

        return diagnosis_json(self, lang)


def diagnose(
    run: str | Path | Series,
    *,
    mapping: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    suppress: Iterable[str] = (),
    active: Mapping[str, str] | None = None,
    live: bool = False,
    remarks_only: Collection[str] | None = None,
    reference: str | Path | Series | float | None = None,
) -> Diagnosis:
    """The diagnosis of `run`, a path (see `read_series`) or a Series.

    `settings` complete what the log tells of its configuration, `suppress` silences codes, `active` are codes already in
    force, which clear later than they fire. Rules in `remarks_only` never warn: by default those that were measured to
    be wrong too often. `reference` is a run that went well, or a return known to be reachable. Raises UserError where
    nothing can be read.
    """
    series = run if isinstance(run, Series) else read_series(run, mapping, settings)
    known = completed(series.environment, series.setting("env"), series.setting("env_kwargs"))
    series = dataclasses.replace(series, environment=known)
    known_good = read_series(reference) if isinstance(reference, str | Path) else reference
    case = make_case(series, active, live, None if known_good is None else reference_of(known_good))
    early = case.done < limit("live_early")  # the first tenth of a training proves nothing but bugs
    rules = [rule for rule in RULES if rule.family in (BUG, SETUP)] if early else RULES
    return from_outcomes(case, ask(case, rules, suppress), remarks_only)


def ask(case: Case, rules: Sequence[Rule], suppress: Iterable[str] = ()) -> list[Outcome]:
    """The answers of `rules` to `case`. A rule that fails says so instead of silencing the others."""
    silent = set(suppress)
    answers: list[Outcome] = []
    with np.errstate(all="ignore"):
        for rule in rules:
            if rule.code in silent:
                continue
            try:
                answers.append(weighed(case, rule.ask(case)))
            except Exception as error:  # a diagnosis must not fail with the strangest log
                answers.append(NotChecked(rule.code, "failed", (f"{type(error).__name__}: {error}",)))
    return answers


def from_outcomes(case: Case, answers: Sequence[Outcome], remarks_only: Collection[str] | None = None) -> Diagnosis:
    """The diagnosis that `answers` make; rules in `remarks_only`, by default those measured as such, never warn."""
    soft = often_wrong() if remarks_only is None else remarks_only
    with np.errstate(all="ignore"):  # a log may hold any numbers
        findings = [sharpened(case, answer) for answer in answers if isinstance(answer, Finding)]
        findings = [dataclasses.replace(f, severity=INFO) if f.code in soft else f for f in findings]
        cards = tuple(make_cards(case, findings))
    return Diagnosis(
        case,
        cards,
        tuple(answer for answer in answers if isinstance(answer, Passed)),
        tuple(answer for answer in answers if isinstance(answer, NotChecked)),
        tuple(answer for answer in answers if isinstance(answer, NotApplicable)),
    )


def weighed(case: Case, answer: Outcome) -> Outcome:
    """`answer`, a warning turned into a remark where the return shows that it does no harm.

    A return that rises, or a task that is solved, outweighs every suspicion but that of a bug. A return that rose and
    keeps its height outweighs those that lie less than three times beyond their thresholds.
    """
    if not isinstance(answer, Finding) or answer.severity == INFO or BY_CODE[answer.code].family == BUG:
        return answer
    if answer.code in _NEVER_DEMOTED or not harmless(case, answer):
        return answer
    return dataclasses.replace(answer, severity=INFO)


def sharpened(case: Case, finding: Finding) -> Finding:
    """`finding`, a return that stands short turned from a remark into a warning where a setting is far from usual.

    A plateau alone may be all that the task allows. Beside a setting that hardly any recipe has, it is a suspicion.
    """
    if finding.code != "R01" or finding.severity != INFO or case.live:
        return finding
    if case.returns.solved is None and (capped(case) or same_returns(case) >= limit("R04.share")):
        return finding  # most episodes end alike: most likely there is no more to reach
    return dataclasses.replace(finding, severity=WARN) if odd_settings(case, finding) else finding


def harmless(case: Case, finding: Finding) -> bool:
    """Whether the return shows that what `finding` claims does no harm."""
    returns = case.returns
    if finding.code == "L01" and finding.variant == "dead" and finding.excess > limit("mild_excess"):
        return False  # whatever the return does, it does without learning
    if returns.solved:
        return finding.variant != NEEDLESS or not odd_settings(case, finding)
    if not finding.demotable or (finding.code in _ARITHMETIC and finding.excess >= limit("setup_excess")):
        return False
    if returns.state == RISING:
        share = returns.share_of_goal
        return case.live or share is None or share >= case.least_share
    kept = returns.best - returns.final <= limit("kept_share") * max(returns.range, 1e-9)
    high = returns.best - returns.start > 10.0 * max(returns.noise, 1e-9)
    return (
        returns.state == PLATEAU and returns.solved is None and kept and high and finding.excess < limit("mild_excess")
    )
