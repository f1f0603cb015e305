"""Worker processes as users' own scripts meet them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SRC = str(Path(__file__).parents[2] / "src")

DEFINE = """
import gymnasium, numpy as np, subprocess, time
from upswing.envs.workers import WorkerVectorEnv

print("the script runs", flush=True)

class Mine(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (3,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return helper(0), {}

    def step(self, action):
        return helper(1), 1.0, False, False, {}

def helper(value):
    return np.full(3, value, np.float32)
"""
MAKE = """
env = WorkerVectorEnv([Mine] * 4, 2)
env.reset()
"""
NAMES = """
print(env._server._process.pid, *(worker.pid for worker in env._workers), flush=True)
"""
STEP = """
print("mean", env.step(np.zeros(4, int)).obs.mean())
"""
HANG = """
def helper(value):
    if value:
        game = subprocess.Popen(["sleep", "1000"])
        open(f"game{game.pid}", "w").close()
        time.sleep(1000)
    return np.full(3, value, np.float32)
"""


def run(tmp_path, text, **more):
    path = tmp_path / "train.py"
    path.write_text(text)
    return subprocess.Popen(
        [sys.executable, path],
        env={**os.environ, "PYTHONPATH": SRC},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def gone(pids, within_s=20.0):
    """Whether every process of `pids` ends in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{pid}").exists() and "Z" not in state(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_a_script_needs_no_guard_and_is_run_once(tmp_path):
    process = run(tmp_path, DEFINE + MAKE + STEP)  # nor does it need to close anything
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.split("\n")[:2] == ["the script runs", "mean 1.0"]


def test_nothing_survives_a_parent_that_is_killed(tmp_path):
    before = set(os.listdir("/dev/shm"))
    process = run(tmp_path, DEFINE + MAKE + NAMES + "time.sleep(1000)")
    pids = pids_of(process)
    process.kill()
    assert gone(pids)
    assert set(os.listdir("/dev/shm")) <= before
    process.communicate()


def test_not_even_what_hung_environments_have_started(tmp_path):
    process = run(tmp_path, DEFINE + HANG + MAKE + NAMES + STEP)
    pids, games, deadline = pids_of(process), [], time.monotonic() + 30
    while len(games) < 2 and time.monotonic() < deadline:
        games = [int(path.name[4:]) for path in tmp_path.glob("game*")]
        time.sleep(0.02)
    assert len(games) == 2
    process.kill()
    assert gone([*pids, *games])
    process.communicate()


def pids_of(process):
    for line in process.stdout:
        if line.split()[0].isdigit():
            return [int(pid) for pid in line.split()]
    raise AssertionError(process.stderr.read())


def test_ctrl_c_reaches_the_script_alone(tmp_path):
    # the names are printed where Ctrl-C is already expected: it comes as soon as they are read
    waiting = f"try:\n    {NAMES.strip()}\n    time.sleep(1000)\nexcept KeyboardInterrupt:\n    pass\n"
    process = run(tmp_path, DEFINE + MAKE + waiting + STEP, start_new_session=True)
    pids = pids_of(process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (out, err) == ("mean 1.0\n", "")
    assert gone(pids)


def test_a_module_beside_the_script_is_found_by_the_workers(tmp_path):
    (tmp_path / "mine.py").write_text(DEFINE)
    process = run(tmp_path, "from mine import *\n" + MAKE + STEP)
    out, err = process.communicate(timeout=60)
    assert err == "" and "mean 1.0" in out
