"""Whole trainings: what they leave behind, how they stop, and that stopping changes nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from safetensors.numpy import load_file

import upswing
from upswing.config import TrainConfig
from upswing.doctor.observe import ACTION_SATURATION, DORMANT_UNITS, OBS_CLIPPED, OBS_OFFSET, OBS_STD_MAX
from upswing.errors import ConfigError, StorageError, TrainingDiverged
from upswing.hooks import Hook, Request
from upswing.metrics import METRICS
from upswing.run.records import read_metrics, read_records
from upswing.training import resume, train

SMALL = {"env": "CartPole-v1", "n_envs": 4, "n_steps": 32, "batch_size": 64, "n_epochs": 2, "n_eval_episodes": 2}


def small(tmp_path, **settings):
    return TrainConfig(**(SMALL | {"out_dir": str(tmp_path), "total_timesteps": 1024, "engine": "torch"} | settings))


class StopAt(Hook):
    def __init__(self, steps):
        self.steps = steps

    def on_iteration(self, record, agent):
        return Request(stop="enough") if record["time/total_timesteps"] >= self.steps else None


def weights(run, step):
    return load_file(Path(run) / "checkpoints" / str(step) / "model.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("likely", [True, False])
def test_a_run_is_played_as_it_evaluates_itself_unless_told_otherwise(tmp_path, monkeypatch, likely):
    from upswing import evaluation

    result = train(small(tmp_path, total_timesteps=128, eval_deterministic=likely))
    asked, real = [], evaluation.evaluate
    monkeypatch.setattr(evaluation, "evaluate", lambda *args: asked.append(args[-1]) or real(*args))
    for told in (None, True, False):
        upswing.evaluate_run(result.run_dir, n_episodes=2, deterministic=told)
    assert asked == [likely, True, False]


def test_a_run_leaves_its_whole_record_behind(tmp_path):
    result = train(small(tmp_path, name="run"))
    run = Path(result.run_dir)
    assert run == tmp_path / "run"
    metrics = read_metrics(run)
    assert metrics["time/total_timesteps"].tolist() == list(range(128, 1025, 128))
    recorded = set().union(*read_records(run / "metrics.jsonl"))
    assert recorded <= set(METRICS), "something is recorded that is not declared"
    assert set(METRICS) - recorded == {
        OBS_STD_MAX,
        OBS_OFFSET,
        OBS_CLIPPED,
        ACTION_SATURATION,
        DORMANT_UNITS,
    }, "only what the doctor looks for may be missing without it"
    episodes = read_records(run / "episodes.jsonl")
    assert sum(e["length"] for e in episodes) <= 1024
    assert {e["return"] for e in episodes} == {float(e["length"]) for e in episodes}
    assert json.loads((run / "config.json").read_text())["config"]["n_envs"] == 4
    assert list(run.glob("events.out.tfevents.*"))
    assert result.total_timesteps == 1024
    assert result.mean_reward is not None
    assert result.best_mean_reward >= result.mean_reward
    assert result.wall_time_s > result.train_time_s > 0
    assert result.exit_code == 0


@pytest.mark.parametrize("kind", ["classic", "continuous"])
def test_stopping_and_resuming_equals_never_stopping_to_the_bit(tmp_path, kind):
    settings = {
        "classic": {"learning_rate": "linear:1e-3", "clip_range": "linear:0.2", "normalize_obs": True},
        "continuous": {
            "env": "Pendulum-v1",
            "normalize_obs": True,
            "normalize_reward": True,
            "use_sde": True,
            "sde_sample_freq": 4,
            "learning_rate": "adaptive:1e-3",
        },
    }[kind]
    straight = train(small(tmp_path, name="straight", **settings))
    halted = train(small(tmp_path, name="halted", **settings), [StopAt(512)])
    assert halted.stopped == "enough"
    continued = resume(halted.run_dir)
    assert same(weights(straight.run_dir, 1024), weights(continued.run_dir, 1024))
    assert continued.mean_reward == straight.mean_reward
    a, b = read_metrics(straight.run_dir), read_metrics(continued.run_dir)
    timeless = [tag for tag in a if not tag.startswith("time/") and tag != "eval/eval_s"]
    for tag in timeless:
        np.testing.assert_array_equal(a[tag], b[tag], err_msg=tag)


def test_the_same_seed_gives_the_same_run_and_another_does_not(tmp_path):
    first, second, other = (
        train(small(tmp_path, name=name, seed=seed, total_timesteps=256))
        for name, seed in [("a", 1), ("b", 1), ("c", 2)]
    )
    assert same(weights(first.run_dir, 256), weights(second.run_dir, 256))
    assert not same(weights(first.run_dir, 256), weights(other.run_dir, 256))


def test_a_longer_budget_extends_a_finished_run(tmp_path):
    done = train(small(tmp_path, name="run", total_timesteps=256))
    more = resume(done.run_dir, total_timesteps=512)
    assert more.total_timesteps == 512
    assert read_metrics(done.run_dir)["time/total_timesteps"].tolist() == [128, 256, 384, 512]
    with pytest.raises(ConfigError, match="already taken"):
        resume(done.run_dir, total_timesteps=100)


@pytest.mark.parametrize(("first", "second"), [("native", "torch"), ("torch", "native")])
def test_a_run_can_go_on_with_the_other_engine(tmp_path, first, second):
    halted = train(small(tmp_path, engine=first, normalize_obs=True, normalize_reward=True), [StopAt(512)])
    steps = load_file(Path(halted.run_dir) / "checkpoints" / "512" / "optimizer.safetensors")["step"]
    continued = resume(halted.run_dir, engine=second)
    assert continued.total_timesteps == 1024
    assert load_file(Path(halted.run_dir) / "checkpoints" / "1024" / "optimizer.safetensors")["step"] == 2 * steps


def test_checkpoint_path_starts_afresh_from_weights_and_statistics(tmp_path):
    first = train(small(tmp_path, name="first", normalize_obs=True))
    second = train(
        small(
            tmp_path,
            name="second",
            normalize_obs=True,
            learning_rate=0.0,
            total_timesteps=128,
            checkpoint_path=str(Path(first.run_dir) / "checkpoints" / "1024"),
        )
    )
    old, new = weights(first.run_dir, 1024), weights(second.run_dir, 128)
    policy = [name for name in old if not name.startswith("normalizer.")]
    assert all(np.array_equal(old[name], new[name]) for name in policy)
    weight = next(name for name in old if name.startswith("normalizer.") and name.endswith("weight"))
    assert new[weight] > old[weight], "the statistics go on from the saved ones"
    assert read_metrics(second.run_dir)["time/total_timesteps"].tolist() == [128]


def test_weights_of_another_shape_are_refused_by_name(tmp_path):
    first = train(small(tmp_path, name="first", total_timesteps=128))
    with pytest.raises(ConfigError, match="policy_kwargs"):
        train(small(tmp_path, policy_kwargs={"net_arch": [8]}, checkpoint_path=first.run_dir))


def test_early_stop_reward_stops(tmp_path):
    result = train(small(tmp_path, early_stop_reward=1.0, eval_freq=256))
    assert "mean return" in result.stopped
    assert result.total_timesteps == 256


def test_the_evaluation_frequency_counts_environment_steps(tmp_path):
    result = train(small(tmp_path, eval_freq=300, name="run"))
    scores = read_metrics(result.run_dir)["eval/mean_reward"]
    assert np.flatnonzero(~np.isnan(scores)).tolist() == [2, 4, 7]  # after 384, 640, 1024: across 300, 600, 900


def test_hooks_see_every_step_epoch_and_iteration_and_may_change_settings(tmp_path):
    class Counting(Hook):
        steps = epochs = rollouts = 0
        started = ended = None
        rates = ()

        def on_start(self, info):
            self.started = info

        def on_step(self, view):
            self.steps += 1

        def on_rollout(self, rollout, num_timesteps):
            self.rollouts += 1

        def on_epoch(self, view):
            self.epochs += 1
            return False

        def on_iteration(self, record, agent):
            self.rates = (*self.rates, record["train/learning_rate"])
            return Request(changes={"learning_rate": 1e-5}, metrics={"custom/one": 1.0})

        def on_end(self, result):
            self.ended = result

    hook = Counting()
    result = train(small(tmp_path, total_timesteps=256), [hook])
    assert (hook.steps, hook.rollouts, hook.epochs) == (64, 2, 2)
    assert hook.rates == (3e-4, 1e-5)
    assert hook.started.n_parameters > 0
    assert hook.ended == result
    assert json.loads((Path(result.run_dir) / "metrics.jsonl").read_text().splitlines()[0])["custom/one"] == 1.0


class HugeRewards(Hook):
    def on_rollout(self, rollout, num_timesteps):
        if num_timesteps > 128:
            rollout.rewards[0, 0] = float("nan")


def test_a_diverged_training_leaves_its_last_finite_weights(tmp_path):
    with pytest.raises(TrainingDiverged):
        train(small(tmp_path, name="run"), [HugeRewards()])
    latest = (tmp_path / "run" / "checkpoints" / "latest").read_text().strip()
    assert all(np.isfinite(array).all() for array in weights(tmp_path / "run", latest).values())


def test_a_run_is_never_overwritten(tmp_path):
    train(small(tmp_path, name="run", total_timesteps=128))
    with pytest.raises(ConfigError, match="exists already"):
        train(small(tmp_path, name="run", total_timesteps=128))


def test_two_processes_cannot_continue_one_run(tmp_path):
    done = train(small(tmp_path, total_timesteps=128))
    from upswing.run.directory import open_run

    with open_run(done.run_dir), pytest.raises(StorageError, match="another process"):
        resume(done.run_dir, total_timesteps=256)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_exits_with_its_code(tmp_path, number, code):
    command = [
        sys.executable,
        "-m",
        "upswing",
        "train",
        "CartPole-v1",
        "--no-preset",
        "--engine",
        "torch",
        "--name",
        "r",
    ]
    command += ["--total-timesteps", "100000000", "--out-dir", str(tmp_path), "--n-steps", "64", "--quiet"]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE)
    metrics = tmp_path / "r" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    records = read_metrics(tmp_path / "r")["time/total_timesteps"]
    assert (tmp_path / "r" / "checkpoints" / "latest").read_text().strip() == str(int(records[-1]))


def test_evaluating_a_run_takes_the_best_checkpoint_unless_told(tmp_path):
    result = train(small(tmp_path, name="run"))
    best = upswing.evaluate_run(result.run_dir, n_episodes=3)
    assert best.n_episodes == len(best.returns) == 3
    assert best.checkpoint == (tmp_path / "run" / "checkpoints" / "best").read_text().strip()
    assert upswing.evaluate_run(result.run_dir, which="latest", n_episodes=2).checkpoint == "1024"
    assert best.success_once is None
    with pytest.raises(StorageError, match="7"):
        upswing.evaluate_run(result.run_dir, which=7)


def test_what_happens_to_the_environments_reaches_the_hooks(tmp_path):
    class Listening(Hook):
        heard = ()

        def on_notice(self, sentence):
            self.heard = (*self.heard, sentence)

    hook = Listening()
    train(small(tmp_path, env=NanNowAndThen, vectorization="serial"), [hook])
    assert any("dropped" in sentence for sentence in hook.heard)


class NanNowAndThen(gymnasium.Env):
    """Once in a hundred steps its observation is not a number."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    steps = 0

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.full(1, np.nan if self.steps % 100 == 0 else 0, np.float32), 1.0, self.steps % 7 == 0, False, {}
