"""EnvPool's environments meet the contract: true last observations, raw statistics, seeds, and clear refusals."""

import importlib.util

import numpy as np
import pytest
import torch

from engine.test_native_rollout import engine_for
from upswing.config import TrainConfig
from upswing.envs.contract import VectorEnv
from upswing.envs.envpool import EnvPoolVectorEnv
from upswing.envs.make import make_vector_env
from upswing.errors import ConfigError, MissingExtra
from upswing.training import train

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("envpool") is None, reason="the extra envpool is not installed"),
    pytest.mark.filterwarnings("ignore:.*Box .* precision lowered:UserWarning"),
]


def made(env_id="CartPole-v1", n_envs=4, **settings):
    env = make_vector_env(TrainConfig(env=env_id, vectorization="envpool", **settings), n_envs)
    assert isinstance(env, EnvPoolVectorEnv) and isinstance(env, VectorEnv)
    return env


def played(env, seeds, n_steps=60):
    first = env.reset(seeds).copy()
    rng = np.random.default_rng(0)
    return [first, *(env.step(rng.integers(0, 2, env.n_envs)).obs.copy() for _ in range(n_steps))]


def test_seeds_decide_and_each_environment_has_its_own():
    env = made(n_workers=2)
    assert env.description == "4 environments of EnvPool in 2 threads"
    seeds = [3, 4, 2**32 - 1, 5]
    a, b, c = played(env, seeds), played(env, seeds), played(env, [4, 3, 1, 2])
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    np.testing.assert_array_equal(a[0][[1, 0]], c[0][[0, 1]])
    env.close()
    env.close()


def test_episodes_are_counted_raw_and_the_step_that_only_resets_is_not_valid():
    env = made(n_envs=3)
    obs, lengths, returns, seen = env.reset([0, 1, 2]), np.zeros(3, int), np.zeros(3), 0
    ended = np.zeros(3, bool)
    for _ in range(300):
        step = env.step(np.ones(3, int))
        valid = np.ones(3, bool) if step.valid is None else step.valid
        np.testing.assert_array_equal(valid, ~ended)  # the step after an end only resets
        assert (step.rewards[~valid] == 0).all()
        lengths, returns = lengths + valid, returns + step.rewards
        ended = step.terminated | step.truncated
        assert len(step.episodes) == ended.sum() and (step.final_obs is None) == (not ended.any())
        for episode in step.episodes:
            assert (episode.length, episode.ret) == (lengths[episode.env], returns[episode.env])
            seen += 1
        for final in [] if step.final_obs is None else step.final_obs:
            assert abs(final[2]) > 0.209 or abs(final[0]) > 2.4  # fallen: not the next episode's first observation
        lengths[ended], returns[ended] = 0, 0.0
        assert (np.abs(step.obs[~valid]) <= 0.05).all()  # the next episode's first
    assert seen > 60 and env.get_state() is None and obs.dtype == np.float32
    env.close()


def test_a_time_limit_is_valued_by_the_true_last_observation():
    engine = engine_for(made("Pendulum-v1", 2), n_steps=205)
    answers, step = [], engine.env.step
    engine.env.step = lambda actions: answers.append(step(actions)) or answers[-1]
    rollout = engine.collect()
    assert np.argwhere(rollout.truncated).tolist() == [[199, 0], [199, 1]] and not rollout.terminated.any()
    assert np.argwhere(~rollout.valid).tolist() == [[200, 0], [200, 1]]
    final, before = answers[199].final_obs, answers[198].obs
    change = np.abs(final - before).max(axis=1)
    assert (change < 0.6).all() and (np.abs(answers[200].obs - final).max(axis=1) > 0).all()  # it goes on, then resets
    expected = engine.policy.predict_values(torch.from_numpy(final)).detach()
    np.testing.assert_allclose(rollout.final_values[199], expected, rtol=2e-6, atol=2e-6)
    assert [episode.length for episode in rollout.episodes] == [200, 200]
    engine.env.close()


def test_pictures_are_the_first_environments():
    env = made(n_envs=2, env_kwargs={"render_mode": "rgb_array"})
    env.reset([0, 1])
    assert env.render().shape == (400, 600, 3) and env.render().dtype == np.uint8
    assert made(n_envs=1).render() is None
    env.close()


def test_what_envpool_does_not_have_is_a_sentence(monkeypatch):
    with pytest.raises(ConfigError, match=r"EnvPool has no CartPole-v7: did you mean .*CartPole-v1"):
        made("CartPole-v7")
    with pytest.raises(ConfigError, match="EnvPool has no zzzzz: set vectorization to auto"):
        made("zzzzz")
    with pytest.raises(ConfigError, match=r"EnvPool cannot make CartPole-v1 with env_kwargs = .*gravity"):
        made(env_kwargs={"gravity": 3.0})
    with pytest.raises(ConfigError, match="only steps environments of its own"):
        made(lambda: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"EnvPool, which is not installed: run pip install 'upswing\[envpool\]'"):
        made()


def test_a_whole_training_with_evaluation(tmp_path):
    config = TrainConfig(
        env="CartPole-v1", vectorization="envpool", n_envs=8, n_steps=64, batch_size=128, total_timesteps=2048,
        n_eval_episodes=4, n_eval_envs=2, out_dir=str(tmp_path),
    )  # fmt: skip
    result = train(config)
    assert result.total_timesteps == 2048 and result.mean_reward > 5
