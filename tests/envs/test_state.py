"""Saved and restored environments continue to the bit, through resets, in whatever way they are stepped."""

import functools
import json

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces, wrappers
from gymnasium.vector import SyncVectorEnv

from envs.worlds import Counting
from upswing.envs.gymnasium_vector import GymnasiumVectorEnv
from upswing.envs.make import random_actions
from upswing.envs.probes import RewardLater
from upswing.envs.registry import make_factory
from upswing.envs.serial import SerialVectorEnv
from upswing.envs.shared import SharedVectorEnv
from upswing.envs.state import get_env_state, set_env_state
from upswing.envs.workers import WorkerVectorEnv
from upswing.errors import StorageError
from upswing.run.snapshot import pack, unpack


def next_step(factories):
    return GymnasiumVectorEnv(SyncVectorEnv(factories))


def through_files(state):
    """`state` as a checkpoint gives it back: JSON and arrays."""
    packed, arrays = pack(state, "state")
    return unpack(json.loads(json.dumps(packed)), {name: array.copy() for name, array in arrays.items()})


def steps(env, n, seed):
    """Everything that `n` random steps return, as bytes and plain values."""
    rng, told, obs = np.random.default_rng(seed), [], {}
    for _ in range(n):
        step = env.step(random_actions(env.action_space, obs, env.n_envs, rng))
        obs = step.obs
        final = b"" if step.final_obs is None else step.final_obs.tobytes()
        told.append((step.obs.tobytes(), step.rewards.tobytes(), step.terminated.tolist(), step.truncated.tolist()))
        told[-1] += (final, step.episodes, None if step.valid is None else step.valid.tolist())
    return told


def check(make, factories, n_before, n_after, make_again=None):
    """Save after `n_before` steps; the next `n_after` must be the same again, here and in fresh environments."""
    env = make(factories)
    env.reset(list(range(len(factories))))
    steps(env, n_before, 0)
    state = through_files(env.get_state())
    first = steps(env, n_after, 1)
    obs = env.set_state(state).tobytes()
    assert steps(env, n_after, 1) == first
    fresh = (make_again or make)(factories)
    assert fresh.set_state(state).tobytes() == obs
    assert steps(fresh, n_after, 1) == first
    env.close()
    fresh.close()
    return first


def ends(told):
    return sum(len(step[5]) for step in told)


CLASSIC = ["CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0"]
TEXT = ["FrozenLake-v1", "CliffWalkingSlippery-v1"]


@pytest.mark.parametrize("env_id", CLASSIC + TEXT)
def test_gymnasium_s_small_environments_continue_to_the_bit(env_id):
    told = check(SerialVectorEnv, [make_factory(env_id, {"max_episode_steps": 40})] * 2, 30, 60)
    assert ends(told) >= 2


def test_taxi_with_its_masks_and_weather():
    factory = make_factory("Taxi-v4", {"is_rainy": True, "fickle_passenger": True, "max_episode_steps": 20})
    env = SerialVectorEnv([factory] * 2, action_masks=False)
    env.reset([1, 2])
    steps(env, 15, 0)
    state = through_files(env.get_state())
    first = steps(env, 40, 1)
    env.set_state(state)
    assert steps(env, 40, 1) == first


@pytest.mark.parametrize("env_id", ["InvertedPendulum-v5", "HalfCheetah-v5", "Ant-v5", "Humanoid-v5"])
def test_mujoco_continues_to_the_bit(env_id, tmp_path, monkeypatch):
    pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log where it stands
    told = check(SerialVectorEnv, [make_factory(env_id, {"max_episode_steps": 25})], 15, 40)
    assert ends(told) >= 1


@pytest.mark.parametrize("make", [SerialVectorEnv, next_step, lambda f: WorkerVectorEnv(f, 2), SharedVectorEnv])
def test_every_way_of_stepping_can_be_saved(make):
    told = check(make, [make_factory("CartPole-v1", {"max_episode_steps": 12})] * 3, 11, 30)
    assert ends(told) >= 6


def test_a_state_from_workers_fits_environments_in_this_process():
    factories = [make_factory("CartPole-v1")] * 3
    check(lambda f: WorkerVectorEnv(f, 2), factories, 17, 30, make_again=SerialVectorEnv)
    check(SerialVectorEnv, factories, 17, 30, make_again=SharedVectorEnv)


@pytest.mark.parametrize("n_before", [13, 14])  # on the end of an episode, and on the row that resets
def test_a_next_step_reset_that_is_due_survives(n_before):
    factory = make_factory("Pendulum-v1", {"max_episode_steps": 13})
    told = check(next_step, [factory], n_before, 20)
    assert told[0][6] == ([False] if n_before == 13 else None)


