"""What the declarations themselves say about a setting or a metric, as short rows: unit, default, range, aggregation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from upswing.config import FIELDS, WORDS
from upswing.doctor.measured import Figure, measured, often_wrong
from upswing.explain.source import labels, terms
from upswing.metrics import METRICS, Band

Rows = tuple[tuple[str, str], ...]


def facts(topic: str, lang: str) -> Rows:
    """Rows (label, value) about a setting or a metric; () for other topics."""
    said, words = labels(lang)["text"], terms(lang)
    if topic in WORDS:
        return _setting(topic, said, words["unit"])
    return _metric(topic, said, words) if topic in METRICS else ()


def figures(code: str, lang: str) -> Rows:
    """Rows (label, value) with how often a rule was right in the doctor's benchmark; it says so where that is unknown."""
    said, found = labels(lang)["text"], measured(code)
    parts = (None, None) if found is None else found
    names = ("measured_precision", "measured_recall")
    rows = [(said[name], _measured(part, said)) for name, part in zip(names, parts, strict=True)]
    return (*rows, (said["measured_so"], said["measured_soft"])) if code in often_wrong() else tuple(rows)


def _measured(part: Figure | None, said: Mapping[str, str]) -> str:
    if part is None:
        return said["not_measured"]
    numbers = {"value": 100 * part.value, "low": 100 * part.low, "high": 100 * part.high, "n": part.n}
    return said["measured"].format(**numbers)


def written(value: Any) -> str:
    """A setting's value as one would write it: 0.0003, true, none, net_arch=[64, 64]."""
    if value is None or value == {}:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return " ".join(f"{key}={inner}" for key, inner in value.items())
    if isinstance(value, float):
        return f"{value:g}".replace("e-0", "e-")
    return getattr(value, "__qualname__", str(value))


def _setting(topic: str, said: Mapping[str, str], unit: Mapping[str, str]) -> Rows:
    word, field = WORDS[topic], FIELDS[topic]
    default = {} if field.default is dataclasses.MISSING else field.default
    rows = [(said["default"], " ".join((written(default), unit.get(word.unit, word.unit))).strip())]
    if word.sane:
        rows.append((said["usual"], "{:g} – {:g}".format(*word.sane)))
    if word.choices:
        rows.append((said["choices"], ", ".join(word.choices)))
    if word.aliases:
        rows.append((said["aliases"], ", ".join(word.aliases)))
    return tuple(rows)


def _metric(topic: str, said: Mapping[str, str], words: Mapping[str, Mapping[str, str]]) -> Rows:
    metric = METRICS[topic]
    rows = [(said["aggregation"], words["aggregation"].get(metric.aggregation, metric.aggregation))]
    if metric.unit:
        rows.insert(0, (said["unit"], words["unit"].get(metric.unit, metric.unit)))
    if metric.band is not None:
        rows += [
            (said["band"], _span(metric.band)),
            (said["origin"], words["origin"].get(metric.band.origin, metric.band.origin)),
        ]
    return tuple(rows)


def _span(band: Band) -> str:
    low, high = ("" if end is None else f"{end:g}" for end in (band.low, band.high))
    return f"{low} – {high}".strip()
