"""What the doctor says, in English and Chinese. Rules answer with keys and numbers; here they become sentences."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class RuleText:
    """What is said about one rule."""

    title: str  # two to five words
    claims: Mapping[str, str]  # by variant, "" being the only one or the usual one
    disproof: str  # what would show that the claim, or its meaning, is wrong
    passed: str  # what a run without the fault has shown


@dataclass(frozen=True)
class Texts:
    """All texts in one language."""

    rules: Mapping[str, RuleText]
    causes: Mapping[str, str]
    measures: Mapping[str, str]  # names of figures that have no metric's tag
    origins: Mapping[str, str]  # where a threshold comes from
    reasons: Mapping[str, str]  # why a rule did not look, or does not apply
    notes: Mapping[str, str]  # how a log was read
    words: Mapping[str, str]  # the rest of the card
    plan: Mapping[str, str]
    actions: Mapping[str, str]  # of the autopilot


def texts(lang: str) -> Texts:
    """The texts in `lang`, "en" or "zh"."""
    if lang == "zh":
        from upswing.doctor.texts.zh import ZH

        return ZH
    from upswing.doctor.texts.en import EN

    return EN


class _Filler(string.Formatter):
    """str.format in which a value that is not known becomes a dash."""

    def get_value(self, key: Any, args: Any, kwargs: Any) -> Any:
        return kwargs.get(key)

    def format_field(self, value: Any, format_spec: str) -> str:
        if value is None or (isinstance(value, float) and value != value):
            return "–"
        try:
            return (
                super().format_field(value, format_spec).replace("-", "−")
                if isinstance(value, int | float)
                else str(value)
            )
        except ValueError:
            return str(value)


def fill(template: str, values: Mapping[str, Any]) -> str:
    """`template` with its {names} replaced by `values`; a dash for what is not known."""
    return _Filler().vformat(template, (), dict(values))