class OwnState(Counting):
    """Says its state itself, with an array that it goes on changing."""

    def __init__(self):
        super().__init__()
        self.trace = np.zeros(3)

    def step(self, action):
        self.trace[0] += self.np_random.normal()
        obs, reward, *rest = super().step(action)
        return obs, reward + self.trace[0], *rest

    def get_state(self):
        return {"where": [self.tag, self.episode, self.t], "trace": self.trace, "deep": {"none": None}}

    def set_state(self, state):
        assert state["deep"] == {"none": None}
        (self.tag, self.episode, self.t), self.trace = state["where"], state["trace"]


def test_environments_may_say_their_state_themselves():
    assert ends(check(SerialVectorEnv, [OwnState] * 2, 5, 20)) > 5
    assert ends(check(SerialVectorEnv, [lambda: wrappers.TimeLimit(OwnState(), 3)], 5, 20)) > 5
    assert ends(check(SerialVectorEnv, [RewardLater] * 3, 5, 20)) > 5


def test_known_wrappers_are_kept():
    def sticky():
        return wrappers.TimeAwareObservation(wrappers.StickyAction(gymnasium.make("CartPole-v1"), 0.5))

    check(SerialVectorEnv, [sticky] * 2, 15, 60)


class Chained(gymnasium.Wrapper):
    """A wrapper that nobody knows."""


@pytest.mark.parametrize(
    "make",
    [
        Counting,
        lambda: Chained(gymnasium.make("CartPole-v1")),
        lambda: wrappers.NormalizeObservation(gymnasium.make("CartPole-v1")),
        lambda: wrappers.TransformObservation(gymnasium.make("CartPole-v1"), lambda obs: obs, None),
    ],
)
def test_what_is_not_known_is_not_guessed(make):
    for env in (SerialVectorEnv([make]), next_step([make])):
        env.reset([0])
        assert env.get_state() is None


def test_a_subclass_may_have_more_state_than_its_parent():
    from gymnasium.envs.classic_control import CartPoleEnv

    class Windy(CartPoleEnv):
        pass

    env = Windy()
    env.reset(seed=0)
    assert get_env_state(env) is None


def test_workers_that_cannot_be_saved_say_none():
    env = WorkerVectorEnv([Counting] * 2, 2)
    env.reset([0, 1])
    assert env.get_state() is None
    env.close()


@pytest.mark.parametrize("kind", ["MT19937", "Philox", "SFC64", "PCG64DXSM"])
def test_any_of_numpy_s_generators(kind):
    env = OwnState()
    env.reset(seed=0)
    env.np_random = np.random.Generator(getattr(np.random, kind)(3))
    env.np_random.normal(size=5)
    state = through_files(get_env_state(env))
    drawn = env.np_random.normal(size=5).tolist()
    other = OwnState()
    other.reset(seed=1)
    set_env_state(other, state)
    assert other.np_random.normal(size=5).tolist() == drawn


def test_running_statistics_are_part_of_the_state():
    env = SerialVectorEnv([RewardLater])
    env.reset([0])
    env.step(np.zeros(1, int))
    state = through_files(env.get_state())
    other = SerialVectorEnv([functools.partial(RewardLater)])
    other.reset([5])
    assert other.set_state(state).tolist() == [[1.0]]
    assert other.step(np.zeros(1, int)).episodes == [(0, 1.0, 2, None, None)]


def test_dict_observations_and_masks_are_part_of_the_state():
    from envs.worlds import Masked

    class Kept(Masked):
        def get_state(self):
            return [self.tag, self.episode, self.t]

        def set_state(self, state):
            self.tag, self.episode, self.t = state

    env = SerialVectorEnv([lambda: Kept("method")])
    env.reset([4])
    env.step(np.zeros(1, int))
    state = through_files(env.get_state())
    obs = SerialVectorEnv([lambda: Kept("method")]).set_state(state)
    assert obs["action_mask"].tolist() == [[False, True, False]] and obs["obs"].tolist() == [[4, 0, 1]]
    assert isinstance(env.observation_space, spaces.Dict)


def test_a_state_of_something_else_is_refused():
    factories = [make_factory("CartPole-v1")] * 2
    ours, theirs = SerialVectorEnv(factories), next_step(factories)
    ours.reset([0, 1])
    theirs.reset([0, 1])
    for env, state in ((ours, {}), (SerialVectorEnv(factories[:1]), ours.get_state()), (theirs, ours.get_state())):
        with pytest.raises(StorageError, match=r"The saved state is not one of .*resume with the same"):
            env.set_state(state)
