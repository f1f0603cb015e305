"""Workers that die, hang, raise or lie: named, replaced a bounded number of times, and never waited for for ever."""

import functools
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from envs.worlds import Counting, Faulty, Masked
from upswing.envs import memory, turns
from upswing.envs.shared import SharedVectorEnv
from upswing.envs.workers import WorkerVectorEnv
from upswing.errors import ConfigError, EnvironmentFault
from upswing.run.signals import StopSignal, stop_asked_at

SEEDS = [10, 11, 12, 13]


def workers(fault, marker=None, tag=11, **more):
    """Four environments in two workers; the fault happens to the one with seed `tag`."""
    settings = {"step_timeout_s": 1.0, "close_timeout_s": 0.5} | more
    return WorkerVectorEnv([functools.partial(Faulty, fault, marker=marker, tag=tag)] * 4, 2, **settings)


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("step kill", "was killed by SIGKILL with environment 1 at work"),
        ("step segv", "was killed by SIGSEGV with environment 1 at work"),
        ("step exit", "ended by itself with exit code 7 with environment 1 at work"),
        ("step hang", "did not answer for 1 s with environment 1 at work"),
        ("step raise", "failed: Environment 1 raised ZeroDivisionError: the pole is gone in step (worlds.py, line"),
    ],
)
def test_a_worker_that_fails_in_a_step_is_named_and_replaced(fault, said, tmp_path):
    env = workers(fault, str(tmp_path / "marker"))
    env.reset(SEEDS)
    before = [worker.pid for worker in env._workers]
    assert env.step(np.zeros(4, int)).valid is None
    step = env.step(np.zeros(4, int))
    after = [worker.pid for worker in env._workers]
    assert step.valid.tolist() == [False, False, True, True]
    assert step.truncated.tolist() == [True, True, False, False] and not step.terminated.any()
    assert step.rewards.tolist() == [0, 0, 1, 1] and step.episodes == []
    assert step.obs[:, 2].tolist() == [0, 0, 2, 2]
    assert step.final_obs[:, 0].tolist() == [10, 11] and step.final_obs[1, 2] == 1  # the last that is known
    assert len(env.notices) == 1 and said in env.notices[0]
    assert env.notices[0].startswith("Worker 0 (environments 0 to 1) ") and "1 of at most 3 times" in env.notices[0]
    assert before[0] != after[0] and before[1] == after[1] and not alive(before[0])
    step = env.step(np.zeros(4, int))
    assert step.valid is None and step.obs[:, 2].tolist() == [1, 1, 3, 3]
    assert not step.truncated.any()
    env.close()
    assert not any(alive(pid) for pid in after)


def test_new_episodes_after_a_restart_have_seeds_of_their_own(tmp_path):
    env = workers("step raise", str(tmp_path / "marker"))
    env.reset(SEEDS)
    env.step(np.zeros(4, int))
    tags = env.step(np.zeros(4, int)).obs[:, 0].tolist()
    env.close()
    assert tags[2:] == [12, 13] and len({*tags, *SEEDS}) == 6


def test_a_worker_that_keeps_failing_ends_the_run_with_its_name():
    env = workers("step raise", tag=None, max_restarts=2, step_timeout_s=10.0)
    env.reset(SEEDS)
    message = r"Worker 0 \(environments 0 to 1\) failed: Environment 0 raised ZeroDivisionError.*after 2 restarts: mend"
    with pytest.raises(EnvironmentFault, match=message) as raised:
        for _ in range(10):
            env.step(np.zeros(4, int))
    causes, error = "", raised.value
    while error := error.__cause__:
        causes += str(error)
    assert 'raise ZeroDivisionError("the pole is gone")' in causes  # the worker's own traceback
    assert [worker.restarts for worker in env._workers] == [2, 2]
    env.close()


@pytest.mark.parametrize("fault", ["reset hang", "reset kill", "reset raise"])
def test_a_worker_that_fails_in_reset_is_replaced(fault, tmp_path):
    env = workers(fault, str(tmp_path / "marker"))
    assert env.reset(SEEDS)[:, 0].tolist() == SEEDS
    assert len(env.notices) == 1 and env.notices[0].startswith("Worker 0")
    assert env.step(np.zeros(4, int)).obs[:, 2].tolist() == [1, 1, 1, 1]
    env.close()


def test_no_restart_may_be_allowed_at_all():
    env = workers("reset raise", max_restarts=0)
    with pytest.raises(EnvironmentFault, match=r"Worker 0 .* after 0 restarts"):
        env.reset(SEEDS)
    env.close()


def test_failures_while_the_environments_are_made_are_not_retried():
    with pytest.raises(EnvironmentFault, match=r"Worker 0 .* raised ZeroDivisionError: .* when it was made"):
        workers("make raise", tag=None)
    with pytest.raises(EnvironmentFault, match=r"Worker 0 .* did not answer for 0.5 s while it made"):
        workers("make hang", tag=None, make_timeout_s=0.5)


@pytest.mark.parametrize(("fault", "said"), [("step shape", "has shape"), ("step dtype", "has dtype complex")])
def test_a_broken_contract_is_an_error_at_once(fault, said):
    env = workers(fault)
    env.reset(SEEDS)
    env.step(np.zeros(4, int))
    with pytest.raises(EnvironmentFault, match=f"Environment 1 broke its contract in step: its observation {said}"):
        env.step(np.zeros(4, int))
    assert env.notices == []
    env.close()


