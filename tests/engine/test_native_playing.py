"""Evaluations in compiled code: the episodes that the torch agent plays in the same environments."""

import numpy as np
import pytest

from upswing.agent import Agent
from upswing.config import TrainConfig
from upswing.engine.contract import Hyper
from upswing.engine.native.playing import play_episodes
from upswing.engine.native_engine import NativeEngine
from upswing.envs.native import NativeVectorEnv, find
from upswing.evaluation import _played, evaluate
from upswing.policies import flatten_parameters, make_policy


def trained(env_id, **settings):
    """An engine after three updates."""
    config = TrainConfig(**({"n_envs": 4, "n_steps": 256, "batch_size": 64} | settings))
    env = NativeVectorEnv(find(env_id), 4)
    policy = make_policy(config, env.observation_space, env.action_space, 1)
    flatten_parameters(policy)
    engine = NativeEngine(config, env, policy, [0, 1, 2, 3], 5)
    for _ in range(3):
        engine.update(engine.collect(), Hyper(1e-3, 0.2, None, 0.0, 5, None))
    return engine


@pytest.mark.parametrize("settings", [{}, {"normalize_obs": True, "normalize_reward": True}], ids=["raw", "normalised"])
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_the_same_episodes_as_step_by_step(env_id, settings):
    engine, quota, seeds = trained(env_id, **settings), [2, 2, 3], [7, 8, 9]
    before = engine.normalizer.arrays()
    episodes = play_episodes(engine.policy, engine.normalizer, NativeVectorEnv(find(env_id), 3), quota, seeds)
    expected = _played(
        Agent(engine.policy, engine.normalizer), NativeVectorEnv(find(env_id), 3), list(quota), seeds, True
    )
    assert [sum(e.env == i for e in episodes) for i in range(3)] == quota
    np.testing.assert_allclose(sorted(e.ret for e in episodes), sorted(e.ret for e in expected), rtol=1e-3)
    for name, array in engine.normalizer.arrays().items():
        np.testing.assert_array_equal(array, before[name])


def test_draws_follow_the_seed():
    engine, env = trained("Pendulum-v1"), NativeVectorEnv(find("Pendulum-v1"), 2)

    def returns(seed, deterministic=False):
        episodes = play_episodes(engine.policy, engine.normalizer, env, [2, 2], [1, 2], deterministic, seed)
        return [e.ret for e in episodes]

    assert returns(0) == returns(0) != returns(1)
    assert returns(0, True) == returns(1, True)


def test_only_so_many_of_each_environment():
    engine = trained("CartPole-v1")
    episodes = play_episodes(
        engine.policy, engine.normalizer, NativeVectorEnv(find("CartPole-v1"), 3), [0, 5, 1], [1, 2, 3]
    )
    assert [e.env for e in episodes].count(1) == 5 and {e.env for e in episodes} == {1, 2}


def test_evaluations_take_this_way():
    engine, env, seeds = trained("CartPole-v1"), NativeVectorEnv(find("CartPole-v1"), 2), [4, 5]
    score = evaluate(Agent(engine.policy, engine.normalizer), env, 5, seeds)
    episodes = play_episodes(engine.policy, engine.normalizer, env, [2, 3], seeds)
    assert score.returns == [e.ret for e in episodes] and score.n_episodes == 5
