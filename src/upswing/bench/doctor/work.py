"""Many trainings, a few at a time, each done once: what is there already is not trained again."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from upswing.bench.doctor.corpus import Run
from upswing.bench.doctor.training import OUTCOME, train_run
from upswing.cores import usable_cores


def train_all(
    todo: Iterable[Run],
    folder: Path,
    tell: Callable[[int, int, str], None],
    processes: int | None = None,
    train: bool = True,
) -> dict[Run, dict[str, Any] | None]:
    """The outcome of each run, None for one that could not be trained. `tell` hears how many of how many are done.

    Without `train`, the outcomes of those that are done already.
    """
    todo = list(todo)
    folder.mkdir(parents=True, exist_ok=True)
    missing = {run for run in todo if not (folder / run.name / OUTCOME).is_file()}
    outcomes: dict[Run, dict[str, Any] | None] = {run: train_run(run, folder) for run in todo if run not in missing}
    if not missing or not train:
        return outcomes
    done, n = len(outcomes), processes or usable_cores()
    if n == 1:
        for run in (run for run in todo if run in missing):
            outcomes[run], done = train_run(run, folder), done + 1
            tell(done, len(todo), run.name)
        return outcomes
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n, context, initializer=_one_thread) as pool:
        waiting = {pool.submit(train_run, run, folder): run for run in missing}
        for future in as_completed(waiting):
            run, done = waiting[future], done + 1
            error = future.exception()
            outcomes[run] = None if error is not None else future.result()
            tell(done, len(todo), run.name if error is None else f"{run.name} failed: {error}")
    return outcomes


def _one_thread() -> None:
    import torch

    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    torch.set_num_threads(1)
