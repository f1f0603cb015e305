"""Environments in worker processes, several to a worker, over shared memory; workers that fail are replaced.

Observations, rewards and actions are never pickled. A worker that dies, hangs or whose environment raises is restarted
a bounded number of times. The rows of all its environments are then not valid, truncated, with reward 0 and a new
episode's first observation; `final_obs` holds the last that is known, and their episodes are not reported.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle
import numpy as np

from upswing.cores import usable_cores
from upswing.envs.contract import Observation, Step
from upswing.envs.forkserver import ForkServer, kill
from upswing.envs.group import EnvironmentCrash, Factory, shapes
from upswing.envs.memory import new_memory, reserve
from upswing.envs.rows import Rows, copy, new_rows, part_of, parts_of, read_step, rows_nbytes
from upswing.envs.serial import counted
from upswing.envs.state import saved_environments
from upswing.envs.turns import CURRENT, STATUS, WORDS, Line, wait
from upswing.envs.worker import ENDED, FAILED, LOST, Failure, Setup, Shape, split
from upswing.envs.writers import without_numbers
from upswing.errors import ConfigError, EnvironmentFault

EVERY = slice(None)
MAKE_TIMEOUT_S = 300.0  # simulators load assets and start games
CLOSE_TIMEOUT_S = 5.0


class WorkerLost(Exception):
    """A worker died, hung, or crashed; the message is the reason, a verb phrase."""

    def __init__(self, reason: str, named: bool = False):
        super().__init__(reason)
        self.named = named  # it says already which environment, and when


@dataclass
class WorkerHandle:
    """The parent's end of one worker."""

    index: int
    where: slice  # its rows
    pid: int = 0
    messages: Connection | None = None
    line: Line | None = None
    restarts: int = 0

    @property
    def name(self) -> str:
        """How messages call it."""
        first, last = self.where.start, self.where.stop - 1
        return f"Worker {self.index} (environment{f' {first}' if first == last else f's {first} to {last}'})"


