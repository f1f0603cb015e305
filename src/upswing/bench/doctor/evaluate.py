"""From trainings that are done to what was said about each, and whether it was right."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from upswing.bench.doctor.corpus import Run
from upswing.bench.doctor.figures import Judged
from upswing.bench.doctor.harm import LEAST, hurts
from upswing.bench.doctor.verdicts import Verdict
from upswing.cores import usable_cores

Outcomes = Mapping[Run, Mapping[str, Any] | None]


def finals(outcomes: Outcomes, env: str, variant: str) -> list[float]:
    """The final returns of all seeds of a variant on a task; a training that diverged or failed counts with its last."""
    found = [o["final"] for run, o in outcomes.items() if run.env == env and run.variant == variant and o is not None]
    return [value for value in found if value is not None]


def first_return(outcomes: Outcomes, env: str) -> float:
    """What an untrained policy gets on a task: the mean over its healthy trainings."""
    return float(np.mean([o["first"] for run, o in outcomes.items() if run.env == env and o and run.fault is None]))


def harmful(outcomes: Outcomes, least: float = LEAST) -> set[tuple[str, str]]:
    """The pairs of task and fault that hurt, by the share `least` of what there is to gain or more."""
    cells = {(run.env, run.variant) for run in outcomes if run.fault is not None and not run.fault.speed}
    return {
        (env, variant)
        for env, variant in cells
        if hurts(finals(outcomes, env, "recipe"), finals(outcomes, env, variant), first_return(outcomes, env), least)
    }


def failed(run: Run, outcome: Mapping[str, Any]) -> bool:
    """Whether a healthy recipe did not learn its task."""
    return run.fault is None and (outcome["final"] is None or outcome["final"] < run.task.least)


def judge_all(
    outcomes: Outcomes, folder: Path, judge: Callable[[Path], Verdict], processes: int | None = None
) -> list[Judged]:
    """Every training that could be done, with what `judge` says about it."""
    hurt, worse = harmful(outcomes), harmful(outcomes, 0.0)
    done = [(run, outcome) for run, outcome in outcomes.items() if outcome is not None]
    verdicts = in_parallel(judge, [folder / run.name for run, _ in done], processes)
    judged = []
    for (run, outcome), verdict in zip(done, verdicts, strict=True):
        cell = (run.env, run.variant)
        judged.append(Judged(run, cell in hurt, verdict, failed(run, outcome), cell in worse))
    return judged


def in_parallel(
    work: Callable[[Path], Any], paths: Sequence[Path] | Iterable[Path], processes: int | None = None
) -> list[Any]:
    """`work` on each of `paths`, in order, on all cores."""
    paths, n = list(paths), processes or usable_cores()
    if n == 1 or len(paths) < 8:
        return [work(path) for path in paths]
    with ProcessPoolExecutor(n, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(work, paths, chunksize=8))
