"""A diagnosis in words of one language, ready to be laid out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from upswing.doctor.case import Case
from upswing.doctor.diagnose import Diagnosis
from upswing.doctor.findings import Card, Change, Evidence, Finding, NotApplicable, NotChecked
from upswing.doctor.measured import measured
from upswing.doctor.returns import FALLEN
from upswing.doctor.texts import Texts, fill, texts
from upswing.view.numbers import count, number


@dataclass(frozen=True)
class Curve:
    """A metric over the run."""

    x: np.ndarray
    y: np.ndarray
    limit: float | None = None
    onset: float | None = None  # step


@dataclass(frozen=True)
class EvidenceWords:
    """A measured number in words."""

    name: str
    value: str
    bound: str  # "< 0.05", or nothing
    origin: str
    span: str
    curve: Curve | None = None


@dataclass(frozen=True)
class CauseWords:
    """A cause in words, with its exact change."""

    key: str
    text: str
    percent: int
    change: str | None  # "learning_rate 0.0003 → 0.00015"
    when: str  # whether it can be changed while it trains


@dataclass(frozen=True)
class CardWords:
    """A card in words."""

    code: str
    severity: str
    severity_word: str
    title: str
    claim: str
    certainty: str
    since: str
    evidence: tuple[EvidenceWords, ...]
    causes: tuple[CauseWords, ...]
    disproof: str
    symptoms: tuple[tuple[str, str, str], ...]  # code, title, claim
    read_on: str
    measured: str  # how often the rule is right


def card_words(case: Case, card: Card, lang: str) -> CardWords:
    """`card` in the words of `lang`."""
    said = texts(lang)
    finding = card.finding
    return CardWords(
        card.code,
        card.severity,
        said.words[f"severity_{card.severity}"],
        said.rules[card.code].title,
        claim(finding, said),
        fill(said.words["certain"], {"n": round(100 * finding.confidence)}),
        fill(said.words["since"], {"step": count(finding.onset_step)}) if finding.onset_step is not None else "",
        tuple(evidence_words(case, each, finding, said) for each in finding.evidence),
        tuple(
            CauseWords(
                cause.cause,
                said.causes[cause.cause],
                round(100 * cause.confidence),
                change_words(cause.change, said) if cause.change else None,
                when_words(case, cause.change, said),
            )
            for cause in card.causes
        ),
        said.rules[card.code].disproof,
        tuple((s.code, said.rules[s.code].title, claim(s, said)) for s in card.symptoms),
        fill(said.words["try"], {"code": card.code}),
        measured_words(card.code, said),
    )


def measured_words(code: str, said: Texts) -> str:
    """How often a rule was right in the benchmark."""
    found = measured(code)
    if found is None or found.precision is None:
        return said.words["not_measured"]
    return fill(said.words["measured"], {"precision": round(100 * found.precision.value)})


def when_words(case: Case, change: Change | None, said: Texts) -> str:
    """When a change can be made; nothing before a run starts."""
    if change is None or not case.n:
        return ""
    return said.words["in_flight" if change.in_flight else "restart"]


def claim(finding: Finding, said: Texts) -> str:
    """What is claimed, in one or two sentences."""
    claims = said.rules[finding.code].claims
    return fill(claims.get(finding.variant) or next(iter(claims.values())), finding.values)


def evidence_words(case: Case, evidence: Evidence, finding: Finding, said: Texts) -> EvidenceWords:
    """A measured number in words."""
    column = case.series.columns.get(evidence.what)
    curve = None
    if column is not None and np.isfinite(column).sum() >= 3:
        onset = None if finding.onset_step is None else float(finding.onset_step)
        curve = Curve(case.series.steps, column, evidence.limit, onset)
    span = "" if evidence.span is None else f"{count(evidence.span[0])} – {count(evidence.span[1])}"
    return EvidenceWords(
        measure(evidence.what, said),
        figure(evidence.value),
        f"{evidence.relation} {figure(evidence.limit)}" if evidence.limit is not None and evidence.relation else "",
        said.origins.get(evidence.origin, "") if evidence.origin else "",
        span,
        curve,
    )


def figure(value: float | None) -> str:
    """A measured number; whole ones without decimals."""
    if value is not None and abs(value) < 1e6 and float(value).is_integer():
        return count(value).replace("-", "−")
    return number(value)


def measure(what: str, said: Texts) -> str:
    """The name of a measured figure: the last part of its tag, or our name for it."""
    return said.measures.get(what) or what.split("/")[-1]


def change_words(change: Change, said: Texts) -> str:
    """`learning_rate 0.0003 → 0.00015`."""
    return f"{change.field} {setting_text(change.old, said)} → {setting_text(change.new, said)}"


def setting_text(value: Any, said: Texts) -> str:
    """A setting's value as one would write it."""
    if value is None:
        return said.words["unset"]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={inner}" for key, inner in value.items())
    return str(value)


def reason(answer: NotChecked | NotApplicable, said: Texts) -> str:
    """Why a rule did not look, or does not apply."""
    missing = ", ".join(answer.missing) if isinstance(answer, NotChecked) else ""
    return fill(said.reasons[answer.reason], {"missing": missing})


def run_line(diagnosis: Diagnosis, said: Texts) -> str:
    """How long the run is and what wrote it."""
    series = diagnosis.series
    steps = count(series.steps[-1]) if len(series) else "0"
    made = fill(said.words["steps"], {"steps": steps, "n": count(len(series))})
    return f"{series.source.name} · {made}"


def return_line(diagnosis: Diagnosis, said: Texts) -> str:
    """What the return does."""
    returns = diagnosis.case.returns
    state = said.words[f"state_{returns.state}"]
    if not np.isfinite(returns.start):
        return state
    since = returns.best if returns.state == FALLEN else returns.start
    return f"{state}: {number(since)} → {number(returns.final)}"


def log_notes(diagnosis: Diagnosis, said: Texts) -> list[str]:
    """What a reader should know about the log."""
    series = diagnosis.series
    notes = [fill(said.notes[note.key], note.values) for note in series.notes]
    return notes + [said.notes[key] for key in series.source.facts]


def counts_line(diagnosis: Diagnosis, said: Texts) -> str:
    """How many checks passed, could not be made, or do not apply."""
    words = said.words
    parts = (
        (len(diagnosis.passed), words["passed"]),
        (len(diagnosis.not_checked), words["not_checked"]),
        (len(diagnosis.not_applicable), words["not_applicable"]),
    )
    return " · ".join(f"{n} {word}" for n, word in parts if n)


def headline(diagnosis: Diagnosis, said: Texts) -> str:
    """How many findings there are."""
    n = len(diagnosis.grave)
    if not n:
        return said.words["healthy"]
    return said.words["found_one"] if n == 1 else fill(said.words["found"], {"n": n})
