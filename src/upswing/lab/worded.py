"""A comparison in sentences of one language, ready to be laid out in a terminal or on a page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from upswing.doctor.render.worded import claim, figure, setting_text
from upswing.doctor.texts import fill, texts
from upswing.lab.attribution import Statement
from upswing.lab.compare import Comparison, Difference, Row
from upswing.lab.gather import SUCCESS
from upswing.lab.statistics import Interval
from upswing.lab.texts import comparison_texts
from upswing.lab.verdict import FAILED, LEARNED
from upswing.view.numbers import count, duration, number, percent, rate


class Said(NamedTuple):
    """A sentence, and a command where one would settle what it leaves open."""

    text: str
    command: str | None = None


def score_text(value: float, measure: str) -> str:
    """A score as one reads it: success in per cent, returns as numbers."""
    if measure == SUCCESS and math.isfinite(value):
        return f"{100 * value:.0f} %".replace("-", "−")
    return figure(value)


def interval_text(interval: Interval, measure: str) -> str:
    """`367.0 [245.2 – 460.0]`; the value alone where one run tells no interval."""
    value = score_text(interval.value, measure)
    if not math.isfinite(interval.low):
        return value
    return f"{value} [{score_text(interval.low, measure)} – {score_text(interval.high, measure)}]"


def measure_name(comparison: Comparison, words: Mapping[str, str]) -> str:
    """What the score is called."""
    return words[f"score_{comparison.gathered.measure}"]


def summary(comparison: Comparison, lang: str) -> list[Said]:
    """The sentences that matter most: failures with their reasons, then each setting against the reference."""
    words = comparison_texts(lang)
    said = [sentence for row in comparison.rows for sentence in verdict_lines(comparison, row, lang)]
    if len(comparison.rows) == 1:
        return [*said, Said(fill(words["one_setting"], {"n": len(comparison.rows[0].scores)}))]
    return said + [Said(pair_line(comparison, pair.setting, words)) for pair in comparison.pairs]


def verdict_lines(comparison: Comparison, row: Row, lang: str) -> list[Said]:
    """What is said of a setting that failed or may have, and the doctor's reason."""
    if row.verdict.state == LEARNED or len(comparison.rows) == 1:
        return []
    words, measure = comparison_texts(lang), comparison.gathered.measure
    best = max(other.verdict.final.value for other in comparison.rows)
    none = best <= comparison.gathered.untrained
    key = "all_failed_line" if none else "failed_line" if row.verdict.state == FAILED else "suspected_line"
    told = {name: score_text(v, measure) for name, v in row.verdict.final._asdict().items()}
    values = {
        **told,
        "setting": row.label,
        "measure": measure_name(comparison, words),
        "bar": score_text(row.verdict.bar, measure),
        "untrained": score_text(comparison.gathered.untrained, measure),
        "best": score_text(best, measure),
        "n": len(row.scores),
    }
    return [Said(fill(words[key], values)), Said(reason_line(row, lang))]


def reason_line(row: Row, lang: str) -> str:
    """The doctor's reason for a setting's failure."""
    words, reason = comparison_texts(lang), row.reason
    if reason is None:
        return words["doctor_divided" if any(each.grave for each in row.setting.diagnoses) else "doctor_silent"]
    rules = texts(lang)
    values = {
        "n": reason.n,
        "of": reason.of,
        "code": reason.code,
        "title": rules.rules[reason.code].title,
        "claim": claim(reason.card.finding, rules),
    }
    return fill(words["doctor_line"], values)


def pair_line(comparison: Comparison, label: str, words: Mapping[str, str]) -> str:
    """A setting against the reference in a sentence."""
    pair, measure = comparison.pair(label), comparison.gathered.measure
    assert pair is not None
    told = {name: score_text(v, measure) for name, v in pair.difference._asdict().items()}
    sign = "+" if pair.difference.value > 0 else ""
    values = {
        "setting": pair.setting,
        "reference": pair.reference,
        "difference": sign + told["value"],
        "low": told["low"],
        "high": told["high"],
        "chance": percent(pair.improvement.value),
        "p": p_text(pair.p),
        "n": pair.n_seeds,
    }
    return fill(words[f"compare_{pair.claim}"], values)


def p_text(p: float) -> str:
    """A share of chance as per cents: 0.8 %, 47 %."""
    return f"{100 * p:.1f} %" if p < 0.1 else f"{100 * p:.0f} %"


def why(comparison: Comparison, lang: str) -> list[tuple[str, list[Said]]]:
    """For each setting, the sentences that say why it differs from the reference."""
    return [
        (label, [statement_words(comparison, label, statement, lang) for statement in statements])
        for label, statements in comparison.statements
    ]