class WorkerVectorEnv:
    """N environments in worker processes. See `contract.VectorEnv`.

    `step_timeout_s` = 0 waits for ever. `notices` tells of restarts. `rows` hold every environment's, and after them
    `spare` more, for environments that somebody else steps.
    """

    def __init__(
        self,
        factories: Sequence[Factory],
        n_workers: int | None = None,
        *,
        spare: int = 0,
        step_timeout_s: float = 60.0,
        max_restarts: int = 3,
        action_masks: bool = True,
        make_timeout_s: float = MAKE_TIMEOUT_S,
        close_timeout_s: float = CLOSE_TIMEOUT_S,
    ):
        self.n_envs, self.n_rows, cores = len(factories), len(factories) + spare, usable_cores()
        n_workers = min(n_workers or cores, self.n_envs)
        self.notices: list[str] = []
        self.step_timeout_s = step_timeout_s or float("inf")
        self.make_timeout_s, self.close_timeout_s, self.max_restarts = make_timeout_s, close_timeout_s, max_restarts
        self._action_masks = action_masks
        self._eager = n_workers < cores
        self._seeds: list[int | None] = [None] * self.n_envs
        bounds = np.linspace(0, self.n_envs, n_workers + 1).round().astype(int).tolist()
        self._workers = [WorkerHandle(i, slice(*bounds[i : i + 2])) for i in range(n_workers)]
        self._pickled = [pickled(factories[worker.where]) for worker in self._workers]
        self._server = ForkServer()
        self._memory_fd = new_memory()
        self._release = weakref.finalize(self, _release, self._server, self._workers, self._memory_fd, os.getpid())
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        self.description = f"{counted(self.n_envs, 'environment')} in {counted(n_workers, 'worker process')}"

    # ── life ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _start(self) -> None:
        for worker in self._workers:
            self._fork(worker)
        made = [self._made(worker) for worker in self._workers]
        self.observation_space, self.action_space = made[0]
        for worker, shape in zip(self._workers, made, strict=True):
            if shapes(shape.observation_space) != shapes(made[0].observation_space) or shape.action_space != made[0][1]:
                raise ConfigError(
                    f"{worker.name} has other spaces than environment 0: environments that step side by side need the "
                    f"same shapes."
                )
        n, header = len(self._workers), 8 * WORDS * len(self._workers)
        nbytes = header + rows_nbytes(self.observation_space, self.action_space, self.n_rows)
        self._words, rest = split(memoryview(reserve(self._memory_fd, nbytes)), n)
        self.rows = new_rows(self.observation_space, self.action_space, self.n_rows, rest)
        self._views: dict[tuple[int, int], Rows] = {}
        for worker in self._workers:
            self._attach(worker)

    def _fork(self, worker: WorkerHandle) -> None:
        """A fresh process for `worker`, which begins to make its environments."""
        messages, their_messages = socket.socketpair()
        bell, their_bell = socket.socketpair()
        with their_messages, their_bell:
            fds = [their_messages.fileno(), their_bell.fileno(), self._memory_fd]
            worker.messages = Connection(messages.detach())
            worker.line = Line(memoryview(bytearray(8 * WORDS)).cast("q"), bell, parent=True)
            worker.pid = self._server.fork(fds)
        first, n = worker.where.start, worker.where.stop - worker.where.start
        pickled_factories = self._pickled[worker.index]
        self._send(worker, "make", Setup(pickled_factories, worker.index, first, n, self._action_masks, self._eager))

    def _made(self, worker: WorkerHandle) -> Shape:
        try:
            return self._answer(worker, self.make_timeout_s)
        except WorkerLost as lost:
            when = "" if lost.named else " while it made its environments"
            raise EnvironmentFault(f"{worker.name} {lost}{when}.") from lost

    def _attach(self, worker: WorkerHandle) -> None:
        assert worker.line is not None
        words = self._words[worker.index]
        for i in range(WORDS):
            words[i] = 0
        words[CURRENT] = -1
        worker.line = Line(words, worker.line.bell, parent=True)
        self._send(worker, "attach", self.n_rows, len(self._workers))
        self._answer(worker, self.make_timeout_s)

    def _kill(self, worker: WorkerHandle) -> int:
        """End `worker` at once; how it ended."""
        assert worker.messages is not None and worker.line is not None
        kill(worker.pid)
        worker.messages.close()
        worker.line.bell.close()
        pid, worker.pid = worker.pid, 0
        return self._server.wait(pid)

    def close(self) -> None:
        """End the workers: they may close their environments for `close_timeout_s`. Safe to call twice."""
        if not self._release.alive:
            return
        for worker in self._workers:
            with contextlib.suppress(WorkerLost):
                self._send(worker, "close")
        self._await_ends()
        for worker in self._workers:
            if worker.pid:
                with contextlib.suppress(EnvironmentFault):
                    self._kill(worker)
        self._release()

    def _await_ends(self) -> None:
        poll, deadline = select.poll(), time.monotonic() + self.close_timeout_s
        left = {worker.line.bell.fileno() for worker in self._workers if worker.pid and worker.line}
        for fd in left:
            poll.register(fd, 0)  # the end of a worker is reported even so
        while left and time.monotonic() < deadline:
            for fd, _ in poll.poll(1000.0 * (deadline - time.monotonic()) + 1.0):
                poll.unregister(fd)
                left.discard(fd)

    # ── messages ────────────────────────────────────────────────────────────────────────────────────────────────

    def _send(self, worker: WorkerHandle, name: str, *arguments: Any) -> None:
        if not worker.pid or worker.messages is None:
            raise WorkerLost("is gone")
        try:
            worker.messages.send((name, *arguments))
        except (BrokenPipeError, ConnectionResetError):
            raise self._death(worker) from None

    def _receive(self, worker: WorkerHandle, timeout_s: float) -> Any:
        assert worker.messages is not None
        try:
            if not worker.messages.poll(None if timeout_s == float("inf") else timeout_s):
                raise self._silence(timeout_s)
            return worker.messages.recv()
        except (EOFError, ConnectionResetError):
            raise self._death(worker) from None

    def _answer(self, worker: WorkerHandle, timeout_s: float) -> Any:
        ok, answer = self._receive(worker, timeout_s)
        if not ok:
            raise self._failed(answer)
        return answer

    def _failed(self, failure: Failure) -> Exception:
        """A reason to restart, or what the user must mend."""
        error = failure.error()
        if not isinstance(error, EnvironmentCrash):
            return error
        lost = WorkerLost(f"failed: {error}".rstrip("."), named=True)
        lost.__cause__ = error.__cause__
        return lost

    def _silence(self, timeout_s: float) -> WorkerLost:
        return WorkerLost(f"did not answer for {timeout_s:g} s")

    def _death(self, worker: WorkerHandle) -> WorkerLost:
        code = self._kill(worker)
        if code < 0:
            return WorkerLost(f"was killed by {signal.Signals(-code).name}")
        return WorkerLost(f"ended by itself with exit code {code}")

    def _ask_all(self, name: str, *per_worker: Sequence[Any]) -> list[Any]:
        """Each worker's answer. Raises UserError where one is lost."""
        answers = []
        try:
            for worker in self._workers:
                self._send(worker, name, *(arguments[worker.index] for arguments in per_worker))
            for worker in self._workers:
                answers.append(self._answer(worker, self.step_timeout_s))
        except WorkerLost as lost:
            raise EnvironmentFault(f"{worker.name} {lost} in {name}.") from lost
        return answers

    # ── restarts ────────────────────────────────────────────────────────────────────────────────────────────────

    def _revive(self, worker: WorkerHandle, lost: WorkerLost, seeds: list[int | None] | None = None) -> None:
        """Replace `worker`, begin new episodes, and mark its rows. Raises EnvironmentFault after too many times."""
        rows = part_of(self.rows, worker.where)
        if worker.pid:
            self._kill(worker)
        known = without_numbers(copy(rows.obs), np.ones(len(rows.rewards), bool))
        while True:
            at_work = self._words[worker.index][CURRENT]
            if at_work >= 0 and not lost.named:
                lost = WorkerLost(f"{lost} with environment {worker.where.start + at_work} at work")
            if worker.restarts >= self.max_restarts:
                raise EnvironmentFault(
                    f"{worker.name} {lost}, after {counted(worker.restarts, 'restart')}: mend the environment, or "
                    f"raise max_worker_restarts or step_timeout_s."
                ) from lost
            worker.restarts += 1
            self.notices.append(
                f"{worker.name} {lost}: it was restarted ({worker.restarts} of at most {self.max_restarts} times), and "
                f"its running episodes were dropped."
            )
            try:
                self._fork(worker)
                self._answer(worker, self.make_timeout_s)
                self._attach(worker)
                self._send(worker, "reset", seeds or self._fresh_seeds(worker))
                self._answer(worker, self.step_timeout_s)
                break
            except WorkerLost as again:
                lost = again
                if worker.pid:
                    self._kill(worker)
        rows.rewards[:], rows.terminated[:], rows.truncated[:], rows.valid[:] = 0.0, False, True, False
        for target, source in zip(parts_of(rows.final_obs), parts_of(known), strict=True):
            target[...] = source

    def _fresh_seeds(self, worker: WorkerHandle) -> list[int | None]:
        """Seeds for new episodes: a repetition of the old ones might lead to the same failure."""
        return [
            None if seed is None else int(np.random.SeedSequence([seed, worker.restarts]).generate_state(1)[0])
            for seed in self._seeds[worker.where]
        ]

    # ── the contract ────────────────────────────────────────────────────────────────────────────────────────────

    def reset(self, seeds: Sequence[int] | None = None) -> Observation:
        """First observations [N, ...] of new episodes."""
        self._seeds = [None] * self.n_envs if seeds is None else list(seeds)
        failed: list[tuple[WorkerHandle, WorkerLost]] = []
        for worker in self._workers:
            try:
                self._send(worker, "reset", self._seeds[worker.where])
            except WorkerLost as lost:
                failed.append((worker, lost))
        for worker in self._workers:
            try:
                if worker.pid:
                    self._answer(worker, self.step_timeout_s)
            except WorkerLost as lost:
                failed.append((worker, lost))
        for worker, reason in failed:
            self._revive(worker, reason, self._seeds[worker.where])
        return self.rows.obs

    def step(self, actions: np.ndarray) -> Step:
        """The outcome of `actions` [N] or [N, A]. Raises EnvironmentFault where a worker fails too often."""
        self.step_async(actions)
        return self.step_wait()

    @property
    def halves(self) -> tuple[slice, slice] | None:
        """Workers that can step while the others wait for their actions, or None where there is one worker only."""
        n = len(self._workers)
        return (slice(0, n // 2), slice(n // 2, n)) if n > 1 else None

    def step_async(self, actions: np.ndarray, which: slice = EVERY) -> None:
        """Let the workers `which` begin to step; `actions` are those of their environments (see `rows_of`)."""
        self._part(which).actions[...] = actions
        for worker in self._workers[which]:
            line = worker.line
            assert line is not None
            line.turn += 1
            line.finish()

    def step_wait(self, which: slice = EVERY) -> Step:
        """The outcome, for the environments of the workers `which`, of the step they have begun."""
        ended, lost = self.finish(which)
        return read_step(self._part(which), ended, lost, self.rows_of(which).start)

    def finish(self, which: slice = EVERY) -> tuple[bool, bool]:
        """Whether any episode of the workers `which` ended in the step they have begun, and whether any row is not
        valid; it waits for them."""
        workers, start = self._workers[which], time.monotonic()
        silent, dead = wait([worker.line for worker in workers], self.step_timeout_s, self._eager)  # type: ignore[misc]
        status, waited = 0, min(self.step_timeout_s, round(time.monotonic() - start, 1))
        for i, worker in enumerate(workers):
            if i in silent or i in dead:
                status |= ENDED | LOST
                self._revive(worker, self._death(worker) if i in dead else self._silence(waited))
            else:
                status |= self._outcome(worker)
        return bool(status & ENDED), bool(status & LOST)

    def _part(self, which: slice) -> Rows:
        """The rows of the workers `which`, always the same arrays."""
        key = (which.start, which.stop)
        if key not in self._views:
            self._views[key] = part_of(self.rows, self.rows_of(which))
        return self._views[key]

    def _outcome(self, worker: WorkerHandle) -> int:
        """The status bits of a finished turn, its messages read."""
        assert worker.line is not None
        status = worker.line.words[STATUS]
        if status & (FAILED | LOST):
            try:
                message = self._receive(worker, self.step_timeout_s)
                if not status & FAILED:
                    self.notices += message
                    return status
                raise self._failed(message)
            except WorkerLost as lost:
                self._revive(worker, lost)
                return ENDED | LOST
        return status

    def rows_of(self, which: slice) -> slice:
        """The rows of the workers `which`."""
        workers = self._workers[which]
        return slice(workers[0].where.start, workers[-1].where.stop)

    def get_state(self) -> dict[str, Any] | None:
        """What is needed to continue exactly, or None where an environment cannot say."""
        states = self._ask_all("get_state")
        if any(part is None for part in states):
            return None
        return {"environments": [state for part in states for state in part]}

    def set_state(self, state: dict[str, Any]) -> Observation:
        """The current observations [N, ...] after restoring what `get_state` gave."""
        states = saved_environments(state, self.n_envs)
        self._ask_all("set_state", [states[worker.where] for worker in self._workers])
        return self.rows.obs

    def render(self) -> np.ndarray | None:
        """The first environment's picture [H, W, 3] uint8, or None."""
        worker = self._workers[0]
        try:
            self._send(worker, "render")
            return self._answer(worker, self.step_timeout_s)
        except WorkerLost as lost:
            raise EnvironmentFault(f"{worker.name} {lost} in render.") from lost


def pickled(factories: Sequence[Factory]) -> bytes:
    """`factories` for another process. Raises ConfigError where they cannot be sent."""
    try:
        return cloudpickle.dumps(list(factories))
    except Exception as error:
        raise ConfigError(
            f"The function that makes the environments cannot be sent to worker processes ({type(error).__name__}: "
            f"{error}): let it create what it needs itself, or set vectorization to serial."
        ) from error


def _release(server: ForkServer, workers: list[WorkerHandle], memory_fd: int, owner: int) -> None:
    """Let go of everything, also where nobody has called close; a forked child must not end its parent's workers."""
    if os.getpid() == owner:
        server.close()
    for worker in workers:
        if worker.messages is not None and worker.line is not None:
            worker.messages.close()
            worker.line.bell.close()
    os.close(memory_fd)
