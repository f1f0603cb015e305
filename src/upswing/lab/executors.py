"""Where the runs of a study are done: side by side in processes on this machine, or on a Ray cluster.

An executor takes jobs and yields events (index of the job, kind, values) as they happen, and a tick (-1, "tick", {})
while nothing does. `stop()` asks it to let the runs save and end. A job whose process dies is an event, not an error.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from upswing.errors import MissingExtra, UserError
from upswing.lab.worker import BROKE, ENDED, PROGRESS, STOPPED, Job, do

TICK = "tick"
TICK_S = 0.1
ENDINGS = (ENDED, STOPPED, BROKE)

Event = tuple[int, str, Mapping[str, Any]]
Stop = Callable[[], bool]
Executor = Callable[[Sequence[Job], int, Stop], Iterator[Event]]


def in_processes(jobs: Sequence[Job], n_parallel: int, stop: Stop) -> Iterator[Event]:
    """The events of `jobs`, at most `n_parallel` at a time, each in a process forked from one that imported torch."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["upswing.lab.worker", "upswing.doctor.hook"])
    waiting = list(enumerate(jobs))
    running: dict[Any, tuple[int, Any]] = {}  # by the connection to each run's process
    while waiting or running:
        while waiting and len(running) < n_parallel and not stop():
            index, job = waiting.pop(0)
            ours, theirs = context.Pipe()
            process = context.Process(target=_child, args=(theirs, job), name=f"upswing-study-{index}")
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


def _child(connection: Connection, job: Job) -> None:
    """A run's process: every piece of progress is answered by whether to go on."""

    def tell(kind: str, values: Mapping[str, Any]) -> bool:
        try:
            connection.send((kind, dict(values)))
            return kind != PROGRESS or bool(connection.recv())
        except (EOFError, OSError):  # the study was killed
            return False

    do(job, tell)


def on_ray(jobs: Sequence[Job], n_parallel: int, stop: Stop) -> Iterator[Event]:
    """The events of `jobs` on the Ray cluster that RAY_ADDRESS names, otherwise on a local Ray.

    The study's folder must be on a disk that every machine of the cluster sees.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtra("ray", "cluster", "--executor ray") from None
    began_here = not ray.is_initialized()
    if began_here:
        ray.init(num_cpus=None, include_dashboard=False, log_to_driver=False, configure_logging=False)
    board: Any = ray.remote(num_cpus=0)(_Board).remote()
    remote = ray.remote(num_cpus=1, max_retries=0)(_remote)
    waiting = list(enumerate(jobs))
    running: dict[Any, int] = {}  # by Ray's reference to each run
    try:
        while waiting or running:
            while waiting and len(running) < n_parallel and not stop():
                index, job = waiting.pop(0)
                running[remote.remote(board, index, job)] = index
            if stop():
                waiting.clear()
                board.stop.remote()
            finished, _ = ray.wait(list(running), timeout=TICK_S) if running else ([], [])
            events = ray.get(board.take.remote())
            yield from events or [(-1, TICK, {})]
            told = {index for index, kind, _ in events if kind in ENDINGS}
            for task in finished:
                index = running.pop(task)
                yield from _ending(ray, task, index, index in told, board)
    finally:
        if began_here:
            ray.shutdown()


def _ending(ray: Any, task: Any, index: int, told: bool, board: Any) -> Iterator[Event]:
    """How a finished Ray task ended, where its own last event was not among those already taken."""
    try:
        ray.get(task)
    except Exception as error:
        yield index, BROKE, {"reason": f"Ray lost this run: {str(error).splitlines()[0]}"}
        return
    if not told:
        yield from ray.get(board.take.remote())


class _Board:
    """An actor to which runs on a cluster tell what happens, and which tells them when to stop."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.stopping = False

    def put(self, event: Event) -> bool:
        """Note `event`; whether to go on."""
        self.events.append(event)
        return not self.stopping

    def take(self) -> list[Event]:
        """The events since the last call."""
        taken, self.events = self.events, []
        return taken

    def stop(self) -> None:
        """Ask every run to save and end."""
        self.stopping = True


def _remote(board: Any, index: int, job: Job) -> float:
    import ray

    do(job, lambda kind, values: bool(ray.get(board.put.remote((index, kind, dict(values))))))
    return time.time()


EXECUTORS: dict[str, Executor] = {"local": in_processes, "ray": on_ray}


def executor(name: str) -> Executor:
    """The executor called `name`. Raises UserError."""
    if name not in EXECUTORS:
        raise UserError(f"--executor {name!r} is not known: choose one of {', '.join(EXECUTORS)}.")
    return EXECUTORS[name]
