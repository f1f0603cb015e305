"""Statements of docs/correctness.md that need a whole training, or that no one part of the program answers for."""

from itertools import combinations
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from upswing.config import TrainConfig
from upswing.engine.normalizer import Normalizer
from upswing.envs.serial import SerialVectorEnv
from upswing.evaluation import evaluate
from upswing.run.model_file import load_model
from upswing.run.records import read_metrics
from upswing.seeds import later_seeds, spawn_seeds
from upswing.training import train

FAR = 1e6


class Cut(gymnasium.Env):
    """Two steps of noise around 0 and a reward of 100, then a truncation with a last observation that is far away."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n = 0
        return self.np_random.normal(size=2).astype(np.float32), {}

    def step(self, action):
        self.n += 1
        cut = self.n == 3
        obs = np.full(2, FAR) if cut else self.np_random.normal(size=2)
        return obs.astype(np.float32), 100.0, False, cut, {}


class Lasting(gymnasium.Env):
    """Episodes of a given length; each step's reward is given too."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, length, reward):
        self.length, self.reward = length, reward

    def reset(self, *, seed=None, options=None):
        self.n = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.n += 1
        return np.zeros(1, np.float32), self.reward, self.n == self.length, False, {}


class AlwaysZero:
    """An agent that takes action 0, and its own policy, which remembers nothing."""

    @property
    def policy(self):
        return self

    def initial_state(self, n_envs):
        return torch.zeros(n_envs, 0)

    def step(self, obs, state, deterministic=True):
        return np.zeros(len(obs), np.int64), state


@pytest.fixture(params=["native", "torch"])
def trained(request, tmp_path):
    """The folder of a finished training of four iterations on Cut."""

    def call(name, **settings):
        defaults = {"n_envs": 2, "n_steps": 16, "batch_size": 32, "n_epochs": 2, "total_timesteps": 128}
        defaults |= {"n_eval_episodes": 2, "vectorization": "serial", "engine": request.param}
        config = TrainConfig(env=Cut, out_dir=str(tmp_path), name=name, **(defaults | settings))
        return Path(train(config).run_dir)

    return call


def test_neighbouring_seeds_share_none():
    runs = [spawn_seeds(seed, 64) for seed in range(8)]
    every = [{run.policy, run.engine, run.evaluation, *run.envs} for run in runs]
    assert all(len(seeds) == 67 for seeds in every)
    assert not any(a & b for a, b in combinations(every, 2))


def test_evaluations_differ_from_each_other_and_from_training():
    base = spawn_seeds(0, 64)
    rounds = [set(later_seeds(base.evaluation, steps, 8)) for steps in (0, 1000, 2000)]
    assert all(len(seeds) == 8 for seeds in rounds)
    assert not any(a & b for a, b in combinations([*rounds, set(base.envs)], 2))


def test_the_first_update_gets_the_start_of_a_schedule_and_none_its_end(trained):
    metrics = read_metrics(trained("run", learning_rate="linear:4e-4", clip_range="linear:0.4:0.2"))
    assert metrics["train/learning_rate"] == pytest.approx([4e-4, 3e-4, 2e-4, 1e-4])
    assert metrics["train/clip_range"] == pytest.approx([0.4, 0.35, 0.3, 0.25])


def test_every_environment_contributes_as_many_episodes_however_long_they_are():
    env = SerialVectorEnv([lambda: Lasting(1, 1.0), lambda: Lasting(10, 0.0)])
    score = evaluate(AlwaysZero(), env, n_episodes=6, seeds=[0, 1])
    assert sorted(score.lengths) == [1, 1, 1, 10, 10, 10]
    assert score.mean_reward == 0.5


def test_the_last_observation_of_an_episode_is_not_counted(trained):
    model = load_file(trained("run", normalize_obs=True) / "checkpoints" / "128" / "model.safetensors")
    mean = next(array for name, array in model.items() if name.endswith("obs..mean"))
    assert np.abs(mean).max() < 1.0


def test_the_last_observation_of_an_episode_is_scaled():
    normalizer = Normalizer(TrainConfig(normalize_obs=True), Cut.observation_space, 4)
    normalizer.observe(np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32))
    assert normalizer.scale(np.full((1, 2), FAR, np.float32)) == pytest.approx(10.0)  # clip_obs


def test_reports_are_raw_whatever_is_learned_from(trained):
    metrics = read_metrics(trained("run", normalize_reward=True, normalize_obs=True))
    assert (metrics["rollout/ep_rew_mean"] == 300.0).all()
    assert (metrics["rollout/reward_mean"] == 100.0).all()
    assert metrics["eval/mean_reward"][-1] == 300.0
    assert (metrics["train/return_mean"] < 50.0).all()


def test_evaluating_changes_nothing_that_is_trained(trained):
    often = trained("often", normalize_obs=True, normalize_reward=True, eval_freq=32)
    never = trained("never", normalize_obs=True, normalize_reward=True, eval_freq=0)
    a, b = (load_file(run / "checkpoints" / "128" / "model.safetensors") for run in (often, never))
    assert a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_the_best_checkpoint_holds_its_statistics(trained):
    run = trained("run", normalize_obs=True, normalize_reward=True, eval_freq=32)
    arrays, _ = load_model(run, "best")
    assert sum(name.startswith("normalizer.") for name in arrays) == 6
