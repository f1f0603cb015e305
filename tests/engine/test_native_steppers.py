"""Compiled environments stepped by several threads: the same rollouts as on one, and no one left waiting."""

import threading

import gymnasium as gym
import numpy as np
import pytest

from upswing.config import TrainConfig
from upswing.engine.native import steppers
from upswing.engine.native.race import ALONE, SHARED
from upswing.engine.native_engine import NativeEngine
from upswing.envs.native import NativeVectorEnv, find, native_env, uniform
from upswing.policies import flatten_parameters, make_policy


@pytest.fixture(autouse=True)
def worth_sharing(monkeypatch):
    monkeypatch.setattr(steppers, "WORTH_SHARING_S", 0.0)


def slow_reset(state, obs, parameters, rng):
    state[0] = uniform(rng, -1.0, 1.0)
    state[1] = 0.0
    obs[0] = state[0]


def slow_step(state, action, obs, parameters, rng):
    """Some microseconds of sines; episodes of various lengths."""
    x = state[0]
    for _ in range(300):
        x = np.sin(3.0 * x + action[0])
    state[0] = x + uniform(rng, -0.1, 0.1)
    state[1] += 1.0
    obs[0] = state[0]
    if parameters[0] > 0.0 and state[1] > 3.0:
        raise ValueError("the winch is stuck")
    return x, state[1] > 5.0 and abs(state[0]) > 0.9


SLOW = native_env(
    "Slow-v0", slow_step, slow_reset, observation_space=gym.spaces.Box(-2.0, 2.0, (1,), np.float32),
    action_space=gym.spaces.Box(-1.0, 1.0, (1,), np.float32), n_state=2, max_episode_steps=40,
    parameters={"fails": 0.0},
)  # fmt: skip


def engine_for(spec, n_envs=6, threads=2, **settings):
    config = TrainConfig(n_envs=n_envs, n_steps=50, batch_size=60, threads=threads, **settings)
    env = NativeVectorEnv(spec, n_envs)
    policy = make_policy(config, env.observation_space, env.action_space, 3)
    flatten_parameters(policy)
    return NativeEngine(config, env, policy, list(range(n_envs)), 11)


def threads_of_steppers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("upswing-stepper")]


@pytest.mark.parametrize("spec", [SLOW, find("HalfCheetah-v5"), find("Hopper-v5")], ids=lambda spec: spec.id)
@pytest.mark.parametrize("normalize", [False, True])
def test_every_number_of_threads_gives_the_same_rollouts(spec, normalize):
    """Rows, episodes in their order, statistics, and the environments themselves; over ways that change."""
    kept = {}
    for threads in (1, 2, 3):
        engine = engine_for(spec, threads=threads, normalize_obs=normalize, normalize_reward=normalize)
        rollouts = [engine.collect() for _ in range(8)]
        assert (len(threads_of_steppers()) > 0) == (threads > 1)
        rows = [rollouts[-1].obs, rollouts[-1].rewards, rollouts[-1].final_values, *engine.env.worlds]
        rows += engine.normalizer.arrays().values()
        kept[threads] = [np.copy(each) for each in rows], [rollout.episodes for rollout in rollouts]
        engine.close()
    assert spec.id == "HalfCheetah-v5" or sum(map(len, kept[1][1])) > 20
    for threads in (2, 3):
        assert kept[threads][1] == kept[1][1]
        for ours, theirs in zip(kept[threads][0], kept[1][0], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_both_ways_are_tried_and_the_faster_one_is_kept(monkeypatch):
    engine, ways = engine_for(SLOW), []
    with_helpers = engine.steppers._call_helpers

    def watched(job, helping):
        with_helpers(job, helping)
        ways.append(SHARED if helping else ALONE)

    monkeypatch.setattr(engine.steppers, "_call_helpers", watched)
    for _ in range(7):
        engine.collect()
    assert ways[0] == ALONE and ways[1:].count(SHARED) == ways[1:].count(ALONE) == 3
    engine.steppers.race.best = [2.0, 1.0]
    engine.collect()
    engine.steppers.race.best = [1.0, 2.0]
    engine.collect()
    assert ways[-2:] == [ALONE, SHARED]
    engine.close()


@pytest.mark.parametrize(("settings", "worth"), [
    ({"threads": 1}, 0.0), ({"n_envs": 1}, 0.0), ({"threads": 2}, 1.0), ({"threads": None}, 1.0),
])  # fmt: skip
def test_quick_steps_and_single_environments_are_stepped_by_one_thread(settings, worth, monkeypatch):
    monkeypatch.setattr(steppers, "WORTH_SHARING_S", worth)
    engine = engine_for(SLOW, **settings)
    for _ in range(3):
        engine.collect()
    assert not threads_of_steppers() and engine.steppers.race.left == 0
    engine.close()


def test_threads_end_with_the_engine():
    engine = engine_for(SLOW)
    for _ in range(2):
        engine.collect()
    assert threads_of_steppers()
    engine.close()
    assert not threads_of_steppers()


@pytest.mark.parametrize("who", ["the engine's own thread", "a helper", "whoever comes first"])
def test_an_exception_ends_the_rollout_for_all(who):
    engine = engine_for(SLOW)
    engine.collect()
    engine.steppers.race.best, engine.steppers.race.left = [1.0, 2.0], 0
    if who != "a helper":
        engine.env.parameters[0] = 1.0
    if who != "the engine's own thread":
        engine.steppers.theirs[0][0][0] = 1.0
    with pytest.raises(ValueError, match="the winch is stuck"):
        for _ in range(20):
            engine.collect()
    engine.close()
    assert not threads_of_steppers()
