"""Vector environments as scripts see them."""

import csv
import json

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from upswing import PPO
from upswing.config import TrainConfig
from upswing.envs.make import make_vector_env
from upswing.envs.spaces import encode
from upswing.errors import ConfigError
from upswing.sb3 import DummyVecEnv, Monitor, VecEnv, evaluate_policy, make_vec_env
from upswing.sb3.common.vec_env import as_vec_env, decode, encode_actions

SPACES = {
    "box": spaces.Box(-1, 1, (2, 3), np.float64),
    "whole": spaces.Box(-5, 5, (4,), np.int32),
    "image": spaces.Box(0, 255, (4, 4, 3), np.uint8),
    "discrete": spaces.Discrete(4, start=-1),
    "multi": spaces.MultiDiscrete([2, 3, 4], start=[1, 0, -2]),
    "table": spaces.MultiDiscrete([[2, 3], [4, 5]]),
    "switches": spaces.MultiBinary([2, 2]),
    "dict": spaces.Dict(
        {"a": spaces.Discrete(3), "b": spaces.Dict({"c": spaces.Box(-1, 1, (2,)), "d": spaces.MultiBinary(3)})}
    ),
}


def equal(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return np.array_equal(a, b)


def rows(values):
    """Several values of a space as a batch."""
    if isinstance(values[0], dict):
        return {key: rows([value[key] for value in values]) for key in values[0]}
    return np.stack([np.asarray(value) for value in values])


class Spoken(gym.Env):
    """Says the same observation for ever, and writes down its actions."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, observation_space, action_space=None, render_mode=None):
        self.observation_space, self.action_space = observation_space, action_space
        if action_space is None:
            self.action_space = spaces.Discrete(2)
        self.render_mode = render_mode
        self.said = observation_space.sample()
        self.actions, self.resets = [], []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.resets.append(seed)
        return self.said, {}

    def step(self, action):
        self.actions.append(action)
        return self.said, 1.0, False, len(self.actions) % 4 == 0, {}

    def render(self):
        return np.full((2, 2, 3), 7, np.uint8)


@pytest.mark.parametrize("name", SPACES)
def test_observations_come_back_in_the_environments_own_space(name):
    space = SPACES[name]
    space.seed(0)
    values = [space.sample() for _ in range(5)]
    batch = decode(space, encode(space, rows(values)))
    assert equal(batch, rows(values)) or name == "box"
    if name == "box":
        np.testing.assert_allclose(batch, rows(values), rtol=1e-6)
    env = Spoken(space)
    venv = DummyVecEnv([lambda: env])
    first, (obs, *_) = venv.reset(), venv.step([0])
    assert equal(first, obs)
    if name != "box":
        assert equal(obs, rows([env.said]))
    assert set(map(str, _dtypes(obs))) == set(map(str, _dtypes(rows([env.said]))))


def _dtypes(obs):
    return [d for part in obs.values() for d in _dtypes(part)] if isinstance(obs, dict) else [obs.dtype]


@pytest.mark.parametrize("name", ["box", "discrete", "multi", "table", "switches"])
def test_actions_reach_the_environment_as_they_were_given(name):
    space = spaces.Box(-1, 1, (2, 3), np.float32) if name == "box" else SPACES[name]
    space.seed(1)
    env = Spoken(spaces.Box(-1, 1, (2,)), space)
    venv = DummyVecEnv([lambda: env])
    venv.reset()
    wanted = [space.sample() for _ in range(6)]
    for action in wanted:
        venv.step(np.asarray([action]))
    assert all(np.array_equal(seen, action) for seen, action in zip(env.actions, wanted, strict=True))
    assert encode_actions(rows(wanted), space).min() >= (-1 if name == "box" else 0)


@pytest.mark.parametrize("kind", ["id", "instance", "function", "vector", "ours", "made", "same_step"])
def test_every_kind_of_environment_is_understood(kind):
    def functions():
        return [lambda: gym.make("CartPole-v1")] * 2

    env = {
        "id": lambda: "CartPole-v1",
        "instance": lambda: gym.make("CartPole-v1"),
        "function": lambda: lambda: gym.make("CartPole-v1"),
        "vector": lambda: gym.make_vec("CartPole-v1", num_envs=2),
        "ours": lambda: make_vector_env(TrainConfig(env="CartPole-v1", vectorization="serial"), 2),
        "made": lambda: make_vec_env("CartPole-v1", 2, wrapper_class=gym.wrappers.TimeAwareObservation),
        "same_step": lambda: SyncVectorEnv(functions(), autoreset_mode=AutoresetMode.SAME_STEP),
    }[kind]()
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1, seed=0)
    model.learn(128)
    venv = model.get_env()
    assert isinstance(venv, VecEnv)
    obs = venv.reset()
    assert obs.shape == (venv.num_envs, *venv.observation_space.shape)
    lengths = np.zeros(venv.num_envs, int)
    finished = 0
    for _ in range(300):
        obs, rewards, dones, infos = venv.step(model.predict(obs)[0])
        lengths += rewards > 0
        for i in np.flatnonzero(dones):
            finished += 1
            assert infos[i]["episode"]["l"] == infos[i]["episode"]["r"] == lengths[i]
            assert infos[i]["terminal_observation"].shape == venv.observation_space.shape
            lengths[i] = 0
    assert finished > 3


def test_what_is_no_environment():
    with pytest.raises(ConfigError, match="env = 3 is not an environment"):
        as_vec_env(3)
    with pytest.raises(ConfigError, match="did you mean CartPole"):
        PPO("MlpPolicy", "CartPol-v1")
    with pytest.raises(ConfigError, match=r"return a gymnasium\.Env"):
        DummyVecEnv([lambda: 3])
    with pytest.raises(ConfigError, match="needs an environment"):
        PPO("MlpPolicy", None)


def test_environments_keep_seeds_of_their_own_unless_the_model_has_one():
    env = Spoken(spaces.Box(-1, 1, (2,)))
    env.reset(seed=5)
    settings = {"n_steps": 8, "batch_size": 8, "n_epochs": 1}
    PPO("MlpPolicy", env, **settings).learn(8)
    assert set(env.resets[1:]) == {None}
    made = [Spoken(spaces.Box(-1, 1, (2,))) for _ in range(2)]
    venv = DummyVecEnv([lambda: made[0], lambda: made[1]])
    venv.seed(40)
    PPO("MlpPolicy", venv, **settings).learn(16)
    assert [env.resets[0] for env in made] == [40, 41]
    venv.seed(40)
    PPO("MlpPolicy", venv, seed=1, **settings)
    assert not {40, 41} & {made[0].resets[-1], made[1].resets[-1]}


def test_seeded_environments_repeat_themselves():
    first, second, third = (make_vec_env("CartPole-v1", 3, seed=seed).reset() for seed in (7, 7, 8))
    assert np.array_equal(first, second) and not np.array_equal(first, third)
    assert not np.array_equal(first[0], first[1])


def test_stepping_the_environment_behind_the_models_back_begins_new_episodes():
    model = PPO("MlpPolicy", Spoken(spaces.Box(-1, 1, (2,))), n_steps=8, batch_size=8, n_epochs=1, seed=0)
    model.learn(8)
    inner = model.get_env().envs[0]
    n_resets = len(inner.resets)
    model.learn(8, reset_num_timesteps=False)
    assert len(inner.resets) == n_resets + 2, "the ends of two episodes"
    model.get_env().step([0])
    model.learn(8, reset_num_timesteps=False)
    assert len(inner.resets) >= n_resets + 2 + 1 + 2


def test_a_model_that_takes_over_an_environment_begins_new_episodes():
    env = Spoken(spaces.Box(-1, 1, (2,)))
    venv = DummyVecEnv([lambda: env])
    first, second = (PPO("MlpPolicy", venv, n_steps=6, batch_size=6, n_epochs=1, seed=seed) for seed in (0, 1))
    for model in (first, second, first):
        n_resets, ends = len(env.resets), len(env.actions) // 4
        model.learn(6, reset_num_timesteps=False)
        assert len(env.resets) == n_resets + 1 + len(env.actions) // 4 - ends
    n_resets, ends = len(env.resets), len(env.actions) // 4
    first.learn(6, reset_num_timesteps=False)
    assert len(env.resets) == n_resets + len(env.actions) // 4 - ends


def test_attributes_and_methods_of_each_environment():
    venv = DummyVecEnv([lambda: gym.wrappers.TimeLimit(Spoken(SPACES["image"]), 9)] * 2)
    assert venv.env_method("render")[1].max() == 7
    assert venv.env_is_wrapped(gym.wrappers.TimeLimit) == [True, True]
    assert venv.env_is_wrapped(Monitor, indices=0) == [False]
    venv.set_attr("mark", 3, indices=[1])
    assert venv.get_attr("mark", indices=1) == [3]
    assert venv.envs[0] is not venv.envs[1]
    with pytest.raises(ConfigError, match="cannot be reached one by one"):
        make_vec_env("CartPole-v1").get_attr("gravity")
    venv.close()


def test_pictures():
    assert make_vec_env("CartPole-v1").render().dtype == np.uint8
    venv = make_vec_env("FrozenLake-v1", 2)
    venv.reset()
    assert venv.render("rgb_array").ndim == 3
    assert venv.get_images()[0].ndim == 3


def test_asynchronous_stepping():
    venv = make_vec_env("CartPole-v1", 2, seed=0)
    venv.reset()
    venv.step_async([0, 1])
    obs, rewards, _, infos = venv.step_wait()
    assert obs.shape == (2, 4) and rewards.sum() == 2 and len(infos) == 2


def test_each_environment_contributes_the_same_number_of_episodes():
    class Long(gym.Env):
        observation_space, action_space = spaces.Box(0, 1, (1,)), spaces.Discrete(2)

        def __init__(self, length):
            self.length = length

        def reset(self, *, seed=None, options=None):
            self.t = 0
            return np.zeros(1, np.float32), {}

        def step(self, action):
            self.t += 1
            return np.zeros(1, np.float32), 1.0, self.t == self.length, False, {}

    class Still:
        def predict(self, obs, state=None, episode_start=None, deterministic=True):
            return np.zeros(len(obs), int), state

    venv = DummyVecEnv([lambda: Long(2), lambda: Long(10)])
    returns, lengths = evaluate_policy(Still(), venv, n_eval_episodes=5, return_episode_rewards=True)
    assert sorted(returns) == [2.0, 2.0, 10.0, 10.0, 10.0] == sorted(map(float, lengths))
    seen = []
    mean, std = evaluate_policy(
        Still(), Long(4), n_eval_episodes=2, callback=lambda found, _: seen.append((found["reward"], found["done"]))
    )
    assert (mean, std) == (4.0, 0.0) and len(seen) == 8 and seen[3] == (1.0, True)
    with pytest.raises(AssertionError, match=r"below threshold: 4\.00 < 5\.00"):
        evaluate_policy(Still(), Long(4), n_eval_episodes=2, reward_threshold=5)


def test_the_monitor_writes_what_others_read(tmp_path):
    venv = make_vec_env("CartPole-v1", 2, seed=0, monitor_dir=str(tmp_path), monitor_kwargs={"info_keywords": ()})
    PPO("MlpPolicy", venv, n_steps=128, batch_size=64, n_epochs=1, seed=0).learn(256)
    header, *rest = (tmp_path / "1.monitor.csv").read_text().splitlines()
    assert json.loads(header[1:])["env_id"] == "CartPole-v1"
    written = list(csv.DictReader(rest))
    assert [float(row["l"]) for row in written] == venv.env_method("get_episode_lengths")[1]
    assert sum(venv.env_method("get_total_steps")) == 256
    assert len(written) > 2
    venv.close()
    pytest.importorskip("pandas")
    monitor = pytest.importorskip("stable_baselines3.common.monitor")
    assert len(monitor.load_results(str(tmp_path))) == len(venv.env_method("get_episode_rewards")[0]) + len(written)


def test_a_strict_monitor():
    env = Monitor(gym.make("CartPole-v1"), allow_early_resets=False, reset_keywords=("options",))
    env.reset(options={})
    with pytest.raises(RuntimeError, match="before the episode had ended"):
        env.reset(options={})
