"""The runs of a study on a Ray cluster. Without torch at the top: the board's process needs none."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from upswing.cores import side_by_side, usable_cores
from upswing.errors import MissingExtra
from upswing.lab.jobs import BROKE, ENDINGS, TICK, TICK_S, Event, Job, Stop

NICENESS = 0  # of a local Ray's processes: at Ray's own 15 a busy machine would let them starve


def on_ray(jobs: Sequence[Job], n_parallel: int | None, stop: Stop) -> Iterator[Event]:
    """The events of `jobs` on the Ray cluster that RAY_ADDRESS names, otherwise on a local Ray.

    At most `n_parallel` at a time, by default as many as the cluster has cores. The study's folder must be on a disk
    that every machine of the cluster sees.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtra("ray", "cluster", "--executor ray") from None
    began_here = not ray.is_initialized()
    if began_here:
        _begin(ray)
    n_parallel = n_parallel or max(1, int(ray.cluster_resources().get("CPU", 1)))
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


def _begin(ray: Any) -> None:
    """Join the cluster that RAY_ADDRESS names, or start a local one that leaves with this process."""
    quiet = {"log_to_driver": False, "configure_logging": False}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**quiet)
    else:
        config = {"worker_niceness": NICENESS}
        ray.init(num_cpus=usable_cores(), include_dashboard=False, _system_config=config, **quiet)


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


def _remote(board: Any, index: int, job: Job) -> None:
    import ray

    from upswing.lab.worker import do

    with side_by_side(usable_cores()):  # Ray gives each task one core
        do(job, lambda kind, values: bool(ray.get(board.put.remote((index, kind, dict(values))))))
