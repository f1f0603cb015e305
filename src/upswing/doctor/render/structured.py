"""A diagnosis as JSON values, for programs: codes, numbers and exact changes, with the texts of one language beside."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from upswing.doctor.diagnose import Diagnosis
from upswing.doctor.findings import Card, Change, Evidence, Finding
from upswing.doctor.render.worded import card_words, claim, log_notes, measure, reason
from upswing.doctor.texts import texts


def diagnosis_json(diagnosis: Diagnosis, lang: str) -> dict[str, Any]:
    """Findings (one a card), what passed, what was not checked and why, and what does not apply."""
    said, series, returns = texts(lang), diagnosis.series, diagnosis.case.returns
    return {
        "run": series.name,
        "source": series.source.name,
        "iterations": len(series),
        "total_timesteps": int(series.steps[-1]) if len(series) else 0,
        "return": {
            "state": returns.state,
            "start": plain(returns.start),
            "best": plain(returns.best),
            "final": plain(returns.final),
            "solved": returns.solved,
        },
        "exit_code": diagnosis.exit_code,
        "findings": [card_json(diagnosis, card, lang) for card in diagnosis.cards],
        "passed": [answer.code for answer in diagnosis.passed],
        "not_checked": [
            {"code": a.code, "reason": reason(a, said), "missing": list(a.missing)} for a in diagnosis.not_checked
        ],
        "not_applicable": [{"code": a.code, "reason": reason(a, said)} for a in diagnosis.not_applicable],
        "notes": log_notes(diagnosis, said),
    }


def card_json(diagnosis: Diagnosis, card: Card, lang: str) -> dict[str, Any]:
    """One card: its main finding, the symptoms under it, causes and changes in order."""
    said, words = texts(lang), card_words(diagnosis.case, card, lang)
    return {
        **finding_json(card.finding, lang),
        "severity": card.severity,
        "causes": [
            {
                "cause": cause.cause,
                "text": text.text,
                "confidence": cause.confidence,
                "change": change_json(cause.change),
            }
            for cause, text in zip(card.causes, words.causes, strict=True)
        ],
        "changes": [change_json(change) for change in card.changes],
        "disproof": said.rules[card.code].disproof,
        "symptoms": [finding_json(symptom, lang) for symptom in card.symptoms],
    }


def finding_json(finding: Finding, lang: str) -> dict[str, Any]:
    """A finding without its causes."""
    said = texts(lang)
    return {
        "code": finding.code,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "onset_step": finding.onset_step,
        "title": said.rules[finding.code].title,
        "claim": claim(finding, said),
        "evidence": [evidence_json(each, lang) for each in finding.evidence],
    }


def evidence_json(evidence: Evidence, lang: str) -> dict[str, Any]:
    """A measured number, its threshold and where that comes from."""
    said = texts(lang)
    return {
        "metric": evidence.what,
        "name": measure(evidence.what, said),
        "value": plain(evidence.value),
        "relation": evidence.relation or None,
        "threshold": plain(evidence.limit),
        "origin": said.origins.get(evidence.origin) if evidence.origin else None,
        "window": list(evidence.span) if evidence.span else None,
    }


def change_json(change: Change | None) -> dict[str, Any] | None:
    """An exact change of one setting."""
    if change is None:
        return None
    return {"field": change.field, "old": plain(change.old), "new": plain(change.new), "in_flight": change.in_flight}


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: a number that is not finite becomes null, NumPy's numbers Python's."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, Iterable) and not hasattr(value, "item"):
        return [plain(inner) for inner in value]
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float) else str(value)
