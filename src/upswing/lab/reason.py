"""What the doctor gives as the reason why a setting failed. One rule, wherever it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from upswing.doctor.diagnose import Diagnosis
from upswing.doctor.findings import SEVERITY, Card


@dataclass(frozen=True)
class Reason:
    """What the doctor says first of most runs of a setting."""

    code: str
    diagnosis: Diagnosis  # of the first run of which it says so
    card: Card  # there
    n: int  # runs of which it says so
    of: int  # runs that it saw


def reason_of(diagnoses: Sequence[Diagnosis]) -> Reason | None:
    """The first card above a remark that most of the runs have; the graver one where two are as frequent.

    None where less than half of the runs share one: what befell a few is no reason for the setting.
    """
    firsts = [(diagnosis, diagnosis.grave[0]) for diagnosis in diagnoses if diagnosis.grave]
    found: dict[str, list[tuple[Diagnosis, Card]]] = {}
    for diagnosis, card in firsts:
        found.setdefault(card.code, []).append((diagnosis, card))
    most = max(found.values(), key=lambda seen: (len(seen), SEVERITY[seen[0][1].severity]), default=[])
    if not most or 2 * len(most) < len(diagnoses):
        return None
    diagnosis, card = most[0]
    return Reason(card.code, diagnosis, card, len(most), len(diagnoses))
