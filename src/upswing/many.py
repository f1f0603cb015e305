"""Several trainings at once in one process: seeds of one setting, or settings side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from signal import Signals
from typing import TypeVar

import torch

from upswing import cores
from upswing.agent import Agent
from upswing.config import TrainConfig
from upswing.errors import ConfigError, UserError
from upswing.hooks import Hook, Record, Request, Result
from upswing.run.signals import StopSignal
from upswing.training import train

T = TypeVar("T")


def train_many(
    configs: Sequence[TrainConfig],
    hooks: Callable[[TrainConfig], Sequence[Hook]] | None = None,
    *,
    n_threads: int | None = None,
    trusted: bool = True,
) -> list[Result | UserError]:
    """What each training ended with, in the order of `configs`; a UserError where one could not be done.

    Each is exactly what `train` makes of it alone. They run in `n_threads` threads, by default one per core: compiled
    rollouts and updates let the others work meanwhile, so on the native engine they take little longer than their
    number divided by the cores; environments in Python wait for one another. `hooks` gives each training hooks of its
    own. Ctrl-C or SIGTERM stops all of them after their iterations, saved, and none is begun any more.
    """

    def job(config: TrainConfig) -> Callable[[Hook], Result]:
        return lambda stop: train(config, [*(hooks(config) if hooks else ()), stop], trusted=trusted)

    return side_by_side([job(config) for config in configs], n_threads)


def side_by_side(jobs: Sequence[Callable[[Hook], T]], n_threads: int | None = None) -> list[T | UserError]:
    """What each of `jobs` returned, or the UserError that it raised, in their order; run in `n_threads` threads.

    Each is given a hook for its training, which stops it when Ctrl-C or SIGTERM has reached the process.
    """
    if n_threads is not None and n_threads < 1:
        raise ConfigError(f"n_threads = {n_threads} cannot train anything: give at least 1.")
    n_threads = n_threads or min(cores.usable_cores(), max(1, len(jobs)))
    with StopSignal() as signal, _one_torch_thread(), cores.side_by_side(n_threads):

        def one(job: Callable[[Hook], T]) -> T | UserError:
            if signal.received:
                return UserError(f"Not begun, since {Signals(signal.received).name} had asked for a stop.")
            try:
                return job(_StopWithAll(signal))
            except UserError as error:
                return error

        with ThreadPoolExecutor(n_threads) as pool:
            return list(pool.map(one, jobs))


class _StopWithAll(Hook):
    """Stops its training when a signal has reached the process: only the main thread hears it."""

    def __init__(self, signal: StopSignal):
        self.signal = signal

    def on_iteration(self, record: Record, agent: Agent) -> Request | None:
        return Request(stop=Signals(self.signal.received).name) if self.signal.received else None


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Torch at one thread for all: what each training sets is global, and restoring it would disturb the others."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