def statement_words(comparison: Comparison, label: str, statement: Statement, lang: str) -> Said:
    """One sentence of an attribution."""
    words, values = comparison_texts(lang), dict(statement.values)
    if statement.key == "effects":
        name = values["field"]
        values["effect"] = words.get(f"effect_{name}") or fill(words["effect_unknown"], {"field": name})
    if statement.key == "arithmetic":
        listed = [
            fill(words["ratio"], {"what": words[r.what], "reference": count(r.reference), "value": count(r.value), "factor": factor(r.value, r.reference)})
            for r in values.pop("ratios")
        ]  # fmt: skip
        values |= {"setting": label, "list": words["comma"].join(listed)}
    if "what" in values:
        values["what"] = words[values["what"]]
    for name in ("steps", "total"):
        if name in values:
            values[name] = count(values[name])
    for name in ("score", "reference_score", "setting_score"):
        if name in values:
            values[name] = score_text(values[name], comparison.gathered.measure)
    return Said(fill(words[statement.key], values), statement.command)


def factor(value: float, reference: float) -> str:
    """`×8.2` or `÷8.2`."""
    if not value or not reference:
        return "–"
    return f"×{value / reference:.3g}" if value >= reference else f"÷{reference / value:.3g}"


def losses(comparison: Comparison, lang: str) -> list[str]:
    """What the loss curves say."""
    words, said = comparison_texts(lang), []
    if comparison.policy_loss:
        levels = [level for _, level in comparison.policy_loss]
        values = {
            "first": span([level.first for level in levels]),
            "last": span([level.last for level in levels]),
        }
        said.append(fill(words["policy_loss"], values))
    found = comparison.value_jitter
    if found:
        listed = [fill(words["jitter_one"], {"setting": j.setting, "value": p_text(j.jitter.value)}) for j in found]
        said.append(fill(words["jitter_line"], {"list": words["comma"].join(listed)}))
    reference = comparison.gathered.reference
    shown = [(j, "steadier" if j.steadier else "jumpier") for j in found if j.steadier or j.jumpier]
    said += [fill(words[f"jitter_{how}"], {"setting": j.setting, "reference": reference}) for j, how in shown]
    if len(found) > 1 and not shown and any(j.setting == reference for j in found):
        said.append(fill(words["jitter_undecided"], {"reference": reference}))
    return said


def span(values: list[float]) -> str:
    """`0.0119`, or `0.0004 – 0.0119` for several."""
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} – {high}"


def notes(comparison: Comparison, lang: str) -> list[str]:
    """What a reader should know about the runs."""
    words, gathered = comparison_texts(lang), comparison.gathered
    said = [fill(words["missing"], {"run": text}) for text in gathered.missing]
    for member in gathered.members:
        total = member.shape.total
        if total and len(member.series) and member.series.steps[-1] < 0.99 * total:
            values = {"run": member.name, "steps": count(member.series.steps[-1]), "total": count(total)}
            said.append(fill(words["unfinished"], values))
    if len(comparison.rows) > 1:
        terms: dict[str, Any] = {"measure": measure_name(comparison, words), "n": len(comparison.pairs)}
        said += [words["wall_note"], fill(words["definition"], terms)]
    return said


def difference_texts(difference: Difference, lang: str) -> tuple[str, list[str]]:
    """The name of what differs, and its value in each setting."""
    words = comparison_texts(lang)
    if not difference.derived:
        return difference.name, [setting_text(value, texts(lang)) for value in difference.values]
    return words[difference.name], [figure(value) for value in difference.values]


def to_threshold(row: Row, words: Mapping[str, str]) -> tuple[str, str]:
    """When the threshold was reached, in steps and in time; how many runs reached it where not all did."""
    steps = count(row.steps_to) if math.isfinite(row.steps_to) else words["never"]
    seconds = duration(row.seconds_to) if math.isfinite(row.seconds_to) else words["never"]
    if 0 < row.reached < len(row.scores):
        steps += f" ({fill(words['reached_of'], {'reached': row.reached, 'n': len(row.scores)})})"
    return steps, seconds


def row_texts(comparison: Comparison, row: Row, lang: str) -> dict[str, Any]:
    """The cells of a setting's row."""
    words, pair = comparison_texts(lang), comparison.pair(row.label)
    steps, seconds = to_threshold(row, words)
    claimed = words["reference"]
    if pair is not None:
        claimed = words[pair.claim]
    return {
        "label": row.label,
        "n": str(len(row.scores)),
        "final": interval_text(row.verdict.final, comparison.gathered.measure),
        "verdict": words[row.verdict.state] if len(comparison.rows) > 1 else "–",
        "chance": "–" if pair is None else interval_text(pair.improvement, SUCCESS),
        "claim": claimed,
        "p": "" if pair is None else p_text(pair.p),
        "height": number(row.height.value),
        "steps_to": steps,
        "seconds_to": seconds,
        "wall": duration(row.wall_s),
        "speed": rate(row.speed),
    }
