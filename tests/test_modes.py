"""Every combination a user can reach trains: observations, actions, policies, normalisation, losses, schedules."""

import dataclasses
import re

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from upswing.config import FIELDS, TrainConfig
from upswing.errors import ConfigError
from upswing.run.records import read_metrics
from upswing.training import train

OBSERVATIONS = {
    "box": spaces.Box(-1, 1, (3,), np.float32),
    "float64": spaces.Box(-1, 1, (2, 2), np.float64),
    "image": spaces.Box(0, 255, (36, 36, 3), np.uint8),
    "discrete": spaces.Discrete(4),
    "multi_discrete": spaces.MultiDiscrete([2, 3]),
    "multi_binary": spaces.MultiBinary(3),
    "dict": spaces.Dict(
        {"picture": spaces.Box(0, 255, (36, 36, 1), np.uint8), "vector": spaces.Box(-1, 1, (2,), np.float32)}
    ),
}
ACTIONS = {
    "discrete": spaces.Discrete(3),
    "shifted": spaces.Discrete(3, start=5),
    "box": spaces.Box(-0.5, 2.0, (2,), np.float32),
    "multi_discrete": spaces.MultiDiscrete([2, 3]),
    "multi_binary": spaces.MultiBinary(3),
}


class Anything(gymnasium.Env):
    """A world of any spaces, whose episodes last five steps; checks every action it is given."""

    def __init__(self, observation="box", action="discrete", masked=False):
        self.observation_space, self.action_space = OBSERVATIONS[observation], ACTIONS[action]
        self.masked = masked
        self.length = 0

    def action_masks(self):
        n = spaces.flatdim(self.action_space) if not isinstance(self.action_space, spaces.MultiDiscrete) else 5
        return np.array([True, False, True]) if self.masked else np.ones(n, bool)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.length = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        assert not (self.masked and action == 1)
        self.length += 1
        return self.observation_space.sample(), float(np.sum(action)), self.length == 5, False, {}


def run(tmp_path, **settings):
    base = {"env": Anything, "n_envs": 2, "n_steps": 16, "batch_size": 16, "n_epochs": 2, "total_timesteps": 64}
    base |= {"n_eval_episodes": 2, "out_dir": str(tmp_path), "vectorization": "serial", "threads": 1}
    result = train(TrainConfig(**(base | settings)))
    metrics = read_metrics(result.run_dir)
    assert metrics["train/ratio_error"].max() < 1e-4
    assert np.isfinite(metrics["train/loss"]).all()
    return metrics


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_every_pair_of_spaces_trains(tmp_path, observation, action):
    policy = {"image": "CnnPolicy", "dict": "MultiInputPolicy"}.get(observation, "MlpPolicy")
    small = {"net_arch": [8]} | ({"features_dim": 8} if policy == "CnnPolicy" else {})
    small |= {"features_extractor_kwargs": {"cnn_output_dim": 8}} if policy == "MultiInputPolicy" else {}
    run(tmp_path, env_kwargs={"observation": observation, "action": action}, policy=policy, policy_kwargs=small)


@pytest.mark.parametrize(
    "settings",
    [
        {"policy_kwargs": {"share_trunk": True}},
        {"policy_kwargs": {"net_arch": {"pi": [8], "vf": [16, 16]}, "activation_fn": "relu", "ortho_init": False}},
        {"policy_kwargs": {"net_arch": []}},
        {"normalize_obs": True, "normalize_reward": True, "clip_obs": 2.0, "clip_reward": 2.0},
        {"normalize_advantage": False},
        {"advantage_scope": "batch"},
        {"bootstrap_terminations": True},
        {"clip_range_vf": 0.2, "target_kl": 0.01, "ent_coef": "linear:0.1"},
        {"clip_range": "cosine:0.3:0.1", "learning_rate": "piecewise:0=1e-3,0.5=1e-4"},
        {"learning_rate": lambda remaining: 1e-3 * remaining},
        {"learning_rate": "adaptive:1e-3"},
        {"batch_size": None, "n_minibatches": 3},
        {"batch_size": 1000},
        {"batch_size": 7},
        {"rollout_rounding": "down", "total_timesteps": 70},
        {"eval_freq": 0, "checkpoint_freq": 0},
        {"eval_deterministic": False, "n_eval_envs": 1},
        {"threads": 2, "device": "cpu", "keep_checkpoints": 1, "stats_window_size": 2, "adam_eps": 1e-8},
        {"amp": "bf16", "normalize_obs": True},
        {"collect": "overlap", "normalize_obs": True, "normalize_reward": True},
        {"collect": "overlap", "policy": "MlpLstmPolicy", "clip_range_vf": 0.2},
        {"collect": "auto", "total_timesteps": 192},
        {"capture": "on", "target_kl": 0.01, "normalize_obs": True},
        {"env": "CartPole-v1", "vectorization": "device", "device": "cpu", "normalize_reward": True},
        {"amp": "fp16", "target_kl": 0.01},
        {"vectorization": "workers", "n_workers": 2, "step_timeout_s": 30.0, "max_worker_restarts": 1},
        {"vectorization": "shared"},
        {"vectorization": "auto"},
        {"env": "CartPole-v1", "vectorization": "gymnasium"},
        {"env": "FrozenLake-v1", "env_kwargs": {"is_slippery": False}},
        {"env": "Taxi-v4", "action_masks": True},
        {"env": "Taxi-v4", "action_masks": False},
        {"env": lambda: Anything(action="box"), "use_sde": True, "sde_sample_freq": 4},
        {"env": lambda: Anything(action="box"), "use_sde": True, "policy_kwargs": {"squash_output": True}},
        {"env": lambda: Anything(action="box"), "policy_kwargs": {"squash_output": True, "log_std_init": -1.0}},
    ],
    ids=lambda settings: re.sub(r" at 0x\w+", "", str(settings)),
)
@pytest.mark.parametrize("engine", ["auto", "torch"])
def test_every_setting_trains_on_both_engines(tmp_path, settings, engine):
    run(tmp_path, engine=engine, **settings)


def test_masked_actions_are_never_taken(tmp_path):
    metrics = run(tmp_path, env_kwargs={"masked": True}, total_timesteps=320)
    assert -metrics["train/entropy_loss"].max() <= np.log(2) + 1e-6


def test_no_setting_is_left_out():
    """A field that no test above sets to anything but its default is a mode nobody ran."""

    from pathlib import Path

    named = set(re.findall(r'"(\w+)":', Path(__file__).read_text()) + re.findall(r"(\w+)=", Path(__file__).read_text()))
    elsewhere = {
        "early_stop_reward",
        "checkpoint_path",
        "name",
        "gamma",
        "gae_lambda",
        "vf_coef",
        "max_grad_norm",
        "compile",
    }
    unseen = set(FIELDS) - named - elsewhere - {"seed"}
    assert not unseen


def test_a_gpu_that_is_not_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="needs a GPU"):
        run(tmp_path, device="cuda")
    with pytest.raises(ConfigError, match="toaster"):
        run(tmp_path, device="toaster")


def test_configs_are_values():
    config = TrainConfig()
    assert dataclasses.replace(config, gamma=0.9).gamma == 0.9
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.gamma = 0.9
