"""Several trainings at once: each as it is alone, none disturbed by another's failure, all stopped by a signal."""

import os
import signal
import threading

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from upswing import TrainConfig, train, train_many
from upswing.errors import ConfigError, UserError
from upswing.hooks import Hook


def config(tmp_path, seed, **settings):
    given = {"n_envs": 4, "n_steps": 64, "batch_size": 64, "n_epochs": 3, "total_timesteps": 2048, "eval_freq": 1024}
    return TrainConfig(out_dir=str(tmp_path), seed=seed, **(given | settings))


def weights(result):
    return load_file(f"{result.run_dir}/checkpoints/{result.total_timesteps}/model.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_each_is_what_it_is_alone(tmp_path):
    settings = [{}, {"learning_rate": 1e-3}, {"env": "Pendulum-v1"}, {"normalize_obs": True}, {"engine": "torch"}]
    alone = [train(config(tmp_path / "alone", i, **s)) for i, s in enumerate(settings)]
    together = train_many([config(tmp_path / "together", i, **s) for i, s in enumerate(settings)], n_threads=5)
    for a, b in zip(alone, together, strict=True):
        assert isinstance(b, type(a)) and a.mean_reward == b.mean_reward and same(weights(a), weights(b))
    assert len({r.run_dir for r in together}) == 5


def test_the_same_setting_several_times_gets_folders_of_its_own(tmp_path):
    results = train_many([config(tmp_path, 1)] * 3, n_threads=3)
    assert len({r.run_dir for r in results}) == 3 and all(same(weights(results[0]), weights(r)) for r in results)


def test_a_failure_is_an_answer_of_its_own(tmp_path):
    results = train_many([config(tmp_path, 0), config(tmp_path, 1, env="Nowhere-v0"), config(tmp_path, 2)])
    assert isinstance(results[1], UserError) and "Nowhere-v0" in str(results[1])
    assert results[0].total_timesteps == results[2].total_timesteps == 2048


def test_hooks_are_each_trainings_own(tmp_path):
    class Count(Hook):
        def __init__(self):
            self.iterations, self.thread = 0, None

        def on_iteration(self, record, agent):
            self.iterations, self.thread = self.iterations + 1, threading.current_thread()

    counts = {}
    configs = [config(tmp_path, 0), config(tmp_path, 1, total_timesteps=512)]
    train_many(configs, lambda c: [counts.setdefault(c.seed, Count())], n_threads=2)
    assert {seed: count.iterations for seed, count in counts.items()} == {0: 8, 1: 2}
    assert threading.main_thread() not in {count.thread for count in counts.values()}


def test_a_signal_stops_all_of_them(tmp_path):
    class Interrupt(Hook):
        def on_iteration(self, record, agent):
            if record["time/iterations"] == 2:
                os.kill(os.getpid(), signal.SIGINT)

    long = [config(tmp_path, seed, total_timesteps=10**8) for seed in range(3)]
    results = train_many(long, lambda c: [Interrupt()] if c.seed == 0 else [], n_threads=2)
    assert [r.stopped for r in results[:2]] == ["SIGINT"] * 2 and results[0].exit_code == 130
    assert all(os.path.isdir(f"{r.run_dir}/checkpoints/{r.total_timesteps}") for r in results[:2])
    assert isinstance(results[2], UserError) and "SIGINT" in str(results[2])


def test_threads_of_torch_are_given_back(tmp_path):
    before = torch.get_num_threads()
    train_many([config(tmp_path, 0, total_timesteps=256)])
    assert torch.get_num_threads() == before
    with pytest.raises(ConfigError, match="n_threads = 0"):
        train_many([], n_threads=0)
    assert train_many([]) == []
