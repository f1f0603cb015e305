"""How two processes take turns over shared memory.

Each side of a line has a word that it alone writes: the number of the turn it has finished. The other side watches it:
at first without pause, then giving the core to whoever wants it, and as soon as somebody does, or after a millisecond,
asleep, to be woken through a socket, the bell. A step of quick environments so costs no system call for waking, and a long wait costs no core.

The socket also tells that the other side has died. Where it is asleep is itself a word, so that nobody rings in vain;
both sides could miss each other there by nanoseconds, so nobody sleeps for longer than NAP_S without looking.
"""

from __future__ import annotations

import contextlib
import os
import platform
import select
import socket
import time
from collections.abc import Callable, Sequence

from upswing.run.signals import stop_asked_at

EAGER_S = 30e-6  # watching without pause
YIELDING_S = 1e-3  # then watching as long as nobody else wants the core
CROWDED_S = 20e-6  # somebody does if giving it away takes this long
NAP_S = 0.05
PAUSED_S = 1.0  # a nap that took so much longer: everybody was stopped meanwhile (Ctrl-Z), and nobody hangs
STOPPING_S = 5.0  # patience with a step once a signal has asked the training to stop

WORDS = 32  # per line, two cache lines for each side
_PARENT, _WORKER = 0, 16
_TURN, _ASLEEP = 0, 1  # words of each side
STATUS, CURRENT = _WORKER + 8, _WORKER + 9  # the worker's words: how its turn went, and the environment at work

# Only x86 promises that another core sees the data before the turn that announces it. Elsewhere the bell, a system
# call, is rung every time and nothing is watched.
WATCHING = platform.machine().lower() in ("x86_64", "amd64", "i686")

yield_core: Callable[[], None] = getattr(os, "sched_yield", lambda: time.sleep(0))


class Line:
    """One side of a line between the parent and a worker."""

    def __init__(self, words: memoryview, bell: socket.socket, parent: bool):
        self.words = words  # int64 [WORDS], shared
        self.bell = bell
        self.bell.setblocking(False)
        mine, theirs = (_PARENT, _WORKER) if parent else (_WORKER, _PARENT)
        self.my_turn, self.asleep = mine + _TURN, mine + _ASLEEP
        self.their_turn, self.they_sleep = theirs + _TURN, theirs + _ASLEEP
        self.turn = 0  # the last one, on either side

    def finish(self) -> None:
        """Announce that this side's turn is over."""
        self.words[self.my_turn] = self.turn
        if not WATCHING or self.words[self.they_sleep]:
            # It fails where it was rung often enough already, or nobody is there, which the wait for an answer finds.
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                self.bell.send(b"!")

    def is_over(self) -> bool:
        """Whether the other side has finished the present turn."""
        return self.words[self.their_turn] == self.turn

    def quiet(self) -> bool:
        """Silence the bell; False if the other side is gone."""
        try:
            while True:
                if not self.bell.recv(64):
                    return False
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False


def may_watch(start: float, eager: bool) -> bool:
    """Whether to look again, having watched since `start`, rather than to sleep. It may let others have the core."""
    now = time.monotonic()
    if not WATCHING or now - start > YIELDING_S:
        return False
    if eager and now - start < EAGER_S:
        return True
    yield_core()
    return time.monotonic() - now < CROWDED_S


def wait(lines: Sequence[Line], timeout_s: float, eager: bool) -> tuple[list[int], list[int]]:
    """Wait until every line's turn is over; the indices of those that stayed silent, and of those whose side died."""
    pending = [i for i, line in enumerate(lines) if not line.is_over()]
    start = time.monotonic()
    while pending and may_watch(start, eager):
        pending = [i for i in pending if not lines[i].is_over()]
    return _sleep(lines, pending, start, timeout_s) if pending else ([], [])


def _deadline(start: float, timeout_s: float) -> float:
    """How long to wait since `start`: whoever wants to stop the training does not wait out the patience of a step."""
    asked = stop_asked_at()
    return start + timeout_s if asked is None else min(start + timeout_s, max(start, asked) + STOPPING_S)


def _sleep(lines: Sequence[Line], pending: list[int], start: float, timeout_s: float) -> tuple[list[int], list[int]]:
    poll, owner = select.poll(), {lines[i].bell.fileno(): i for i in pending}
    dead: list[int] = []
    looked, nap = time.monotonic(), 0.0
    for fd, i in owner.items():
        poll.register(fd, select.POLLIN)
        lines[i].words[lines[i].asleep] = 1
    try:
        while pending := [i for i in owner.values() if i not in dead and not lines[i].is_over()]:
            now = time.monotonic()
            if now - looked > nap + PAUSED_S:
                start += now - looked - nap
            left = _deadline(start, timeout_s) - now
            if left <= 0:
                return pending, dead
            looked, nap = now, min(left, NAP_S)
            for fd, _ in poll.poll(1000.0 * nap + 1.0):
                if not lines[owner[fd]].quiet():
                    poll.unregister(fd)
                    dead.append(owner[fd])
        return [], [i for i in dead if not lines[i].is_over()]
    finally:
        for i in owner.values():
            lines[i].words[lines[i].asleep] = 0


def await_turn(line: Line, other: int, eager: bool) -> str:
    """What a worker has to do next: "turn", "message" (file descriptor `other` can be read) or "gone"."""
    start = time.monotonic()
    while may_watch(start, eager):
        if line.words[line.their_turn] != line.turn:
            return "turn"
    poll = select.poll()
    poll.register(line.bell, select.POLLIN)
    poll.register(other, select.POLLIN)
    line.words[line.asleep] = 1
    try:
        while True:
            if line.words[line.their_turn] != line.turn:
                return "turn"
            ready = [fd for fd, _ in poll.poll(1000.0 * NAP_S)]
            if line.bell.fileno() in ready and not line.quiet():
                return "gone"
            if other in ready:
                return "message"
    finally:
        line.words[line.asleep] = 0
