"""The way past the wrappers of gymnasium.make: the same steps, the same count, and nothing skipped that is not known."""

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import RescaleAction

from upswing.envs.shortcut import step_function


def made(**kwargs):
    return gymnasium.make("Pendulum-v1", disable_env_checker=True, **kwargs)


def test_the_same_steps_until_the_limit():
    ours, theirs = made(max_episode_steps=5), made(max_episode_steps=5)
    step = step_function(ours)
    assert step != ours.step
    for seed in (0, 1):
        for env in (ours, theirs):
            env.reset(seed=seed)
        for t in range(5):
            action = np.array([0.1 * t], np.float32)
            (obs, *rest), (their_obs, *their_rest) = step(action), theirs.step(action)
            np.testing.assert_array_equal(obs, their_obs)
            assert rest == their_rest and rest[2] is (t == 4)
            assert ours._elapsed_steps == theirs._elapsed_steps


class Other(gymnasium.wrappers.TimeLimit):
    pass


@pytest.mark.parametrize(
    "env", [made().unwrapped, RescaleAction(made(), -1, 1), Other(made(), 5), gymnasium.wrappers.TimeLimit(made(), 5)]
)
def test_what_is_not_known_is_not_skipped(env):
    assert step_function(env) == env.step


def test_a_step_that_somebody_replaced_is_called():
    env, called = made(), []
    inner = env.step
    env.step = lambda action: called.append(action) or inner(action)
    env.reset(seed=0)
    step_function(env)(np.zeros(1, np.float32))
    assert len(called) == 1
