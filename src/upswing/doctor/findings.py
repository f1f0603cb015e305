"""What a rule can answer. Texts are kept apart (texts/): an answer holds keys and numbers only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

INFO, WARN, ERROR = "info", "warn", "error"
SEVERITY = {INFO: 1, WARN: 2, ERROR: 3}

BUG, WORLD, SCALE, OPTIMISATION, OUTCOME, SPEED, SETUP = range(7)
"""Families of rules in the order of suspicion: bugs first, then environment and reward, scales, optimisation, …"""


class Evidence(NamedTuple):
    """A measured number beside the threshold it crossed."""

    what: str  # a metric's tag, a setting's name, or a key of the texts
    value: float
    relation: str = ""  # ">", "<", "=" between value and limit
    limit: float | None = None
    origin: str | None = None  # key of the sentence that says where the limit comes from
    span: tuple[int, int] | None = None  # environment steps over which the value was taken


class Suspect(NamedTuple):
    """A possible cause, and how strongly the rule suspects it before looking at the settings (0 to 1)."""

    cause: str
    weight: float


class Change(NamedTuple):
    """An exact change of one setting."""

    field: str
    old: Any
    new: Any
    in_flight: bool = False  # can be made while the training goes on


class Ranked(NamedTuple):
    """A cause as the diagnosis ranks it, with the change it asks for."""

    cause: str
    confidence: float
    change: Change | None = None


@dataclass(frozen=True)
class Finding:
    """Something a rule found."""

    code: str
    severity: str
    confidence: float  # that what is claimed is so, 0 to 1
    values: Mapping[str, Any] = field(default_factory=dict)  # for the claim's text
    evidence: tuple[Evidence, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    onset_step: int | None = None
    variant: str = ""  # which of the code's claims, where it has several
    demotable: bool = True  # a rising return makes a mere remark of it
    excess: float = 1.0  # how many times over its threshold


@dataclass(frozen=True)
class Passed:
    """A rule looked and found nothing."""

    code: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class NotChecked:
    """A rule could not look, and why: a key of the texts, and what was missing."""

    code: str
    reason: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotApplicable:
    """A rule's question makes no sense for this run, and why."""

    code: str
    reason: str


Outcome = Finding | Passed | NotChecked | NotApplicable


@dataclass(frozen=True)
class Card:
    """One root cause: the finding that shows it best, its symptoms folded under it, causes and changes in order."""

    finding: Finding
    symptoms: tuple[Finding, ...] = ()
    causes: tuple[Ranked, ...] = ()

    @property
    def code(self) -> str:
        """The code of the finding that stands for the card."""
        return self.finding.code

    @property
    def severity(self) -> str:
        """The gravest severity on the card."""
        return max((f.severity for f in (self.finding, *self.symptoms)), key=SEVERITY.__getitem__)

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes that its causes ask for, in their order, each once."""
        found: dict[str, Change] = {}
        for cause in self.causes:
            if cause.change is not None:
                found.setdefault(cause.change.field, cause.change)
        return tuple(found.values())


def worst(findings: Sequence[Finding | Card]) -> str | None:
    """The gravest severity among `findings`; None where there is none."""
    return max((f.severity for f in findings), key=SEVERITY.__getitem__, default=None)
