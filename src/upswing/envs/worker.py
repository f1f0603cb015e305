"""A worker process: a group of environments that takes its actions from shared memory and writes its rows there.

Steps are taken by turns (turns.py). Everything else comes as a message over a connection: a method of `Worker` and its
arguments. An answer is (True, value) or (False, Failure).
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from upswing.envs.group import EnvironmentCrash, Group
from upswing.envs.memory import attach
from upswing.envs.rows import new_rows, part_of
from upswing.envs.turns import CURRENT, STATUS, WORDS, Line, await_turn
from upswing.errors import ConfigError, EnvironmentFault, UserError

ENDED, LOST, FAILED = 1, 2, 4
"""Bits of a turn's status: an episode ended; a row is not valid (a message of notices follows); it failed (likewise)."""


class Setup(NamedTuple):
    """What a worker needs to make its environments."""

    factories: bytes  # cloudpickled: sent by our own parent, over a socket that nobody else has
    worker: int  # its index
    first: int  # index of its first environment
    n: int
    action_masks: bool
    eager: bool  # may watch without pause: there are cores to spare


class Shape(NamedTuple):
    """What the parent must know to lay out the rows of all workers."""

    observation_space: gymnasium.Space
    action_space: gymnasium.Space


class Failure(NamedTuple):
    """An error as it travels to the parent."""

    kind: str  # a class of upswing.errors, or EnvironmentCrash
    said: str
    trace: str

    def error(self) -> UserError:
        """The error again."""
        kinds = {kind.__name__: kind for kind in (EnvironmentCrash, EnvironmentFault, ConfigError)}
        error = kinds.get(self.kind, UserError)(self.said)
        error.__cause__ = RuntimeError(f"in the worker process:\n{self.trace}")
        return error


def run_worker(messages_fd: int, bell_fd: int, memory_fd: int) -> None:
    """Serve the parent until it says close, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    messages, bell = Connection(messages_fd), socket.socket(fileno=bell_fd)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        Worker(messages, bell, memory_fd).run()
    sys.stdout.flush()
    os._exit(0)


class Worker:
    """The loop of a worker process."""

    def __init__(self, messages: Connection, bell: socket.socket, memory_fd: int):
        self.messages, self.bell, self.memory_fd = messages, bell, memory_fd
        self.group: Group | None = None
        self.line: Line | None = None
        self.running = True

    def run(self) -> None:
        """Take turns and answer messages."""
        while self.running:
            if self.line is not None:
                what = await_turn(self.line, self.messages.fileno(), self.setup.eager)
                if what == "turn":
                    self._step()
                    continue
                if what == "gone":
                    break
            name, *arguments = self.messages.recv()
            self.messages.send(self._guarded(getattr(self, name), *arguments))

    def _step(self) -> None:
        line, group = self.line, self.group
        assert line is not None and group is not None
        line.turn = line.words[line.their_turn]
        ok, outcome = self._guarded(group.step, self.rows.actions)
        status = (ENDED * outcome[0] | LOST * outcome[1]) if ok else FAILED
        line.words[STATUS], line.words[CURRENT] = status, -1
        line.finish()
        if status & FAILED:
            self.messages.send(outcome)
        elif status & LOST:
            self.messages.send(self._notices())

    def _notices(self) -> list[str]:
        assert self.group is not None
        notices, self.group.notices = self.group.notices, []
        return notices

    def _guarded(self, call: Callable[..., Any], *arguments: Any) -> tuple[bool, Any]:
        try:
            return True, call(*arguments)
        except Exception as error:
            said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            return False, Failure(type(error).__name__, said, traceback.format_exc())

    def make(self, setup: Setup) -> Shape:
        """Make the environments."""
        self.setup = setup
        try:
            factories = pickle.loads(setup.factories)
        except Exception as error:
            raise ConfigError(
                f"The function that makes the environments could not be rebuilt in a worker process "
                f"({type(error).__name__}: {error}): define it in an importable module, or set vectorization to serial."
            ) from error
        self.group = Group(factories, setup.first, setup.action_masks)
        return Shape(self.group.observation_space, self.group.action_space)

    def attach(self, n_rows: int, n_workers: int) -> None:
        """Begin to use the shared memory, which the parent has laid out meanwhile."""
        assert self.group is not None
        setup, memory = self.setup, memoryview(attach(self.memory_fd))
        words, rest = split(memory, n_workers)
        self.line = Line(words[setup.worker], self.bell, parent=False)
        self.line.turn = self.line.words[self.line.their_turn]
        rows = new_rows(self.group.observation_space, self.group.action_space, n_rows, rest)
        self.rows = part_of(rows, slice(setup.first, setup.first + setup.n))
        self.group.attach(self.rows, self.line.words[CURRENT : CURRENT + 1])

    def reset(self, seeds: list[int | None] | None) -> None:
        """Begin new episodes."""
        assert self.group is not None
        self.group.reset(seeds)

    def get_state(self) -> list[dict[str, Any]] | None:
        """The environments' states, or None."""
        assert self.group is not None
        return self.group.get_state()

    def set_state(self, states: list[dict[str, Any]]) -> None:
        """Continue from `get_state`'s answer."""
        assert self.group is not None
        self.group.set_state(states)

    def render(self) -> np.ndarray | None:
        """The first environment's picture."""
        assert self.group is not None
        return self.group.render()

    def close(self) -> None:
        """Close the environments and end."""
        self.running = False
        if self.group is not None:
            self.group.close()


def split(memory: memoryview, n_workers: int) -> tuple[list[memoryview], memoryview]:
    """The words of each worker's line, and the memory of the rows."""
    nbytes = 8 * WORDS
    words = [memory[w * nbytes : (w + 1) * nbytes].cast("q") for w in range(n_workers)]
    return words, memory[n_workers * nbytes :]
