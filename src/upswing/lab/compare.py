"""Several settings compared: scores with intervals, what they cost, which failed and why, and what may be concluded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from upswing.doctor.stats import median
from upswing.lab.attribution import COUNTS, UPDATES, Statement, attribute, find_control
from upswing.lab.gather import Gathered, Member, Setting, Told, differing, gather
from upswing.lab.losses import Jitter, Level, always_near_zero, jitters
from upswing.lab.pairs import Pair, pairs_of, scores_of
from upswing.lab.reason import Reason, reason_of
from upswing.lab.statistics import Interval, interval, mean_height, time_to
from upswing.lab.verdict import LEARNED, Verdict, verdicts

SHARE = 0.9  # of the way from the untrained policy to the best setting: the default threshold


@dataclass(frozen=True)
class Row:
    """A setting in the comparison."""

    setting: Setting
    scores: np.ndarray  # [N], in the order of its runs
    verdict: Verdict
    reason: Reason | None
    height: Interval  # return averaged over the steps that all settings took: sample efficiency
    reached: int  # runs whose return reached the threshold
    steps_to: float  # median over its runs; infinity where most did not reach it
    seconds_to: float
    wall_s: float  # median over its runs
    speed: float  # steps per second, median

    @property
    def label(self) -> str:
        """The setting's name."""
        return self.setting.label


@dataclass(frozen=True)
class Difference:
    """A setting, or a number that follows from settings, that is not the same everywhere."""

    name: str
    values: tuple[Any, ...]  # one a setting
    derived: bool


@dataclass(frozen=True)
class Comparison:
    """Everything a comparison says."""

    gathered: Gathered
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    threshold: float
    differences: tuple[Difference, ...]
    statements: tuple[tuple[str, tuple[Statement, ...]], ...]  # by setting: why it differs from the reference
    policy_loss: tuple[tuple[str, Level], ...]  # settings whose policy loss was near 0 all along
    value_jitter: tuple[Jitter, ...]

    def row(self, label: str) -> Row:
        """The row of the setting called `label`."""
        return next(row for row in self.rows if row.label == label)

    def pair(self, label: str) -> Pair | None:
        """The setting called `label` against the reference; None for the reference itself."""
        return next((pair for pair in self.pairs if pair.setting == label), None)

    def to_json(self, lang: str = "en") -> dict[str, Any]:
        """The comparison as JSON values, its texts in `lang`."""
        from upswing.lab.structured import comparison_json

        return comparison_json(self, lang)


def compare(
    paths: Sequence[str],
    *,
    reference: str | None = None,
    threshold: float | None = None,
    told: Told = lambda paths: paths,
) -> Comparison:
    """The comparison of the runs, folders of runs, study or logs at `paths`.

    `reference` names the setting that the others are held against, by default the first; `threshold` is the return for
    the time to threshold. Raises UserError where nothing can be read, or nothing compared.
    """
    return compared(gather(paths, reference, told), threshold)


def compared(gathered: Gathered, threshold: float | None = None) -> Comparison:
    """The comparison of what was gathered."""
    settings = gathered.settings
    scores = [scores_of(gathered, setting) for setting in settings]
    found = verdicts(scores, gathered.untrained)
    goal = default_threshold(settings) if threshold is None else threshold
    pairs, statements = tuple(pairs_of(gathered)), []
    reference = gathered.setting(gathered.reference)
    others = [setting for setting in settings if setting is not reference]
    both = [pair for other in others for pair in ((other, reference), (reference, other))]
    controls = [find_control(gathered, *pair, what) for pair in both for what in UPDATES]
    for pair in pairs:
        setting = gathered.setting(pair.setting)
        if setting.control_of is None and setting not in controls:
            statements.append((setting.label, tuple(attribute(gathered, reference, pair))))
    shared = min((m.series.steps[-1] for m in gathered.members), default=0.0)
    return Comparison(
        gathered,
        tuple(row_of(*each, goal, shared) for each in zip(settings, scores, found, strict=True)),
        pairs,
        goal,
        tuple(differences(settings)),
        tuple(statements),
        tuple((s.label, level) for s in settings if (level := always_near_zero(s))),
        tuple(jitters(settings, gathered.reference)),
    )


def row_of(setting: Setting, scores: np.ndarray, verdict: Verdict, threshold: float, shared: float) -> Row:
    """One setting's figures; `shared` is the number of steps that every run took."""
    heights, steps, seconds = [], [], []
    for member in setting.members:
        x, y = member.curve()
        heights.append(mean_height(x[x <= shared * 1.001], y[x <= shared * 1.001]))
        at = time_to(threshold, x, y)
        steps.append(at)
        seconds.append(seconds_at(member, at))
    finite = [height for height in heights if math.isfinite(height)]
    return Row(
        setting,
        scores,
        verdict,
        reason_of(setting.diagnoses) if verdict.state != LEARNED else None,
        interval(finite) if finite else Interval(math.nan, math.nan, math.nan),
        sum(map(math.isfinite, steps)),
        float(np.median(steps)),
        float(np.median(seconds)),
        median(np.array([wall_time(m) for m in setting.members])),
        median(np.array([median(m.series.column("time/fps")) for m in setting.members])),
    )


def default_threshold(settings: Sequence[Setting]) -> float:
    """What the task's goal is where it is known and reached, else nine tenths of the way to the best setting's return."""
    members = [member for setting in settings for member in setting.members]
    goals = {m.returns.solved_at for m in members if m.returns.solved_at is not None}
    tops = [median(np.array([m.returns.best for m in setting.members])) for setting in settings]
    top = max((each for each in tops if math.isfinite(each)), default=math.nan)
    if len(goals) == 1 and not top < (goal := next(iter(goals))):
        return goal
    start = median(np.array([m.returns.start for m in members]))
    return start + SHARE * (top - start)


def seconds_at(member: Member, step: float) -> float:
    """Wall-clock seconds after which `member` had taken `step` steps; infinity for a step never reached, NaN if unknown."""
    if not math.isfinite(step):
        return math.inf
    known = np.isfinite(member.seconds)
    if not known.any():
        return math.nan
    return float(np.interp(step, member.series.steps[known], member.seconds[known]))


def wall_time(member: Member) -> float:
    """Seconds that the run took: everything where its study knows it, else up to its last record."""
    if member.record is not None and member.record.costs.wall_time_s is not None:
        return member.record.costs.wall_time_s
    known = member.seconds[np.isfinite(member.seconds)]
    return float(known[-1]) if len(known) else math.nan


def differences(settings: Sequence[Setting]) -> list[Difference]:
    """What is not the same in all settings: what was set first, then the counts that follow."""
    names = differing([setting.config for setting in settings])
    found = [Difference(name, tuple(s.config[name] for s in settings), False) for name in names]
    for what in COUNTS:
        values = tuple(setting.count(what) for setting in settings)
        if what not in names and any(value != values[0] for value in values):
            found.append(Difference(what, values, True))
    return found
