"""Environments that break their contract in this process: named with what they did, or their episode dropped."""

import functools

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from envs.worlds import Counting, Faulty
from upswing.envs import group
from upswing.envs.serial import SerialVectorEnv
from upswing.errors import ConfigError, EnvironmentFault

SEEDS = [10, 11]


def serial(fault, **more):
    env = SerialVectorEnv([functools.partial(Faulty, fault, tag=11, **more)] * 2)
    env.reset(SEEDS)
    return env


@pytest.mark.parametrize("fault", ["step obs", "step reward", "step obs truncated", "step reward terminated"])
def test_an_episode_with_numbers_that_are_not_finite_is_dropped(fault):
    env = serial(fault)
    env.step(np.zeros(2, int))
    step = env.step(np.zeros(2, int))
    assert step.valid.tolist() == [True, False]
    assert step.rewards.tolist() == [1, 0] and step.terminated.tolist() == [False, False]
    assert step.truncated.tolist() == [False, True] and step.episodes == []
    assert np.isfinite(step.obs).all() and step.obs[1, 2] == 0
    assert step.final_obs.tolist() == [step.obs[1].tolist()]
    assert env.notices == [
        "Environment 1 returned a NaN or infinite number in step 2 of an episode: that episode was dropped."
    ]
    step = env.step(np.zeros(2, int))
    assert step.valid is None and not step.truncated.any() and step.rewards.tolist() == [1, 1]


def test_an_end_that_is_not_finite_is_fine_when_terminated():
    env = serial("step obs terminated")
    env.step(np.zeros(2, int))
    step = env.step(np.zeros(2, int))
    assert step.valid is None and step.terminated.tolist() == [False, True]
    assert step.final_obs.tolist() == [[11, 0, 2]] and step.episodes == [(1, 2.0, 2, None, None)]
    assert env.notices == []


def test_an_environment_that_never_ends_well_is_an_error_in_the_end(monkeypatch):
    monkeypatch.setattr(group, "MAX_QUARANTINES", 3)
    env = serial("step obs", at=1)
    for _ in range(3):
        env.step(np.zeros(2, int))
    with pytest.raises(EnvironmentFault, match=r"Environment 1 .*step 1 of an episode, as in its last 3 episodes"):
        env.step(np.zeros(2, int))


def test_a_good_episode_forgives_earlier_ones(monkeypatch, tmp_path):
    monkeypatch.setattr(group, "MAX_QUARANTINES", 1)
    env = serial("step obs", marker=str(tmp_path / "1"))
    for _ in range(60):  # one episode is dropped, the next one ends well after 50 steps
        env.step(np.zeros(2, int))
    (tmp_path / "1").unlink()
    for _ in range(60):
        env.step(np.zeros(2, int))
    assert len(env.notices) == 2


def test_a_reset_that_is_not_finite_is_an_error():
    with pytest.raises(EnvironmentFault, match="Environment 1 returned a NaN or infinite number from reset"):
        serial("reset obs")


def test_huge_but_finite_numbers_are_nobody_s_business():
    class Huge(Counting):
        def seen(self):
            return np.full(3, 3e38, np.float32)

    env = SerialVectorEnv([Huge])
    env.reset([0])
    assert env.step(np.zeros(1, int)).valid is None


def test_an_exception_is_named_with_its_place_and_kept_as_the_cause():
    env = serial("step raise")
    env.step(np.zeros(2, int))
    message = r"Environment 1 raised ZeroDivisionError: the pole is gone in step \(worlds.py, line \d+\)\.$"
    with pytest.raises(EnvironmentFault, match=message) as raised:
        env.step(np.zeros(2, int))
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("step shape", r"its observation has shape \(2,\), where its space says \(3,\)"),
        ("step dtype", "its observation has dtype complex128, where its space says float32"),
    ],
)
def test_a_wrong_shape_or_dtype_is_an_error(fault, said):
    env = serial(fault)
    env.step(np.zeros(2, int))
    with pytest.raises(EnvironmentFault, match=f"Environment 1 broke its contract in step: {said}"):
        env.step(np.zeros(2, int))


