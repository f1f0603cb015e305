"""What a look at an environment can find, by name, and how grave each is. The sentences are in texts.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ERROR, WARN, INFO = "error", "warn", "info"
GRAVITY = {ERROR: 20, WARN: 10, INFO: 0}

SEVERITY = {
    "cannot_be_made": ERROR,
    "contract": ERROR,
    "observation_space": ERROR,
    "action_space": ERROR,
    "not_finite": ERROR,
    "seed_ignored": WARN,
    "not_deterministic": WARN,
    "shared_state": WARN,
    "outside_bounds": WARN,
    "no_end": WARN,
    "time_limit_terminated": WARN,
    "resets_itself": WARN,
    "reward_huge": WARN,
    "reward_constant": WARN,
    "observation_huge": WARN,
    "reward_large": INFO,
    "observation_large": INFO,
    "observation_constant": INFO,
    "reward_small": INFO,
    "action_range": INFO,
    "action_unbounded": WARN,
    "float64": INFO,
    "same_start": INFO,
    "reused_array": INFO,
    "not_picklable": WARN,
    "slow": INFO,
    "no_state": INFO,
}
"""Errors: it cannot be trained. Warnings: it can, and something will probably go wrong. The rest is worth knowing."""


@dataclass(frozen=True)
class Finding:
    """One thing found, with the numbers that its sentence names."""

    name: str
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> str:
        """error, warn or info."""
        return SEVERITY[self.name]


@dataclass(frozen=True)
class Report:
    """What was found in one environment, gravest first, and what was measured on the way."""

    env: str
    findings: list[Finding]
    measured: dict[str, Any]

    @property
    def exit_code(self) -> int:
        """0 nothing above a remark, 10 warnings, 20 errors: as of upswing plan and doctor."""
        return max((GRAVITY[finding.severity] for finding in self.findings), default=0)
