"""A training that never happened: its start, its records and its result, for the views to show."""

import math
import random
from dataclasses import replace

import pytest

from upswing.config import TrainConfig, derive
from upswing.hooks import Result, RunInfo

NOTICES = (
    "Preset CartPole-v1 is in force: about 500 expected after 100,000 steps.",
    "Environments are compiled together with the policy.",
)


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def make_records(n, start=0):
    """`n` iterations of 256 steps whose return rises from 22 to 500; an evaluation after every tenth."""
    luck = random.Random(0)
    for i in range(1, n + 1):
        done = i / 391
        ret = 22 + 478 / (1 + math.exp(-(done - 0.35) * 14))
        record = {
            "rollout/ep_rew_mean": ret if i > 3 else None,
            "rollout/ep_len_mean": ret,
            "time/iterations": i,
            "time/total_timesteps": start + 256 * i,
            "time/collect_s": 0.002,
            "time/update_s": 0.003,
            "time/fps": 45_000.0,
            "time/fps_mean": 44_800.0,
            "time/peak_memory_mb": 612.0,
            "train/approx_kl": luck.uniform(0.008, 0.02),
            "train/clip_fraction": 0.14,
            "train/explained_variance": 1 - math.exp(-6 * done),
            "train/entropy_loss": -0.69 + 0.3 * done,
            "train/value_loss": 24.2,
            "train/learning_rate": 1e-3 * (1 - done),
            "train/grad_norm": 0.6,
        }
        if i % 10 == 0:
            record |= {"eval/mean_reward": ret + 20, "eval/std_reward": 12.3, "eval/eval_s": 0.005}
        yield record


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def info():
    config = TrainConfig(env="CartPole-v1", n_envs=8, n_steps=32, total_timesteps=100_000, seed=7)
    return RunInfo(
        "runs/CartPole-v1-20250612-153000-7", config, derive(config), "native", "8 environments", "cpu", 9155, NOTICES
    )


@pytest.fixture
def result(info):
    return Result(info.run_dir, 100_096, 44_800.0, 499.5, 500.0, 2.23, 4.1, 391)


@pytest.fixture
def interrupted(result):
    return replace(result, mean_reward=None, stopped="SIGINT", exit_code=130)


@pytest.fixture
def records():
    return make_records
