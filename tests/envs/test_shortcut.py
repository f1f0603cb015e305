"""The way past the wrappers of gymnasium.make: the same steps, the same count, and nothing skipped that is not known."""

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import RescaleAction, TimeLimit

from upswing.envs.shortcut import shorten


def made(**kwargs):
    return gymnasium.make("Pendulum-v1", disable_env_checker=True, **kwargs)


@pytest.mark.parametrize("wrap", [lambda env: env, lambda env: RescaleAction(env, -1, 1)])
def test_the_same_steps_until_the_limit(wrap):
    ours, theirs = (wrap(made(max_episode_steps=5)) for _ in range(2))
    shorten(ours)
    shorten(ours)
    assert "step" in vars(ours if isinstance(ours, TimeLimit) else ours.env)
    for seed in (0, 1):
        for env in (ours, theirs):
            env.reset(seed=seed)
        for t in range(5):
            action = np.array([0.1 * t], np.float32)
            (obs, *rest), (their_obs, *their_rest) = ours.step(action), theirs.step(action)
            np.testing.assert_array_equal(obs, their_obs)
            assert rest == their_rest and rest[2] is (t == 4)
            assert ours.get_wrapper_attr("_elapsed_steps") == theirs.get_wrapper_attr("_elapsed_steps") == t + 1


class Other(TimeLimit):
    pass


@pytest.mark.parametrize(
    "make", [lambda: made().unwrapped, lambda: Other(made().env, 5), lambda: TimeLimit(made().unwrapped, 5)]
)
def test_what_is_not_known_stays(make):
    env = make()
    shorten(env)
    assert "step" not in vars(env)


def test_a_step_that_somebody_replaced_is_called():
    env, called = made(), []
    inner = env.step
    env.step = lambda action: called.append(action) or inner(action)
    shorten(env)
    env.reset(seed=0)
    env.step(np.zeros(1, np.float32))
    assert len(called) == 1
