"""A world that only a memory solves: an MLP does not, an LSTM and a GRU do, and everything around a policy knows its state."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from envs.recall import Recall
from upswing.cli import run
from upswing.config import TrainConfig
from upswing.errors import ConfigError
from upswing.evaluation import evaluate_run, load_agent, play
from upswing.hooks import Hook, Request
from upswing.sb3 import PPO
from upswing.sb3.common.env_util import make_vec_env
from upswing.sb3.common.evaluation import evaluate_policy
from upswing.training import resume, train

SMALL = {"lstm_hidden_size": 16, "net_arch": [16]}


def config(tmp_path, policy="MlpLstmPolicy", **settings):
    memory = {} if policy == "MlpPolicy" else SMALL
    base = {
        "env": "envs.recall:Recall",
        "n_envs": 32,
        "n_steps": 8,
        "batch_size": 64,
        "n_epochs": 4,
        "learning_rate": 5e-3,
    }
    base |= {
        "gamma": 0.9,
        "total_timesteps": 6_144,
        "n_eval_episodes": 64,
        "n_eval_envs": 32,
        "eval_freq": 0,
        "checkpoint_freq": 0,
    }
    base |= {"vectorization": "serial", "engine": "torch", "out_dir": str(tmp_path), "policy_kwargs": memory}
    return TrainConfig(policy=policy, **(base | settings))


@pytest.mark.parametrize(("policy", "masked"), [("MlpLstmPolicy", True), ("MlpGruPolicy", False)])
def test_a_policy_with_memory_solves_it(tmp_path, policy, masked):
    result = train(config(tmp_path, policy, env_kwargs={"masked": masked}))
    assert result.mean_reward > 0.95


def test_a_policy_without_memory_does_not(tmp_path):
    result = train(config(tmp_path, "MlpPolicy", eval_deterministic=False, n_eval_episodes=320))
    assert result.mean_reward == pytest.approx(0.5, abs=0.15)


class StopAt(Hook):
    def on_iteration(self, record, agent):
        return Request(stop="enough") if record["time/total_timesteps"] >= 140 else None


def test_stopping_changes_nothing(tmp_path):
    whole = config(tmp_path, env="CartPole-v1", vectorization="auto", engine="auto", n_envs=4, n_epochs=1)
    whole = replace(whole, n_steps=7, normalize_obs=True, total_timesteps=280, n_eval_episodes=1)
    done, halted = train(replace(whole, name="done")), train(replace(whole, name="halted"), [StopAt()])
    assert halted.stopped
    assert resume(halted.run_dir).total_timesteps == 280
    one, two = (load_file(f"{r.run_dir}/checkpoints/280/model.safetensors") for r in (done, halted))
    assert one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)


def test_everything_that_plays_it_remembers(tmp_path, capsys):
    result = train(config(tmp_path))
    agent, _, _ = load_agent(result.run_dir)
    assert agent.policy.state_size == 2 * 2 * 16
    assert evaluate_run(result.run_dir, n_episodes=40).mean_reward > 0.9
    frames = list(play(result.run_dir, n_episodes=40))
    assert [frame.step for frame in frames] == [0, 1, 2, 3] * 40
    assert run(["eval", result.run_dir, "--episodes", "40", "--trust-code"]) == 0
    assert "Return 1.00 ± 0 over 40" in capsys.readouterr().out
    assert run(["record", result.run_dir, "-o", str(tmp_path / "it.gif"), "--trust-code"]) == 0
    assert (tmp_path / "it.gif").stat().st_size > 0


def test_the_facade_hands_the_state_on(tmp_path):
    settings = {"n_steps": 8, "batch_size": 64, "n_epochs": 4, "learning_rate": 5e-3, "gamma": 0.9}
    envs = make_vec_env(Recall, n_envs=32)
    model = PPO("MlpLstmPolicy", envs, policy_kwargs=SMALL, seed=0, **settings)
    first, seen = np.array([1.0, 0.0], np.float32), np.array([0.0, 0.25], np.float32)
    _, state = model.predict(first, deterministic=True)
    assert state.shape == (1, 64)
    assert not np.array_equal(model.predict(seen, state)[1], model.predict(seen)[1])
    _, begun = model.predict(seen, state, episode_start=np.array([True]))
    assert np.array_equal(begun, model.predict(seen)[1])
    several, states = model.predict(np.stack([first, seen, seen]), episode_start=np.ones(3, bool))
    assert len(several) == 3 and states.shape == (3, 64)
    with pytest.raises(ConfigError, match="a state of shape"):
        model.predict(first, states)
    model.learn(6_144)
    assert evaluate_policy(model, envs, n_eval_episodes=40)[0] > 0.9
    model.save(tmp_path / "model")
    assert evaluate_policy(PPO.load(tmp_path / "model"), envs, n_eval_episodes=40)[0] > 0.9


def test_the_native_engine_says_why_it_does_not_train_them(tmp_path):
    with pytest.raises(ConfigError, match="because the policy has a memory"):
        train(config(tmp_path, env="CartPole-v1", vectorization="auto", engine="native"))
