"""Several processes that train one policy: their updates are one process's, and one of them speaks."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from group_member import CASES, ROLLOUT
from scripted import script
from torch_engines import HYPER, engine_for, weights
from upswing.engine.contract import Rollout
from upswing.engine.group import Group
from upswing.errors import ConfigError
from upswing.run.records import read_metrics

TESTS = Path(__file__).parents[1]
SETTINGS = ["--no-preset", "--n-envs", "4", "--n-steps", "32", "--name", "r", "--threads", "1", "--eval-freq", "0"]


def start(arguments, cwd):
    """Two processes, started with the variables that torchrun sets."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    path = os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)])
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "PYTHONPATH": path}
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


def outcomes(processes):
    """Exit code, stdout and stderr of each."""
    said = [process.communicate(timeout=200) for process in processes]
    return [(process.returncode, *each) for process, each in zip(processes, said, strict=True)]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What two processes made of each case, by (case, rank)."""
    folder = tmp_path_factory.mktemp("group")
    done = outcomes(start([TESTS / "group_member.py", folder], folder))
    assert [code for code, _, _ in done] == [0, 0], done
    return {(case, rank): dict(np.load(folder / f"{case}-{rank}.npz")) for case in CASES for rank in range(2)}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_make_the_update_of_one(together, case):
    """From the same rollout, to 1e-6 in every weight: sums in another order are all that differs."""
    settings = {"batch_size": 16} | CASES[case]
    target = settings.pop("target_kl", None)
    mine, other = together[case, 0], together[case, 1]
    np.testing.assert_array_equal(mine["after"], other["after"])
    alone = engine_for(script(16, 4, seed=3), **settings)
    np.testing.assert_array_equal(weights(alone), mine["before"])
    alone.collect()
    rollout = Rollout(**{key: torch.from_numpy(mine[key]) for key in ROLLOUT})
    views = []
    stats = alone.update(rollout, HYPER._replace(target_kl=target), on_epoch=views.append)
    tolerance = 1e-3 if "amp" in settings else 1e-6
    np.testing.assert_allclose(mine["after"], weights(alone), atol=tolerance)
    for name, value in stats._asdict().items():
        if name != "update_s" and value is not None:
            loose = {"rtol": 0.02, "atol": 1e-3} if "amp" in settings else {"rtol": 1e-4, "atol": 1e-6}
            np.testing.assert_allclose(mine[f"stats.{name}"], value, err_msg=name, **loose)
            if name != "update_s":
                np.testing.assert_allclose(mine[f"stats.{name}"], other[f"stats.{name}"], err_msg=name, rtol=1e-6)
    np.testing.assert_allclose(mine["views"], np.array(views), rtol=0.05 if "amp" in settings else 1e-4, atol=1e-6)


def test_what_they_collect_is_the_rollout_of_all_environments(together):
    plain = together["plain", 0]
    env = script(16, 4, seed=3)
    np.testing.assert_array_equal(plain["rewards"], [step.rewards for step in env.steps])
    np.testing.assert_array_equal(plain["terminated"], [step.terminated for step in env.steps])
    np.testing.assert_array_equal(plain["obs"], [env.first_obs, *(step.obs for step in env.steps[:-1])])
    expected = sorted((e.env, e.ret, e.length) for step in env.steps for e in step.episodes)
    assert sorted(map(tuple, plain["episodes"])) == expected
    assert plain["num_timesteps"] == 64
    assert plain["raw"] == pytest.approx(np.mean([step.rewards for step in env.steps]), rel=1e-6)
    assert not np.array_equal(plain["actions"][:, :2], plain["actions"][:, 2:])  # each draws for itself


def test_their_statistics_are_those_of_one_process(together):
    """Observations do not depend on the actions of a script, so that the moments can be compared outright."""
    scaled = together["scaled", 0]
    alone = engine_for(script(16, 4, seed=3), **CASES["scaled"])
    alone.collect()
    for name, value in alone.normalizer.arrays().items():
        np.testing.assert_allclose(scaled[name], value, rtol=1e-12)
        np.testing.assert_array_equal(scaled[name], together["scaled", 1][name])


def test_one_speaks_and_saves_a_resume_goes_on_and_a_killed_one_ends_all_with_a_sentence(tmp_path):
    train = [
        "-m",
        "upswing",
        "train",
        "CartPole-v1",
        *SETTINGS,
        "--total-timesteps",
        "256",
        "--normalize-obs",
        "--json",
    ]
    leader, follower = outcomes(start(train, tmp_path))
    assert (leader[0], follower) == (0, (0, "", "")), leader[2]
    result = json.loads(leader[1])
    assert result["total_timesteps"] == 256
    assert result["mean_reward"] is not None
    assert "2 processes train it together" in leader[2]
    resume = ["-m", "upswing", "resume", "runs/r", "--total-timesteps", "100000000", "--plain"]
    leader, follower = start(resume, tmp_path)
    records = tmp_path / "runs" / "r" / "metrics.jsonl"
    while len(records.read_text().splitlines()) < 4 and leader.poll() is None:
        time.sleep(0.05)
    follower.send_signal(signal.SIGKILL)
    (code, out, err), _ = outcomes([leader, follower])
    assert code == 1
    assert "new episodes were begun" in out
    assert "Another process of this training has ended" in err
    assert "Traceback" not in err
    metrics = read_metrics(tmp_path / "runs" / "r")
    np.testing.assert_array_equal(metrics["time/total_timesteps"][:4], [128, 256, 384, 512])
    assert metrics["train/ratio_error"].max() < 1e-4


def test_alone_nothing_is_done():
    alone, rows = Group(), torch.arange(3)
    assert alone.leads
    assert alone.gather(rows) is rows
    assert alone.sum(rows) is rows
    assert alone.lead("x") == "x"
    assert alone.part([1, 2]) == [1, 2]
    assert alone.rows(7) == (slice(0, None, 1), 1.0)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8])
def test_shares_of_a_minibatch_are_all_of_it(n):
    shares = [Group(rank, 3).rows(n) for rank in range(3)]
    assert sum(weight for _, weight in shares) == pytest.approx(1.0)
    counted = sorted(row for rows, weight in shares if weight for row in range(n)[rows])
    assert counted == list(range(n))
    assert all(len(range(n)[rows]) for rows, _ in shares)


def test_environments_that_cannot_be_shared_are_told():
    with pytest.raises(ConfigError, match="n_envs = 3 cannot be shared evenly by 2"):
        Group(0, 2).share(3)
