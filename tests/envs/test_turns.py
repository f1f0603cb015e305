"""Two sides of a line: nobody waits in vain, for ever, or for the dead."""

import socket
import threading
import time

import pytest

from upswing.envs import turns
from upswing.envs.turns import WORDS, Line, await_turn, wait


@pytest.fixture
def line():
    words = memoryview(bytearray(8 * WORDS)).cast("q")
    ours, theirs = socket.socketpair()
    messages, other = socket.socketpair()
    yield Line(words, ours, parent=True), Line(words, theirs, parent=False), messages, other
    for each in (ours, theirs, messages, other):
        each.close()


def work(line, other, n, seconds):
    """Take `n` turns as a worker would, each after some time."""
    for _ in range(n):
        if await_turn(line, other.fileno(), eager=False) != "turn":
            return
        line.turn = line.words[line.their_turn]
        time.sleep(seconds)
        line.finish()


@pytest.mark.parametrize("watching", [True, False])
@pytest.mark.parametrize("seconds", [0.0, 0.003])
def test_turns_alternate_whether_watched_or_slept_through(line, monkeypatch, watching, seconds):
    monkeypatch.setattr(turns, "WATCHING", watching)
    if not watching:  # then the bell alone can wake anyone
        monkeypatch.setattr(turns, "NAP_S", 1000.0)
    parent, worker, _, other = line
    thread = threading.Thread(target=work, args=(worker, other, 30, seconds))
    thread.start()
    for turn in range(1, 31):
        parent.turn = turn
        parent.finish()
        assert wait([parent], 20.0, eager=turn % 2 == 0) == ([], [])
        assert worker.turn == turn
        time.sleep(0.004 if turn % 10 == 0 else 0)  # now and then the worker falls asleep
    thread.join()
    assert not any(parent.words[at] for at in (parent.asleep, parent.they_sleep))


def test_a_pause_of_everybody_is_no_hang(line, monkeypatch):
    """Ctrl-Z and fg: the clock went on, and nobody could have answered."""
    parent, worker, _, other = line
    real, began = time.monotonic, time.monotonic()
    monkeypatch.setattr(turns.time, "monotonic", lambda: real() + (1000.0 if real() - began > 0.15 else 0.0))
    thread = threading.Thread(target=work, args=(worker, other, 1, 0.4))
    thread.start()
    parent.turn = 1
    parent.finish()
    assert wait([parent], 5.0, eager=False) == ([], [])
    thread.join()


def test_silence_ends_at_the_time_limit(line):
    parent, worker, _, _ = line
    parent.turn = 1
    parent.finish()
    assert wait([parent], 0.05, eager=True) == ([0], [])
    worker.turn = 1
    worker.finish()
    assert wait([parent], 0.0, eager=True) == ([], [])


def test_a_side_that_died_is_reported_at_once(line):
    parent, worker, _, _ = line
    parent.turn = 1
    parent.finish()
    worker.bell.close()
    assert wait([parent], 60.0, eager=False) == ([], [0])
    parent.finish()  # rings for nobody
    assert wait([parent], 60.0, eager=False) == ([], [0])


def test_a_side_that_finished_before_it_died_has_finished(line):
    parent, worker, _, _ = line
    parent.turn = worker.turn = 1
    worker.finish()
    worker.bell.close()
    assert wait([parent], 60.0, eager=False) == ([], [])


def test_a_worker_hears_messages_and_the_end_of_its_parent(line):
    parent, worker, messages, other = line
    messages.send(b"hello")
    assert await_turn(worker, other.fileno(), eager=False) == "message"
    other.recv(9)
    parent.bell.close()
    assert await_turn(worker, other.fileno(), eager=False) == "gone"


def test_a_bell_that_nobody_hears_does_not_block_the_ringer(line, monkeypatch):
    monkeypatch.setattr(turns, "WATCHING", False)
    parent, worker, _, _ = line
    for parent.turn in range(5000):
        parent.finish()
    assert worker.quiet()
    worker.turn = parent.turn
    worker.finish()
    assert wait([parent], 5.0, eager=True) == ([], [])
