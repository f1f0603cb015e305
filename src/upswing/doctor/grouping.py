"""From findings to cards: one card per root cause, symptoms folded under it, causes in the order of likelihood.

A cause gathers support from every finding that suspects it, weighed by how much the settings speak for it. The best
supported cause takes all findings that suspect it onto one card; what is left forms the next card.
"""

from __future__ import annotations

from collections.abc import Sequence

from upswing.doctor.case import Case
from upswing.doctor.causes import CAUSES, ODD
from upswing.doctor.findings import BUG, INFO, OUTCOME, SETUP, SEVERITY, SPEED, Card, Change, Finding, Ranked
from upswing.doctor.reference import beside
from upswing.doctor.rules import BY_CODE

UNKNOWN_SETTING = 0.3  # how plausible a cause is on whose setting nothing is known: settings are mostly ordinary
SHOWN = 5  # causes on a card
CERTAIN = 0.9  # a cause this plausible explains whatever it can explain
_WEIGHT = {"error": 1.3, "warn": 1.0, "info": 0.25}
_FAMILY_LEAD = (1.3, 1.12, 1.06, 1.0)  # a bug comes first, then the environment, then scales


def plausibility(case: Case, cause: str) -> float:
    """How much the run's settings and figures speak for `cause`, 0 to 1."""
    value = CAUSES[cause].plausible(case)
    likelihood = UNKNOWN_SETTING if value is None else value
    return likelihood if case.reference is None else beside(case.reference, likelihood, CAUSES[cause].change(case))[0]


def change_for(case: Case, cause: str) -> Change | None:
    """The exact change against `cause`: to the reference's value, where it has the better one."""
    return beside(case.reference, 0.0, CAUSES[cause].change(case))[1]


def odd_settings(case: Case, finding: Finding) -> list[str]:
    """The suspects of `finding` whose own setting is known and far from what recipes have."""
    named = (s.cause for s in finding.suspects if CAUSES[s.cause].by_setting)
    return [cause for cause in named if (CAUSES[cause].plausible(case) or 0.0) >= ODD]


def make_cards(case: Case, findings: Sequence[Finding]) -> list[Card]:
    """The cards that `findings` make: the gravest first, bugs before others, then the best supported cause. Remarks that fit on no card of a grave finding stand alone."""
    grave = [finding for finding in findings if finding.severity != INFO]
    remarks = [finding for finding in findings if finding.severity == INFO]
    likely = {s.cause: plausibility(case, s.cause) for finding in findings for s in finding.suspects}
    cards: list[Card] = []
    while grave:
        support = _support(grave, likely)
        cause = max(support, key=lambda name: support[name], default=None)
        folded = [f for f in grave if _blames(f, cause, likely) or (not cards and _is_symptom(f))] or grave[:1]
        grave = [f for f in grave if f not in folded]
        main = min(folded, key=lambda f: (-SEVERITY[f.severity], _place(f), -_strength(f, cause, likely)))
        symptoms = [f for f in folded if f is not main]
        beside = [f for f in remarks if _blames(f, cause, likely)]
        remarks = [f for f in remarks if f not in beside]
        cards.append(Card(main, tuple(symptoms + beside), _ranked(case, [main, *symptoms], support, likely)))
    for finding in remarks:
        support = _support([finding], likely)
        cards.append(Card(finding, (), _ranked(case, [finding], support, likely)))
    return sorted(cards, key=lambda card: (-SEVERITY[card.severity], BY_CODE[card.code].family != BUG, _spare(card)))


def _spare(card: Card) -> bool:
    """Whether a card is about looking at the training, which can wait until the training itself is mended."""
    return card.code in ("S05", "R03")


def _is_symptom(finding: Finding) -> bool:
    """Whether a finding says what came of a fault, or hints at one because of that: it goes onto the first card."""
    return finding.code in ("R01", "R02") or _is_hint(finding)


def _is_hint(finding: Finding) -> bool:
    return finding.code in ("P10", "T03") or (finding.code == "T02" and finding.variant in ("short", "lambda", "far"))


def _place(finding: Finding) -> int:
    """Where a finding stands in the order of suspicion: outcomes and speeds are symptoms and come last."""
    family = BY_CODE[finding.code].family
    if _is_hint(finding):
        return 9
    return {SETUP: 2, OUTCOME: 8, SPEED: 10}.get(family, family if family < 2 else 3)


def _support(findings: Sequence[Finding], likely: dict[str, float]) -> dict[str, float]:
    """How much all `findings` together speak for each cause."""
    support: dict[str, float] = {}
    for finding in findings:
        for suspect in finding.suspects:
            lead = _FAMILY_LEAD[CAUSES[suspect.cause].family]
            amount = (
                _WEIGHT[finding.severity] * finding.confidence * suspect.weight * odds(likely[suspect.cause]) * lead
            )
            support[suspect.cause] = support.get(suspect.cause, 0.0) + amount
    return support


def odds(likelihood: float) -> float:
    """Likelihood as odds, p / (1 - p), at most 12: a setting that is all but surely wrong outweighs several that may be."""
    return min(12.0, likelihood / max(1e-6, 1.0 - likelihood))


def _strength(finding: Finding, cause: str | None, likely: dict[str, float]) -> float:
    return next((s.weight * likely[s.cause] for s in finding.suspects if s.cause == cause), 0.0)


def _blames(finding: Finding, cause: str | None, likely: dict[str, float]) -> bool:
    """Whether `cause` explains `finding`: it is suspected half as strongly as the best suspect, or all but certain."""
    best = max((s.weight * likely[s.cause] for s in finding.suspects), default=0.0)
    mine = _strength(finding, cause, likely)
    return mine > 0 and (mine >= 0.5 * best or likely[cause or ""] >= CERTAIN)


def _ranked(
    case: Case, findings: Sequence[Finding], support: dict[str, float], likely: dict[str, float]
) -> tuple[Ranked, ...]:
    """The causes of a card in the order of their support, with the changes they ask for."""
    causes = {s.cause for finding in findings for s in finding.suspects}
    total = sum(support[cause] for cause in causes) or 1.0
    ordered = sorted(causes, key=lambda cause: -support[cause])[:SHOWN]
    shares = [support[cause] / total for cause in ordered]
    top = max(shares[:1], default=0.0) or 1.0  # 0 where nothing speaks for any suspect
    return tuple(
        Ranked(cause, round(min(0.95, likely[cause] * (share / top) ** 0.5), 2), change_for(case, cause))
        for cause, share in zip(ordered, shares, strict=True)
        if share >= 0.05 * top
    )
