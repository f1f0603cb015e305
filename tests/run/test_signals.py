"""Signals: a stop or a checkpoint on request, at the training's own moment."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from upswing.errors import INTERRUPTED, TERMINATED
from upswing.run.checkpoint import load_checkpoint
from upswing.run.signals import StopSignal


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, TERMINATED), (signal.SIGINT, INTERRUPTED)])
def test_a_signal_only_sets_a_flag(number, code):
    """Ctrl-C alike."""
    before = signal.getsignal(number)
    with StopSignal() as signals:
        assert signals.received is None and signals.exit_code == 0
        os.kill(os.getpid(), number)
        assert signals.received == number and signals.exit_code == code
    assert signal.getsignal(number) is before


def test_sigusr1_asks_for_a_checkpoint_each_time_it_comes():
    with StopSignal() as signals:
        assert not signals.take_checkpoint_request()
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGUSR1)
            assert signals.take_checkpoint_request()
            assert not signals.take_checkpoint_request()
        assert signals.received is None


def test_handlers_are_put_back_after_an_error():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    with pytest.raises(RuntimeError), StopSignal():
        raise RuntimeError
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]


def test_an_ignored_signal_stays_ignored():
    """A training in the background of a shell is not stopped by Ctrl-C in the foreground."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSignal() as signals:
            os.kill(os.getpid(), signal.SIGINT)
            assert signals.received is None
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_off_the_main_thread_nothing_is_installed():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with StopSignal() as signals:
            seen.append((signals.received, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(None, before)] and signal.getsignal(signal.SIGTERM) is before


TWICE = """
import os, signal, time
from upswing.run.signals import StopSignal
with StopSignal():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        print("still here", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    finally:
        print("not at once", flush=True)
"""


def test_a_second_signal_ends_the_process_at_once():
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, timeout=50, check=False)
    assert done.stdout == "still here\n" and done.returncode == TERMINATED


DURING_A_SAVE = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from conftest import make_snapshot
from upswing.run.checkpoint import save_checkpoint
from upswing.run.directory import open_run
from upswing.run.signals import StopSignal

real, calls = os.fsync, []

def fsync(fd):
    calls.append(fd)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGTERM)
    real(fd)

os.fsync = fsync
with open_run(sys.argv[1]) as run, StopSignal() as signals:
    for step in range(40, 100, 10):
        save_checkpoint(run, step, make_snapshot(step), {}, keep=3)
        if signals.received:
            break
sys.exit(signals.exit_code)
"""


def test_a_signal_during_a_save_lets_it_finish(saved, snapshot, same):
    """Committed, as nothing was discarded."""
    here = os.path.dirname(__file__)
    done = subprocess.run([sys.executable, "-c", DURING_A_SAVE, saved, here], capture_output=True, check=False)
    assert done.returncode == TERMINATED, done.stderr
    got, info = load_checkpoint(saved)
    assert info.step == 40 and info.warnings == []
    same(got, snapshot(40))
    assert not list((saved / "checkpoints").glob(".*"))
