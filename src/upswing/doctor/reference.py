"""What a run is compared with: a return known to be reachable, or a run that reached it.

One log alone cannot tell a low plateau from all that a task allows. A reference can; and where it is a run, its settings
say what is suspicious: a cause whose setting both runs share explains no difference between them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from upswing.config import WORDS
from upswing.doctor.findings import Change
from upswing.doctor.returns import UNKNOWN, returns_of
from upswing.doctor.series import Series
from upswing.doctor.shape import first_number
from upswing.errors import UserError

DIFFERS, SHARED = 0.8, 0.5
"""How likely at least a cause is whose setting differs from the reference's in its direction, and what a shared one keeps."""

COMPARED = (
    "n_envs", "n_steps", "policy_kwargs", "normalize_obs", "normalize_reward",
    *(name for name, word in WORDS.items() if word.group == "Learning"),
)  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """A return that is known to be reachable, and the settings of the run that reached it."""

    reached: float
    settings: Mapping[str, Any] = field(default_factory=dict)  # none where only the return is known
    start: float | None = None  # the return before anything was learned


def reference_of(given: float | Series) -> Reference:
    """The reference that a return or a run makes. Raises UserError for a return that is no finite number, and for a run
    whose return is not known."""
    if not isinstance(given, Series):
        if not math.isfinite(given):
            raise UserError(f"The reference {given} is not a return that a run could reach: give a finite number.")
        return Reference(float(given))
    returns = returns_of(given)
    if returns.state == UNKNOWN:
        raise UserError(
            "The reference has too few episodes to tell what return it reached: name a longer run or a number."
        )
    return Reference(returns.reached, given.config, returns.start)


def beside(reference: Reference | None, likelihood: float, change: Change | None) -> tuple[float, Change | None]:
    """A cause's `likelihood` and `change` beside a reference: what both runs share is suspected less, and a difference in
    the direction of the change more, which then is to the reference's value."""
    if reference is None or change is None or change.field not in reference.settings:
        return likelihood, change
    theirs = reference.settings[change.field]
    if theirs == change.old or not _same_way(change, theirs):
        return SHARED * likelihood, change
    return max(likelihood, DIFFERS), change._replace(new=theirs)


def _same_way(change: Change, theirs: Any) -> bool:
    """Whether `theirs` lies on the side of the old value to which the change goes; True where that cannot be told."""
    old, new, other = (first_number(value, change.field) for value in (change.old, change.new, theirs))
    return None in (old, new, other) or (new - old) * (other - old) > 0  # type: ignore[operator]


def same_settings(reference: Reference | None, settings: Mapping[str, Any]) -> bool:
    """Whether a run with `settings` differs from the reference in nothing that learning depends on."""
    if reference is None or not reference.settings:
        return False
    shared = [name for name in COMPARED if name in settings and name in reference.settings]
    return bool(shared) and all(settings[name] == reference.settings[name] for name in shared)
