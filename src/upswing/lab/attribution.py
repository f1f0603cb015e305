"""Why settings differ: what a setting does by itself, what it changes by arithmetic, and which control would tell them apart.

n_envs, n_steps, batch_size and n_epochs also change how often a fixed budget updates the policy. A difference in the
result may be due to that alone. It is due to the setting itself only as far as it stays when gradient steps are equal.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from upswing.lab.gather import Gathered, Setting, differing, plain_setting
from upswing.lab.pairs import HIGHER, LOWER, NO_DIFFERENCE, TOO_FEW, Pair, pair_of
from upswing.lab.statistics import seeds_needed

COUNTS = ("total", "iterations", "gradient_steps", "evaluations", "pool", "batch_size", "n_minibatches")
"""Numbers that follow from settings, in the order in which they are shown."""
MECHANISMS = ("iterations", "gradient_steps", "evaluations")
UPDATES = ("gradient_steps", "iterations")  # a control equates the first of them that differs
CLOSE = 1.1  # within a tenth counts as equal


@dataclass(frozen=True)
class Statement:
    """A sentence as a key of the texts, what fills it, and a command where one would settle a question."""

    key: str
    values: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None


@dataclass(frozen=True)
class Ratio:
    """A number that follows from the settings, beside the reference's."""

    what: str
    reference: float
    value: float

    @property
    def moved(self) -> bool:
        """Whether it differs by more than a tenth."""
        low, high = sorted((self.reference, self.value))
        return high > CLOSE * low


def ratios(reference: Setting, setting: Setting) -> list[Ratio]:
    """The counts of `setting` that are known in both, beside those of `reference`."""
    pairs = ((what, reference.count(what), setting.count(what)) for what in COUNTS)
    return [Ratio(what, ours, theirs) for what, ours, theirs in pairs if ours is not None and theirs is not None]


def attribute(gathered: Gathered, reference: Setting, pair: Pair) -> list[Statement]:
    """What may be said about why `pair.setting` and the reference differ, or do not."""
    setting = gathered.setting(pair.setting)
    fields = differing([reference.config, setting.config])
    moved = [r for r in ratios(reference, setting) if r.moved and r.what in MECHANISMS]
    statements = [Statement("effects", {"field": name}) for name in fields]
    if moved and fields:
        statements.append(Statement("arithmetic", {"ratios": moved}))
    return [*statements, *_conclusion(gathered, reference, setting, pair, fields, moved)]


def _conclusion(
    gathered: Gathered, reference: Setting, setting: Setting, pair: Pair, fields: list[str], moved: list[Ratio]
) -> list[Statement]:
    names = ", ".join(fields)
    if pair.claim == TOO_FEW:
        command = next_seeds(setting if len(setting.members) <= len(reference.members) else reference, pair.needed)
        return [Statement("open_seeds", {"n": pair.n_seeds, "needed": pair.needed}, command)]
    if pair.claim == NO_DIFFERENCE:
        return [Statement("none_shown")]
    if not fields:
        return [Statement("same_settings")]
    if len(fields) > 1:
        return [
            Statement("several", {"fields": names}, command_for(reference, {fields[0]: setting.config[fields[0]]})),
        ]
    if fields == ["total_timesteps"]:
        return [Statement("budget_only")]
    updates = next((r for what in UPDATES for r in moved if r.what == what), None)
    if updates is None:
        return [Statement("direct", {"fields": names})]
    fewer, more = (setting, reference) if updates.value < updates.reference else (reference, setting)
    better = setting if pair.claim == HIGHER else reference
    if better is fewer:
        return [Statement("despite", {"fields": names, "better": better.label, "what": updates.what})]
    control = find_control(gathered, fewer, more, updates.what)
    if control is None:
        return [open_control(fewer, more, names, updates.what)]
    return [with_control(gathered, fewer, more, control, names, updates.what)]


def find_control(gathered: Gathered, fewer: Setting, more: Setting, what: str) -> Setting | None:
    """The setting that is `fewer` with a budget that gives it as many of `what` as `more`; None if there is none."""
    for other in gathered.settings:
        if other is fewer or other is more:
            continue
        ours, theirs = other.count(what), more.count(what)
        if ours is None or theirs is None or max(ours, theirs) > CLOSE * min(ours, theirs):
            continue
        if differing([fewer.config, other.config]) == ["total_timesteps"]:
            return other
    return None


def open_control(fewer: Setting, more: Setting, names: str, what: str) -> Statement:
    """That the question is open, and the training that would answer it."""
    taken, wanted = fewer.count(what), more.count(what)
    values: dict[str, Any] = {"fields": names, "what": what, "steps": wanted, "fewer": fewer.label, "more": more.label}
    iterations, pool = fewer.count("iterations"), fewer.count("pool")
    command = None
    if taken and wanted and iterations and pool:
        values["total"] = round(iterations * wanted / taken) * pool
        command = study_for(fewer, names, int(values["total"]))
    return Statement("open_control" if command else "open_control_unknown", values, command)


def with_control(
    gathered: Gathered, fewer: Setting, more: Setting, control: Setting, names: str, what: str
) -> Statement:
    """What the control with equal gradient steps says about why `fewer` scores lower than `more`."""
    against, gained = pair_of(gathered, control, more), pair_of(gathered, control, fewer)
    values = {
        "fields": names,
        "what": what,
        "control": control.label,
        "more": more.label,
        "score": against.final.value,
        "reference_score": against.reference_final.value,
        "setting_score": gained.reference_final.value,
        "n": against.n_seeds,
    }
    if against.claim == TOO_FEW:
        return Statement("control_open", values, next_seeds(control, against.needed))
    if against.claim == LOWER:
        return Statement("direct_remains", values)
    return Statement("arithmetic_explains" if gained.claim == HIGHER else "control_undecided", values)


def command_for(setting: Setting, changes: Mapping[str, Any]) -> str | None:
    """A command that trains as the setting's first run did, with `changes`; None for another program's run."""
    member = setting.members[0]
    if member.series.source.name != "upswing":
        return None
    flags = [f"--{name.replace('_', '-')} {shlex.quote(plain_setting(value))}" for name, value in changes.items()]
    return " ".join(["upswing train --config", shlex.quote(str(member.path)), *flags])


def study_for(setting: Setting, field_name: str, total: int) -> str | None:
    """A command that trains five seeds of `setting` with a budget of `total` steps; None for another program's run."""
    member = setting.members[0]
    if member.series.source.name != "upswing":
        return None
    vary = f"{field_name}={plain_setting(setting.config[field_name])}"
    parts = ["upswing", "study", str(setting.config.get("env")), "--config", str(member.path), "--vary", vary]
    return shlex.join([*parts, "--total-timesteps", str(total), "--seeds", str(seeds_needed())])


def next_seeds(setting: Setting, needed: int) -> str | None:
    """A command that trains one more seed of `setting`; None for another program's run."""
    seeds = [m.series.setting("seed") for m in setting.members]
    known = [int(seed) for seed in seeds if isinstance(seed, int | float)]
    return command_for(setting, {"seed": max(known, default=-1) + 1}) if len(setting.members) < needed else None
