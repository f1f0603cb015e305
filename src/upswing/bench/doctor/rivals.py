"""Stable-Baselines3's logs as the doctor and its rivals judge them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from upswing.bench.doctor import sb3
from upswing.bench.doctor.evaluate import in_parallel
from upswing.bench.doctor.figures import Share, share
from upswing.bench.doctor.harm import hurts
from upswing.bench.doctor.verdicts import Verdict

Which = tuple[str, str, int]
LEARNED = {"CartPole-v1": 150.0, "Pendulum-v1": -600.0}
"""A healthy training that ends lower did not learn, and is left out."""


class ForeignFigures(NamedTuple):
    """What a judge made of Stable-Baselines3's logs."""

    false_warnings: float
    healthy_runs: int
    recall: Share
    top1: Share
    top3: Share


def train_sb3_all(
    which: list[Which], folder: Path, tell: Callable[[int, int, str], None], processes: int
) -> dict[Which, Mapping[str, Any] | None]:
    """The outcome of each training of Stable-Baselines3; None for one that failed."""
    folder.mkdir(parents=True, exist_ok=True)
    outcomes: dict[Which, Mapping[str, Any] | None] = {}
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(sb3.train_sb3, each, folder): each for each in which}
        for done, future in enumerate(as_completed(waiting), 1):
            each, error = waiting[future], future.exception()
            outcomes[each] = None if error is not None else future.result()
            tell(done, len(which), ".".join(map(str, each)) + ("" if error is None else f" failed: {error}"))
    return outcomes


def harmful(outcomes: Mapping[Which, Mapping[str, Any] | None]) -> set[tuple[str, str]]:
    """The pairs of task and fault that hurt."""

    def finals(env: str, name: str) -> list[float]:
        return [o["final"] for (e, f, _), o in outcomes.items() if (e, f) == (env, name) and o is not None]

    found = set()
    for env in {env for env, _, _ in outcomes}:
        first = float(np.mean([o["first"] for (e, f, _), o in outcomes.items() if e == env and f == "healthy" and o]))
        for name in {fault for e, fault, _ in outcomes if e == env and fault != "healthy"}:
            if hurts(finals(env, "healthy"), finals(env, name), first):
                found.add((env, name))
    return found


def judged_logs(
    outcomes: Mapping[Which, Mapping[str, Any] | None], folder: Path, judge: Callable[[Path], Verdict], processes: int
) -> dict[Which, Verdict]:
    """What `judge` says about each log."""
    done = [which for which, outcome in outcomes.items() if outcome is not None]
    paths = [folder / f"sb3.{env}.{name}.{seed}" for env, name, seed in done]
    return dict(zip(done, in_parallel(judge, paths, processes), strict=True))


def foreign_figures(
    outcomes: Mapping[Which, Mapping[str, Any] | None], verdicts: Mapping[Which, Verdict]
) -> ForeignFigures:
    """False warnings, recall and causes on Stable-Baselines3's logs."""
    hurt = harmful(outcomes)
    learned = {
        which for which, o in outcomes.items() if which[1] == "healthy" and o and o["final"] >= LEARNED[which[0]]
    }
    false = [verdict.warnings for which, verdict in verdicts.items() if which in learned]
    harmed = [(which, verdict) for which, verdict in verdicts.items() if which[:2] in hurt]
    return ForeignFigures(
        float(np.mean(false)) if false else float("nan"),
        len(false),
        share(verdict.warnings > 0 for _, verdict in harmed),
        share(bool(sb3.FAULTS[which[1]].causes & set(verdict.causes[:1])) for which, verdict in harmed),
        share(bool(sb3.FAULTS[which[1]].causes & set(verdict.causes[:3])) for which, verdict in harmed),
    )
