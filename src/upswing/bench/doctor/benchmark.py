"""The whole benchmark: train, judge, follow the advice, and gather the figures."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upswing.bench.doctor import rivals, sb3
from upswing.bench.doctor.advice import Remedied, followed, remedied
from upswing.bench.doctor.corpus import Run, Size, runs
from upswing.bench.doctor.evaluate import in_parallel, judge_all
from upswing.bench.doctor.figures import Headline, Judged, RuleFigures, headline, rule_figures
from upswing.bench.doctor.limit import within_limit
from upswing.bench.doctor.tasks import REPORTING, TUNING
from upswing.bench.doctor.verdicts import Verdict, beside_healthy, doctor, first_seen, judges
from upswing.bench.doctor.work import train_all
from upswing.cores import usable_cores
from upswing.doctor.findings import SETUP
from upswing.doctor.measured import LEAST_PRECISION
from upswing.doctor.rules import BY_CODE

Tell = Callable[[str], None]
LEAST_WARNINGS = 3  # fewer say nothing about a rule


@dataclass(frozen=True)
class Results:
    """Everything the benchmark found."""

    size: Size
    judged: Mapping[
        str, Sequence[Judged]
    ]  # by judge; "doctor" speaks as the tuning half taught it, "shipped" as all did
    outcomes: Mapping[Run, Mapping[str, Any] | None]
    rules: Mapping[str, RuleFigures]  # over all runs, before any rule was made to speak softly
    tuned_soft: frozenset[str]  # rules that the tuning half shows to be wrong too often
    soft: frozenset[str]  # rules that all runs show to be
    remedied: Remedied  # on tasks of the reporting half
    remedied_all: Remedied
    seen: Mapping[Run, float | None]  # harmed runs: the share of the run after which the doctor would have warned
    foreign: Mapping[str, rivals.ForeignFigures]  # by judge, on Stable-Baselines3's logs

    def figures(self, judge: str, half: str | None = None) -> Headline:
        """The headline of a judge, over one half or over everything."""
        return headline([each for each in self.judged[judge] if half is None or each.run.half == half])

    def unseen(self, judge: str) -> Headline:
        """The headline of a judge over the tasks of the reporting half, whatever the fault."""
        return headline([each for each in self.judged[judge] if each.run.task.half == REPORTING])


def benchmark(
    size: Size, folder: Path, tell: Tell, processes: int | None = None, foreign: bool = True, train: bool = True
) -> Results:
    """The results of a benchmark whose trainings are kept in `folder`: one that was interrupted goes on.

    Without `train`, the results as far as trainings are there.
    """
    n = processes or usable_cores()
    outcomes = train_all(runs(size), folder, _told(tell, "trained"), n, train)
    tell("judging")

    @functools.cache
    def speaking(remarks_only: frozenset[str]) -> list[Judged]:
        return judge_all(outcomes, folder, functools.partial(doctor, remarks_only=remarks_only), n)

    raw = speaking(frozenset())
    rules = rule_figures(raw)
    tuned_soft = wrong_too_often(rule_figures([each for each in raw if each.run.half == TUNING]))
    tuned = functools.partial(doctor, remarks_only=tuned_soft)
    judged: dict[str, Sequence[Judged]] = {
        "doctor": speaking(tuned_soft),
        "shipped": speaking(wrong_too_often(rules)),
        "beside": judge_all(outcomes, folder, functools.partial(beside_healthy, remarks_only=tuned_soft), n),
    }
    for name, judge in judges().items():
        if name != "doctor":
            judged[name] = judge_all(outcomes, folder, judge, n)
            judged[f"{name} within"] = within_limit(judged[name])
    harmed = [each for each in judged["doctor"] if each.harmed]
    again = dict.fromkeys(run for each in harmed if (run := followed(each)) is not None)
    after = train_all(again, folder, _told(tell, "trained with the advice"), n, train)
    treated = [each for each in harmed if (run := followed(each)) is None or run in after]
    tell("looking for the first sign")
    seen = in_parallel(first_seen, [folder / each.run.name for each in harmed], n)
    return Results(
        size,
        judged,
        outcomes,
        rules,
        tuned_soft,
        wrong_too_often(rules),
        remedied([each for each in treated if each.run.task.half == REPORTING], outcomes, after),
        remedied(treated, outcomes, after),
        dict(zip((each.run for each in harmed), seen, strict=True)),
        _foreign(folder / "stable-baselines3", tuned, tell, n, train) if foreign else {},
    )


def wrong_too_often(rules: Mapping[str, RuleFigures]) -> frozenset[str]:
    """The rules whose warnings are right in less than 80 % of the runs, where there were enough warnings to tell.

    Rules about the set-up are left out: what they say is arithmetic, true whether the return suffers or not.
    """
    return frozenset(
        code
        for code, found in rules.items()
        if BY_CODE[code].family != SETUP
        and found.precision.n >= LEAST_WARNINGS
        and found.precision.value < LEAST_PRECISION
    )


def _foreign(
    folder: Path, tuned: Callable[[Path], Verdict], tell: Tell, processes: int, train: bool
) -> Mapping[str, rivals.ForeignFigures]:
    if importlib.util.find_spec("stable_baselines3") is None:
        tell("Stable-Baselines3 is not installed: its logs are left out (pip install 'upswing[bench]')")
        return {}
    which = sb3.names() if train else sb3.done(folder)
    outcomes = rivals.train_sb3_all(which, folder, _told(tell, "trained by Stable-Baselines3"), processes)
    return {
        name: rivals.foreign_figures(outcomes, rivals.judged_logs(outcomes, folder, judge, processes))
        for name, judge in (judges() | {"doctor": tuned}).items()
    }


def _told(tell: Tell, what: str) -> Callable[[int, int, str], None]:
    return lambda done, total, name: tell(f"{what} {done} of {total}: {name}")