def test_quarantine_in_a_worker_reaches_the_parent(tmp_path):
    env = workers("step obs", str(tmp_path / "marker"))
    env.reset(SEEDS)
    env.step(np.zeros(4, int))
    step = env.step(np.zeros(4, int))
    assert step.valid.tolist() == [True, False, True, True] and np.isfinite(step.obs).all()
    assert env.notices == [
        "Environment 1 returned a NaN or infinite number in step 2 of an episode: that episode was dropped."
    ]
    assert env.step(np.zeros(4, int)).valid is None
    env.close()


def test_a_worker_that_hangs_in_close_is_killed_in_time():
    env = workers("close hang", tag=None)
    env.reset(SEEDS)
    pids = [worker.pid for worker in env._workers]
    start = time.monotonic()
    env.close()
    assert time.monotonic() - start < 10 and not any(alive(pid) for pid in pids)


def test_closing_in_the_middle_of_a_hung_step_is_bounded_and_twice_is_fine():
    env = workers("step hang", tag=None)
    env.reset(SEEDS)
    env.step(np.zeros(4, int))
    env.step_async(np.zeros(4, int))
    pids, server = [worker.pid for worker in env._workers], env._server._process.pid
    env.close()
    env.close()
    assert not any(alive(pid) for pid in [*pids, server])


def test_a_stop_is_not_held_up_by_a_hung_worker(monkeypatch, tmp_path):
    monkeypatch.setattr(turns, "STOPPING_S", 0.4)
    env = workers("step hang", str(tmp_path / "marker"), step_timeout_s=60.0)
    env.reset(SEEDS)
    env.step(np.zeros(4, int))
    with StopSignal() as stop:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        start = time.monotonic()
        step = env.step(np.zeros(4, int))
        assert 0.5 < time.monotonic() - start < 30 and stop.received == signal.SIGTERM
    assert step.valid.tolist() == [False, False, True, True] and "did not answer for " in env.notices[0]
    assert "60 s" not in env.notices[0]
    assert stop_asked_at() is None
    env.close()


def test_workers_take_no_notice_of_ctrl_c():
    env = WorkerVectorEnv([Counting] * 2, 2)
    env.reset([0, 1])
    for worker in env._workers:
        os.kill(worker.pid, signal.SIGINT)
    os.kill(env._server._process.pid, signal.SIGINT)
    assert env.step(np.zeros(2, int)).valid is None and env.notices == []
    env.close()


def test_a_full_disk_of_shared_memory_is_a_sentence(monkeypatch):
    def full(fd, offset, nbytes):
        raise OSError(28, "No space left on device")

    monkeypatch.delattr(os, "memfd_create", raising=False)
    fd = memory.new_memory()
    memory.reserve(fd, 4096)[:2] = b"ok"
    assert memory.attach(fd)[:2] == b"ok"
    os.close(fd)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(EnvironmentFault, match=r"shared memory of .* not that much left.*lower n_envs"):
        WorkerVectorEnv([Counting] * 2, 1)


def test_nothing_is_left_in_shared_memory_and_few_files_are_open():
    before, files = set(os.listdir("/dev/shm")), len(os.listdir("/proc/self/fd"))
    env = WorkerVectorEnv([Counting] * 2, 2)
    env.reset([0, 1])
    assert set(os.listdir("/dev/shm")) <= before
    env.close()
    del env
    assert len(os.listdir("/proc/self/fd")) <= files + 1  # the memory's mapping may outlive it for a moment


def test_what_cannot_be_sent_to_a_worker_is_said():
    lock = threading.Lock()
    with pytest.raises(ConfigError, match="cannot be sent to worker processes"):
        WorkerVectorEnv([lambda: Counting(lock)] * 2, 1)


def test_environments_of_different_shapes_are_refused():
    with pytest.raises(ConfigError, match=r"Worker 1 .* other spaces"):
        WorkerVectorEnv([Counting, lambda: Masked("entry")], 2)
    with pytest.raises(ConfigError, match="Environment 1 has other spaces"):
        WorkerVectorEnv([Counting, lambda: Masked("entry")], 1)


def test_where_this_process_takes_a_share_a_worker_that_fails_is_replaced_all_the_same(tmp_path):
    faulty = [functools.partial(Faulty, "step kill", marker=str(tmp_path / "marker"), tag=11)] * 4
    env = SharedVectorEnv(faulty, 1)
    env.reset(SEEDS)
    env.step(np.zeros(4, int))
    step = env.step(np.zeros(4, int))
    assert step.valid.tolist() == [False, False, True, True] and step.truncated.tolist() == [True, True, False, False]
    assert step.obs[:, 2].tolist() == [0, 0, 2, 2] and step.rewards.tolist() == [0, 0, 1, 1]
    assert env.notices[0].startswith("Worker 0 (environments 0 to 1) was killed by SIGKILL")
    env.close()


def test_an_environment_that_fails_in_this_process_is_named_and_ends_the_training(tmp_path):
    faulty = [functools.partial(Faulty, "step raise", marker=str(tmp_path / "marker"), tag=SEEDS[3])] * 4
    env = SharedVectorEnv(faulty, 1)
    env.reset(SEEDS)
    env.step(np.zeros(4, int))
    with pytest.raises(EnvironmentFault, match="Environment 3 raised ZeroDivisionError: the pole is gone in step"):
        env.step(np.zeros(4, int))
    env.close()
    with pytest.raises(ConfigError, match="Environment 1 has other spaces than environment 0"):
        SharedVectorEnv([Counting, lambda: Masked("entry")])
