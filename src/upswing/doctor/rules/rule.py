"""What a rule is, and the few words that rules are written in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from upswing.doctor.case import Case, Stretch
from upswing.doctor.findings import Evidence, Finding, NotChecked, Outcome
from upswing.doctor.suspicions import suspects
from upswing.doctor.thresholds import limit, origin

Check = Callable[[Case], Outcome]


@dataclass(frozen=True)
class Rule:
    """One question to a run. Where a tag it needs was not logged, the answer is "not checked"."""

    code: str
    family: int  # place in the order of suspicion, see findings.py
    check: Check
    needs: tuple[str, ...] = ()  # tags; "a|b" where one of them is enough
    setup: bool = False  # needs no log: asked before a run starts too
    least: int = 3  # iterations without which nothing can be said

    def ask(self, case: Case) -> Outcome:
        """The rule's answer to `case`."""
        if self.setup:
            return self.check(case)
        missing = tuple(need for need in self.needs if not any(case.series.has(tag) for tag in need.split("|")))
        if missing:
            return NotChecked(self.code, "not_logged", tuple(need.replace("|", " / ") for need in missing))
        if case.n < self.least:
            return NotChecked(self.code, "too_short")
        return self.check(case)


def measured(
    case: Case, tag: str, name: str, relation: str, stretch: Stretch | None = None, scale: float = 1.0
) -> Evidence:
    """A metric's median (over `stretch`, else over the last window) beside the threshold called `name`."""
    value = case.value_at(tag, stretch) if stretch else case.now(tag)
    span = (stretch.onset, stretch.end) if stretch else (max(0, case.n - case.width), case.n - 1)
    where = (case.step(span[0]), case.step(span[1])) if case.n else None
    return Evidence(tag, value, relation, limit(name) * scale, origin(name), where)


def found(
    case: Case,
    code: str,
    severity: str,
    excess: float,
    evidence: Sequence[Evidence],
    stretch: Stretch | None = None,
    variant: str = "",
    demotable: bool = True,
    **values: object,
) -> Finding:
    """A finding. `excess` is how many times over its threshold the worst evidence lies, 1 being just there."""
    return Finding(
        code,
        severity,
        confidence(case, excess),
        values,
        tuple(evidence),
        suspects(code, variant),
        case.step(stretch.onset) if stretch and case.n else None,
        variant,
        demotable,
        float(excess),
    )


def confidence(case: Case, excess: float) -> float:
    """How sure a claim is: surer the further beyond its threshold, less so on few iterations or thin logs."""
    far = math.log2(max(1.0, excess)) / 3.0 if math.isfinite(excess) else 1.0
    least, most = (0.6, 0.95) if case.n else (0.75, 0.95)  # arithmetic on settings is surer than a noisy curve
    sure = least + (most - least) * min(1.0, far)
    if case.noisy > 1.0:
        sure -= 0.1
    if 0 < case.n < 20:
        sure -= 0.1
    return round(max(0.05, sure), 2)


def known(values: np.ndarray) -> np.ndarray:
    """Where `values` are numbers."""
    return np.isfinite(values)


def share_true(flags: np.ndarray, where: np.ndarray) -> float:
    """The share of `flags` among the places `where`; NaN where there are none."""
    return float((flags & where).sum() / where.sum()) if where.any() else float("nan")
