"""A trial in a terminal and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from upswing.doctor.autopilot import flag
from upswing.doctor.mechanisms import RETURN
from upswing.doctor.render.structured import change_json, plain
from upswing.doctor.render.worded import measure, setting_text
from upswing.doctor.texts import fill, texts
from upswing.lab.paired import Paired
from upswing.lab.texts.trial_words import TRIAL_WORDS
from upswing.lab.trial import Arm, Plan, Trial
from upswing.view.lines import ACCENT, DIM, GOOD, ODD, STRONG
from upswing.view.numbers import count, number
from upswing.view.plot import sparkline

CURVE = 40  # cells


def trial_json(trial: Trial, lang: str) -> dict[str, Any]:
    """The trial as JSON values."""
    plan = trial.plan
    return {
        "run": plan.run,
        "code": plan.code,
        "change": change_json(plan.change),
        "from_step": plan.start or 0,
        "from_start": plan.start is None,
        "onset_step": plan.onset,
        "updates": plan.updates,
        "steps": plan.steps,
        "seeds": len(trial.control),
        "confirmed": trial.confirmed,
        "mechanism": {
            "metric": trial.mechanism.name,
            "predicted": "rises" if trial.mechanism.direction > 0 else "falls",
            "as_predicted": trial.as_predicted,
            "difference_of": "logarithms" if trial.as_ratio else "values",
            **_figures(trial.moved, [arm.mechanism for arm in trial.control], [arm.mechanism for arm in trial.remedy]),
        },
        "return": {
            "outcome": trial.outcome,
            **_figures(trial.gained, [arm.score for arm in trial.control], [arm.score for arm in trial.remedy]),
        },
        "said": " ".join([verdict(trial, lang), *how(plan, len(trial.control), lang)]),
    }


def _figures(difference: Paired, control: list[float], remedy: list[float]) -> dict[str, Any]:
    told = {name: plain(value) for name, value in ends_of(difference).items()}
    return {"control": plain(control), "remedy": plain(remedy), "difference": told}


def ends_of(difference: Paired) -> dict[str, float]:
    """Value and ends of the interval by name."""
    return {"value": difference.value, "low": difference.low, "high": difference.high, "pairs": difference.n}


def how(plan: Plan, n_seeds: int, lang: str) -> list[str]:
    """Where the arms begin, and how long they train."""
    words = TRIAL_WORDS[lang]
    if plan.start is not None:
        key = "from_latest" if plan.onset is None else "from_checkpoint"
    else:
        key = "from_start_whole" if plan.whole else "from_start"
    values = {"step": count(plan.start or 0), "code": plan.code, "field": plan.change.field}
    length = {"n": n_seeds, "steps": count(plan.steps), "updates": count(plan.updates)}
    return [fill(words[key], values), fill(words["length"], length)]


def verdict(trial: Trial, lang: str) -> str:
    """Confirmed or not, and by what."""
    words, said = TRIAL_WORDS[lang], texts(lang)
    rises = trial.mechanism.direction > 0
    parts = [words["confirmed" if trial.confirmed else "not_confirmed"]]
    if trial.mechanism is not RETURN:
        moves = words[("rises" if rises else "falls") if trial.as_predicted else ("rise" if rises else "fall")]
        key = "moved" if trial.as_predicted else "not_moved"
        parts.append(fill(words[key], {"metric": measure(trial.mechanism.name, said), "moves": moves}))
    parts.append(words[trial.outcome])
    colon, comma, end = ("：", "；", "。") if lang == "zh" else (": ", "; ", ".")
    return parts[0] + colon + comma.join(parts[1:]) + end


def screen(trial: Trial, lang: str) -> RenderableType:
    """The whole picture."""
    words, said, plan = TRIAL_WORDS[lang], texts(lang), trial.plan
    values = {
        "field": plan.change.field,
        "old": setting_text(plan.change.old, said),
        "new": setting_text(plan.change.new, said),
        "code": plan.code,
        "title": said.rules[plan.code].title,
    }
    lines: list[RenderableType] = [
        Text.assemble((" Upswing ", ACCENT), (words["title"], STRONG), (f"  {plan.run}", DIM)),
        Text(" " + fill(words["question"], values), style=STRONG),
        *(Padding(Text(line, style=DIM), (0, 1)) for line in how(plan, len(trial.control), lang)),
        Text(""),
        Padding(_table(trial, lang), (0, 1)),
        Text(""),
        *_curves(trial, words),
        Text(""),
        Text.assemble((" ✔ ", GOOD) if trial.confirmed else (" ✘ ", ODD), (verdict(trial, lang), STRONG)),
    ]
    if trial.confirmed:
        command = f"upswing train --config {plan.run} {flag(plan.change)}"
        lines.append(Text(" " + fill(words["next"], {"command": command}), style="cyan"))
    elif len(trial.control) < 10:
        few = {"n": len(trial.control), "more": 10}
        lines.append(Text(" " + fill(words["few"], few), style=DIM))
    return Group(*lines)


def _table(trial: Trial, lang: str) -> RenderableType:
    words, said = TRIAL_WORDS[lang], texts(lang)
    table = Table(box=None, header_style=DIM, padding=(0, 2, 0, 0))
    table.add_column()
    for key in ("control", "remedy", "difference", "interval"):
        table.add_column(words[key], justify="right")
    rows = [(words["return"], trial.gained, "score")]
    if trial.mechanism is not RETURN:
        rows.insert(0, (measure(trial.mechanism.name, said), trial.moved, "mechanism"))
    for name, difference, field in rows:
        control, remedy = (_mean(arms, field) for arms in (trial.control, trial.remedy))
        value, low, high = _shown(difference, trial.as_ratio and field == "mechanism")
        table.add_row(Text(name, style="cyan"), number(control), number(remedy), value, f"{low} … {high}")
    return table


def _shown(difference: Paired, as_ratio: bool) -> list[str]:
    """Value and ends of an interval; those of logarithms as factors."""
    if as_ratio:
        return [f"× {number(math.exp(value))}" for value in difference[:3]]
    return [number(value) for value in difference[:3]]


def _mean(arms: Sequence[Arm], field: str) -> float:
    return float(np.mean([getattr(arm, field) for arm in arms]))


def _curves(trial: Trial, words: dict[str, str]) -> list[RenderableType]:
    """The return of each arm over the trial, the mean of its seeds, on one scale."""
    curves = [_curve(arms) for arms in (trial.control, trial.remedy)]
    low, high = min(min(curve) for curve in curves), max(max(curve) for curve in curves)
    table = Table.grid(padding=(0, 2))
    for name, curve, style in zip((words["control"], words["remedy"]), curves, (ODD, "cyan"), strict=True):
        drawn = sparkline([low, high, *curve], CURVE + 2)[2:] if high > low else sparkline(curve, CURVE)
        ends = f"{number(curve[0])} → {number(curve[-1])}"
        table.add_row(Text(name), Text(drawn, style=style), Text(ends, style=DIM))
    return [Text(f" {words['return']}", style=DIM), Padding(table, (0, 1))]


def _curve(arms: Sequence[Arm]) -> list[float]:
    """The mean curve of `arms` at CURVE points."""
    at = np.linspace(0.0, 1.0, CURVE)
    drawn = [np.interp(at, np.linspace(0.0, 1.0, len(arm.curve)), arm.curve) for arm in arms]
    return np.mean(drawn, axis=0).tolist()