class Odd(Counting):
    """Returns whatever it is given."""

    def __init__(self, first, told, space=None):
        super().__init__()
        self.first, self.told = first, told
        self.observation_space = space or self.observation_space

    def reset(self, *, seed=None, options=None):
        return self.first

    def step(self, action):
        return self.told


SEEN = np.zeros(3, np.float32)
GOOD = (SEEN, {})


@pytest.mark.parametrize(
    ("first", "told", "said"),
    [
        (SEEN, None, "in reset: reset must return"),
        (GOOD, (SEEN, 1.0, False, {}), "in step: reset must return .* step must return"),
        (GOOD, (SEEN, None, False, False, {}), "in step: .*NoneType"),
        (GOOD, (SEEN, 1.0, False, False, [1]), "in step: .*'list' object"),
        (GOOD, ("text", 1.0, False, False, {}), r"has shape \(\)"),
        ((np.zeros(3, object), {}), None, "has dtype object"),
    ],
)
def test_what_reset_and_step_must_return(first, told, said):
    with pytest.raises(EnvironmentFault, match=f"Environment 0 broke its contract .*{said}"):
        env = SerialVectorEnv([lambda: Odd(first, told)])
        env.reset([0])
        env.step(np.zeros(1, int))


@pytest.mark.parametrize("value", [3, -1, 0.5, np.array([1, 2])])
def test_discrete_observations_outside_their_space(value):
    env = SerialVectorEnv([lambda: Odd((value, {}), None, spaces.Discrete(3))])
    with pytest.raises(EnvironmentFault, match="Environment 0 broke its contract in reset"):
        env.reset([0])


def test_entries_missing_from_a_dict():
    space = spaces.Dict(a=spaces.Discrete(2), b=spaces.Dict(c=spaces.Discrete(2)))
    env = SerialVectorEnv([lambda: Odd(({"a": 1, "b": {}}, {}), None, space)])
    with pytest.raises(EnvironmentFault, match=r"has no entry b\.c"):
        env.reset([0])


def test_lists_scalars_and_other_precisions_are_welcome():
    space = spaces.Dict(a=spaces.Box(-1, 1, (2,)), b=spaces.Box(-1, 1, ()), c=spaces.Box(0, 9, (1,), np.int64))
    told = {"a": [0.5, 1.0], "b": 0.25, "c": np.array([7], np.uint8)}
    env = SerialVectorEnv([lambda: Odd((told, {}), (told, np.float64(2), np.bool_(False), 0, {}), space)])
    obs = env.reset([0])
    assert obs["a"].tolist() == [[0.5, 1.0]] and obs["b"].tolist() == [0.25] and obs["c"].tolist() == [[7.0]]
    assert env.step(np.zeros(1, int)).rewards.tolist() == [2.0]


def test_something_else_than_an_environment_is_refused():
    with pytest.raises(ConfigError, match=r"must be a gymnasium\.Env, and this one is a builtins\.int"):
        SerialVectorEnv([lambda: 3])
    env = Counting()
    with pytest.raises(ConfigError, match="the same environment was returned twice"):
        SerialVectorEnv([lambda: env] * 2)


def test_actions_arrive_as_the_space_has_them():
    class Picky(gymnasium.Env):
        observation_space = spaces.Box(-1, 1, (1,))

        def __init__(self, space):
            self.action_space = space
            self.kept = []

        def reset(self, *, seed=None, options=None):
            return np.zeros(1, np.float32), {}

        def step(self, action):
            self.kept.append(action)
            return np.zeros(1, np.float32), 0.0, False, False, {}

    picky = Picky(spaces.Box(-1, 1, (2,)))
    env = SerialVectorEnv([lambda: picky])
    env.reset([0])
    given = np.array([[5.0, 0.5]], np.float32)
    env.step(given)
    env.step(given * 0)
    assert [kept.tolist() for kept in picky.kept] == [[1.0, 0.5], [0.0, 0.0]]  # an environment may keep its actions
    choosy = Picky(spaces.Discrete(3, start=4))
    env = SerialVectorEnv([lambda: choosy])
    env.reset([0])
    env.step(np.array([2]))
    assert choosy.kept[0] == 6 and isinstance(choosy.kept[0], np.int64)  # as Gymnasium samples them
