"""How often each rule was right where that was measured: figures of `upswing doctor --benchmark`, kept in measured.json."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_name("measured.json")
LEAST_PRECISION = 0.8  # a rule that is right less often speaks in remarks alone


class Figure(NamedTuple):
    """A measured share with its 95 % interval, of `n` runs."""

    value: float
    low: float
    high: float
    n: int


class Measured(NamedTuple):
    """A rule's precision (of its warnings, how many were right) and recall (of its faults, how many it found)."""

    precision: Figure | None
    recall: Figure | None


@cache
def _rules() -> dict[str, Measured]:
    if not FILE.is_file():
        return {}
    rules = json.loads(FILE.read_text())["rules"]
    return {code: Measured(*(_figure(of.get(name)) for name in Measured._fields)) for code, of in rules.items()}


def _figure(value: dict[str, float] | None) -> Figure | None:
    return None if value is None else Figure(value["value"], value["low"], value["high"], int(value["n"]))


@cache
def often_wrong() -> frozenset[str]:
    """The rules that warned wrongly too often: they speak in remarks alone."""
    return frozenset(json.loads(FILE.read_text())["remarks_only"]) if FILE.is_file() else frozenset()


def measured(code: str) -> Measured | None:
    """The figures of rule `code`; None where it never fired in the benchmark and none of its faults was tried."""
    return _rules().get(code)
