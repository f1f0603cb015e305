"""The curves of a comparison: for each metric and setting, its runs and their band on one axis, and the doctor's marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from upswing.doctor.stats import block_means
from upswing.lab.compare import Comparison
from upswing.lab.gather import Member, Setting
from upswing.lab.statistics import Band, curve_band

POINTS = 120  # of a curve, at most
WIDE = 300.0  # values that span more than this factor are shown on a logarithmic axis

PANELS = (
    ("return", "rollout/ep_rew_mean"),
    ("success", "eval/success_once"),
    ("eval_return", "eval/mean_reward"),
    ("eval_reward", "eval/reward"),
    ("kl", "train/approx_kl"),
    ("clip", "train/clip_fraction"),
    ("policy_loss", "train/policy_gradient_loss"),
    ("value_loss", "train/value_loss"),
    ("ev", "train/explained_variance"),
    ("entropy", "train/entropy_loss"),
    ("speed", "time/fps"),
)
"""What is drawn: a key of the texts (panel_…) and the metric's tag. The return is that of raw episodes where known."""


class Mark(NamedTuple):
    """Where the doctor first saw something in a setting's runs."""

    code: str
    step: float  # median over the runs in which it did
    runs: int


@dataclass(frozen=True)
class Curves:
    """One setting in one panel: its runs [N, U] and their band [U] over steps [U]."""

    setting: int  # its place in the comparison
    steps: np.ndarray
    runs: np.ndarray
    band: Band
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Panel:
    """One plot."""

    key: str
    tag: str
    curves: tuple[Curves, ...]
    logarithmic: bool


def panels(comparison: Comparison) -> list[Panel]:
    """The plots for which any run holds numbers."""
    found = []
    for key, tag in PANELS:
        drawn = [curves_of(i, row.setting, key, tag) for i, row in enumerate(comparison.rows)]
        curves = tuple(each for each in drawn if each is not None)
        if curves:
            found.append(Panel(key, tag, curves, wide(curves)))
    return found


def curves_of(place: int, setting: Setting, key: str, tag: str) -> Curves | None:
    """The runs of `setting` under `tag` on one axis, with their band; None where none holds numbers."""
    lines = [line for line in (points_of(member, key, tag) for member in setting.members) if len(line[0])]
    if not lines:
        return None
    first, last = max(x[0] for x, _ in lines), min(x[-1] for x, _ in lines)
    longest = max(lines, key=lambda line: len(line[0]))[0]
    steps = longest[(longest >= first) & (longest <= last)]
    if not len(steps):  # runs that do not overlap: those that reach furthest
        lines = [max(lines, key=lambda line: line[0][-1])]
        steps = lines[0][0]
    runs = np.stack([np.interp(steps, x, y) for x, y in lines])
    return Curves(place, steps, runs, curve_band(runs), marks_of(setting, key, tag))


def points_of(member: Member, key: str, tag: str) -> tuple[np.ndarray, np.ndarray]:
    """At most POINTS points of a run's curve: means of equally long stretches where it has more."""
    if key == "return" and len(member.returns.x):
        return member.returns.x, member.returns.y
    return block_means(member.series.steps, member.series.column(tag), POINTS)


def marks_of(setting: Setting, key: str, tag: str) -> tuple[Mark, ...]:
    """Where grave findings began: all of them on the return, and each on the metrics that are its evidence."""
    steps: dict[str, list[float]] = {}
    for member in setting.members:
        for card in member.diagnosis.grave:
            for finding in (card.finding, *card.symptoms):
                shown = key == "return" or any(evidence.what == tag for evidence in finding.evidence)
                if shown and finding.onset_step is not None and finding.severity != "info":
                    steps.setdefault(finding.code, []).append(float(finding.onset_step))
    return tuple(Mark(code, float(np.median(at)), len(at)) for code, at in steps.items())


def wide(curves: Sequence[Curves]) -> bool:
    """Whether all values are positive and span more than WIDE: then only a logarithmic axis shows them."""
    values = np.concatenate([each.runs.ravel() for each in curves])
    values = values[np.isfinite(values)]
    if not len(values) or values.min() <= 0:
        return False
    low, high = np.quantile(values, [0.02, 0.98])
    return bool(high > WIDE * low)
