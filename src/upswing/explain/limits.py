"""The doctor's own thresholds, written into the texts of its rules: a page never states a number the doctor does not use."""

from __future__ import annotations

import re
from functools import cache
from types import SimpleNamespace
from typing import Any

from upswing.doctor.thresholds import TABLE


def filled(text: str, lang: str) -> str:
    """`text` with each {CODE.name} or {name} replaced by the doctor's threshold of that name, {…:.0%} as per cents."""
    told = text.format(**_limits()).replace("e-0", "e-")
    return re.sub(r"(?<=\d)%", " %", told) if lang == "en" else told


@cache
def _limits() -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for name, threshold in TABLE.items():
        code, dot, short = name.partition(".")
        if dot:
            setattr(limits.setdefault(code, SimpleNamespace()), short, threshold.value)
        else:
            limits[name] = threshold.value
    return limits
