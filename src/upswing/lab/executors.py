"""Where the runs of a study are done: side by side in processes on this machine, or on a Ray cluster.

An executor takes jobs and yields events (index of the job, kind, values) as they happen, and a tick (-1, "tick", {})
while nothing does. `stop()` asks it to let the runs save and end. A job whose process dies is an event, not an error.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from upswing.cores import side_by_side, usable_cores
from upswing.errors import UserError
from upswing.lab.jobs import BROKE, ENDINGS, PROGRESS, STOPPED, TICK, TICK_S, Event, Executor, Job, Stop
from upswing.lab.on_ray import on_ray


def in_processes(jobs: Sequence[Job], n_parallel: int | None, stop: Stop) -> Iterator[Event]:
    """The events of `jobs`, each in a process forked from one that imported torch; at most `n_parallel` at a time, by
    default one a core."""
    n_parallel = n_parallel or usable_cores()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["upswing.lab.before_fork"])
    waiting = list(enumerate(jobs))
    running: dict[Any, tuple[int, Any]] = {}  # by the connection to each run's process
    while waiting or running:
        while waiting and len(running) < n_parallel and not stop():
            index, job = waiting.pop(0)
            ours, theirs = context.Pipe()
            process = context.Process(target=_child, args=(theirs, job, n_parallel), name=f"upswing-study-{index}")
            process.start()
            theirs.close()
            running[ours] = (index, process)
        if stop():
            waiting.clear()
        heard: list[Any] = wait(list(running), TICK_S)
        if not heard:
            yield -1, TICK, {}
        for connection in heard:
            index, process = running[connection]
            kind, values = _receive(connection, process, stop())
            if kind in ENDINGS:
                process.join()
                connection.close()
                del running[connection]
            yield index, kind, values


def _receive(connection: Connection, process: Any, stopping: bool) -> tuple[str, Mapping[str, Any]]:
    """The next event of a process; how it died where it has nothing more to say."""
    try:
        kind, values = connection.recv()
        if kind == PROGRESS:
            connection.send(not stopping)
        return kind, values
    except (EOFError, OSError):
        process.join()
        code = process.exitcode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
        return (STOPPED, {}) if stopping else (BROKE, {"reason": f"The process of this run {how}."})


def _child(connection: Connection, job: Job, n_parallel: int) -> None:
    """A run's process, one of `n_parallel` at a time: every piece of progress is answered by whether to go on."""

    def tell(kind: str, values: Mapping[str, Any]) -> bool:
        try:
            connection.send((kind, dict(values)))
            return kind != PROGRESS or bool(connection.recv())
        except (EOFError, OSError):  # the study was killed
            return False

    from upswing.lab.worker import do  # it has been imported before the fork

    with side_by_side(n_parallel):
        do(job, tell)


EXECUTORS: dict[str, Executor] = {"local": in_processes, "ray": on_ray}


def executor(name: str) -> Executor:
    """The executor called `name`. Raises UserError."""
    if name not in EXECUTORS:
        raise UserError(f"--executor {name!r} is not known: choose one of {', '.join(EXECUTORS)}.")
    return EXECUTORS[name]
