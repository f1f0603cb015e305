"""Every rule of the doctor: a small pure function from a case to an answer."""

from upswing.doctor.rules import bugs, exploration, outcome, policy, setup, value, world
from upswing.doctor.rules.rule import Rule

RULES: tuple[Rule, ...] = (
    *bugs.RULES,
    *world.RULES,
    *value.RULES,
    *policy.RULES,
    *exploration.RULES,
    *setup.RULES,
    *outcome.RULES,
)
"""All rules, in the order of suspicion within each room."""

BY_CODE: dict[str, Rule] = {rule.code: rule for rule in RULES}

__all__ = ["BY_CODE", "RULES", "Rule"]
