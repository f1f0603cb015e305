"""Atari games through ALE's vector environment, and one by one."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from upswing import TrainConfig, preset, train
from upswing.config import check
from upswing.envs import registry
from upswing.envs.make import make_vector_env
from upswing.errors import ConfigError, MissingExtra
from upswing.run.records import read_metrics

needs_ale = pytest.mark.skipif(
    importlib.util.find_spec("ale_py") is None, reason="ale-py is not installed: pip install 'upswing[atari]'"
)


def games(env="ALE/Pong-v5", n=2, evaluation=False, vectorization="auto", **env_kwargs):
    config = check(TrainConfig(env=env, policy="CnnPolicy", env_kwargs=env_kwargs, vectorization=vectorization))
    return make_vector_env(config, n, list(range(5, 5 + n)), evaluation=evaluation)


def play(env, steps, seed=0):
    rng, out = np.random.default_rng(seed), []
    for _ in range(steps):
        step = env.step(rng.integers(0, env.action_space.n, env.n_envs))
        out.append((step.obs.copy(), step.rewards.copy(), step.terminated, step.truncated, step.episodes, step.valid))
    return out


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as told:
        registry.find_env("ALE/Pong-v5")
    assert str(told.value).endswith("needs ale-py, which is not installed: run pip install 'upswing[atari]'.")


@needs_ale
@pytest.mark.parametrize("vectorization", ["auto", "gymnasium"])
def test_the_standard_preprocessing(vectorization):
    env = games(vectorization=vectorization)
    assert (env.observation_space.shape, env.observation_space.dtype) == ((4, 84, 84), np.uint8)
    assert "ALE" in env.description and env.action_space.n == 6
    env.close()


@needs_ale
def test_one_seed_one_game_whatever_the_threads():
    one, other = (games(n=3, num_threads=threads) for threads in (1, 2))
    for mine, theirs in zip(play(one, 60), play(other, 60), strict=True):
        assert np.array_equal(mine[0], theirs[0]) and np.array_equal(mine[1], theirs[1])
    assert not np.array_equal(mine[0][0], mine[0][1])  # each row its own seed
    one.close()
    other.close()


@needs_ale
def test_rewards_are_clipped_and_scores_are_not():
    clipped, raw = (games("ALE/Breakout-v5", episodic_life=False, reward_clipping=c) for c in (True, False))
    seen, whole = play(clipped, 250), play(raw, 250)
    scores = [episode.ret for step in whole for episode in step[4]]
    assert max(float(step[1].max()) for step in seen) == 1.0
    assert scores and scores == [episode.ret for step in seen for episode in step[4]]
    for mine, theirs in zip(seen, whole, strict=True):
        assert np.array_equal(mine[1], np.clip(theirs[1], -1, 1))
    clipped.close()
    raw.close()


@needs_ale
def test_a_life_ends_an_episode_of_learning_and_a_game_is_reported_whole():
    lives = games("ALE/Breakout-v5", episodic_life=True)
    whole = games("ALE/Breakout-v5", episodic_life=True, evaluation=True)
    ends, reported, unused = 0, [], 0
    for _, _, terminated, truncated, episodes, valid in play(lives, 350):
        ends += int((terminated | truncated).sum())
        reported += episodes
        unused += 0 if valid is None else int((~valid).sum())
    assert len(reported) >= 2
    assert 5 * len(reported) <= ends <= 5 * len(reported) + 2 * 4  # five lives a game; two games may be under way
    assert unused in (len(reported), len(reported) - 1)  # only a new game takes an empty step
    ended = [(step[2].sum(), len(step[4])) for step in play(whole, 350)]
    assert sum(e for e, _ in ended) == sum(n for _, n in ended) > 0
    same = [episode.ret for step in play(games("ALE/Breakout-v5", evaluation=True), 350) for episode in step[4]]
    assert [episode.ret for episode in reported] == same  # losing a life changes nothing in the game
    lives.close()
    whole.close()


@needs_ale
def test_a_game_that_can_be_drawn_has_the_same_preprocessing():
    config = check(TrainConfig(env="ALE/Pong-v5", policy="CnnPolicy", env_kwargs={"episodic_life": True}))
    env = make_vector_env(config, 1, [0], evaluation=True, render_mode="rgb_array")
    assert env.observation_space.shape == (4, 84, 84)
    env.step(np.zeros(1, np.int64))
    assert env.render().shape == (210, 160, 3)
    env.close()


@needs_ale
def test_impossible_arguments():
    with pytest.raises(ConfigError, match="ALE/Pong-v5 cannot be made with env_kwargs"):
        games(colour="red")


@needs_ale
def test_a_short_training(tmp_path):
    config = preset(
        "ALE/Pong-v5",
        n_envs=2,
        n_steps=8,
        batch_size=8,
        n_epochs=1,
        total_timesteps=32,
        eval_freq=0,
        n_eval_episodes=1,
        n_eval_envs=1,
        env_kwargs={"max_num_frames_per_episode": 40, "img_height": 42, "img_width": 42},
        out_dir=str(tmp_path),
    )
    metrics = read_metrics(train(config).run_dir)
    assert metrics["time/total_timesteps"][-1] == 32
    assert metrics["eval/mean_ep_length"][-1] <= 10
