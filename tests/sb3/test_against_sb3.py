"""Beside Stable-Baselines3 itself: its weights, its environments and its callbacks."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from upswing import PPO
from upswing.envs.contract import Episode
from upswing.errors import StorageError
from upswing.sb3 import (
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    StopEpochsOnKL,
    evaluate_policy,
)
from upswing.sb3.common.base_callback import epochwise, idle_calls
from upswing.sb3.common.vec_env import as_vec_env

sb3 = pytest.importorskip("stable_baselines3")
callbacks = pytest.importorskip("stable_baselines3.common.callbacks")
env_util = pytest.importorskip("stable_baselines3.common.env_util")
vec_env = pytest.importorskip("stable_baselines3.common.vec_env")

SIZES = {"n_steps": 32, "batch_size": 32, "n_epochs": 1}
SMALL = {**SIZES, "seed": 0}


class Mixed(gym.Env):
    """Observations in a Dict, with a picture, and two continuous actions."""

    observation_space = spaces.Dict(
        {
            "camera": spaces.Box(0, 255, (36, 36, 1), np.uint8),
            "speed": spaces.Box(-1, 1, (3,)),
            "place": spaces.Discrete(4),
        }
    )
    action_space = spaces.Box(-0.5, 0.5, (2,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, True, {}


CASES = {
    "discrete": ("MlpPolicy", "CartPole-v1", {}),
    "continuous": ("MlpPolicy", "Pendulum-v1", {"policy_kwargs": {"net_arch": {"pi": [16], "vf": [8, 8]}}}),
    "gsde": ("MlpPolicy", "Pendulum-v1", {"use_sde": True}),
    "one_hot": ("MlpPolicy", "FrozenLake-v1", {}),
    "dict": ("MultiInputPolicy", Mixed, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_with_the_same_weights_the_same_actions(name):
    policy, env, settings = CASES[name]
    theirs = sb3.PPO(policy, env if isinstance(env, str) else env(), seed=3, **SIZES, **settings)
    with torch.no_grad():
        for parameter in theirs.policy.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    ours = PPO(policy, env if isinstance(env, str) else env(), seed=4, **SIZES, **settings)
    ours.set_parameters(theirs.get_parameters())
    space = ours.observation_space
    assert space == theirs.observation_space or name == "dict"
    space.seed(1)
    for _ in range(20):
        obs = space.sample()
        expected, _ = theirs.predict(obs, deterministic=True)
        found, _ = ours.predict(obs, deterministic=True)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert found.shape == expected.shape and found.dtype == expected.dtype


def test_a_saved_model_of_theirs_is_refused_and_its_weights_can_be_handed_over(tmp_path):
    theirs = sb3.PPO("MlpPolicy", "CartPole-v1", **SMALL)
    theirs.save(tmp_path / "theirs")
    with pytest.raises(StorageError, match=r"set_parameters\(model\.get_parameters\(\)\)"):
        PPO.load(tmp_path / "theirs")
    ours = PPO(sb3.ppo.MlpPolicy, "CartPole-v1", **SMALL)
    ours.set_parameters(sb3.PPO.load(tmp_path / "theirs").get_parameters())
    obs = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    assert np.array_equal(ours.predict(obs, deterministic=True)[0], theirs.predict(obs, deterministic=True)[0])


def test_their_callbacks_work_as_they_are(tmp_path):
    class Custom(callbacks.BaseCallback):
        def __init__(self):
            super().__init__()
            self.returns, self.ends = [], []

        def _on_step(self):
            self.returns += [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
            self.logger.record("custom/n", len(self.returns))
            return True

        def _on_rollout_end(self):
            self.ends.append((self.num_timesteps, self.training_env.num_envs))

    def evaluation():
        return env_util.make_vec_env("CartPole-v1", 1, seed=1)

    custom = Custom()
    stop = callbacks.StopTrainingOnRewardThreshold(1e9)
    evaluate = callbacks.EvalCallback(
        evaluation(), eval_freq=20, n_eval_episodes=2, verbose=0, callback_on_new_best=stop, log_path=str(tmp_path)
    )
    model = PPO("MlpPolicy", env_util.make_vec_env("CartPole-v1", 2, seed=0), **SMALL)
    model.learn(
        128, callback=callbacks.CallbackList([custom, evaluate, callbacks.CheckpointCallback(32, str(tmp_path))])
    )
    assert custom.ends == [(64, 2), (128, 2)]
    assert custom.returns == [info["r"] for info in model.ep_info_buffer]
    assert evaluate.evaluations_timesteps == [40, 80, 120]
    assert {path.name for path in tmp_path.glob("*.safetensors")} >= {"rl_model_64_steps.zip.safetensors"}
    assert evaluate.best_mean_reward > 0

    few = callbacks.StopTrainingOnMaxEpisodes(2)
    model.learn(10_000, callback=[few, EveryNTimesteps(16, callbacks.ConvertCallback(lambda a, b: True))])
    assert few.n_episodes >= 4
    assert model.num_timesteps < 2000


def test_their_idle_callbacks_cost_nothing():
    class Ends(callbacks.BaseCallback):
        ends = 0

        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self):
            self.ends += 1
            assert (self.n_calls, self.num_timesteps) == (32 * self.ends, 32 * self.ends)

    ends = Ends()
    theirs, ours = callbacks.CallbackList([ends]), StopEpochsOnKL(1e9)
    assert idle_calls(theirs) == idle_calls(ends) == float("inf")
    assert epochwise(callbacks.CallbackList([theirs, ours])) == [ours]
    PPO("MlpPolicy", "CartPole-v1", **SMALL).learn(64, callback=theirs)
    assert ends.ends == 2


def test_their_normalised_environments(tmp_path):
    env = vec_env.VecNormalize(env_util.make_vec_env("Pendulum-v1", 2, seed=0), gamma=0.9)
    held_out = vec_env.VecNormalize(env_util.make_vec_env("Pendulum-v1", 1, seed=1), training=False, norm_reward=False)
    model = PPO("MlpPolicy", env, gamma=0.9, **SMALL)
    assert model.get_env() is env and model.get_vec_normalize_env() is env
    evaluate = EvalCallback(held_out, eval_freq=100, n_eval_episodes=1, verbose=0)
    saving = CheckpointCallback(100, str(tmp_path), save_vecnormalize=True)
    model.learn(512, callback=CallbackList([evaluate, saving]))
    assert env.obs_rms.count > 500
    np.testing.assert_allclose(held_out.obs_rms.mean, env.obs_rms.mean, atol=0.3)
    assert held_out.obs_rms.count > 300
    assert [path.suffix for path in sorted(tmp_path.glob("*_200_steps*"))] == [".safetensors", ".pkl"]
    assert all(info["r"] < -100 for info in model.ep_info_buffer), "raw returns, from the Monitor"
    assert -2000 < evaluate_policy(model, held_out, n_eval_episodes=1)[0] < 0


class Ending(gym.Env):
    """Ends after `length` steps, by a limit or by its own rules; observations count the steps."""

    observation_space, action_space = spaces.Box(0, 10, (1,)), spaces.Discrete(2)

    def __init__(self, length, limit):
        self.length, self.limit = length, limit

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        over = self.t == self.length
        info = {"is_success": not self.limit} if over else {}
        return np.full(1, self.t, np.float32), 1.0, over and not self.limit, over and self.limit, info


@pytest.mark.parametrize("monitored", [True, False])
def test_their_environments_tell_a_time_limit_from_an_end(monitored):
    wrap = sb3.common.monitor.Monitor if monitored else lambda env: env
    theirs = vec_env.DummyVecEnv([lambda: wrap(Ending(3, True)), lambda: wrap(Ending(5, False))])
    ours = as_vec_env(theirs).vector_env
    assert ours.reset().tolist() == [[0.0], [0.0]]
    steps = [ours.step(np.zeros(2, int)) for _ in range(15)]
    assert [np.flatnonzero(row).tolist() for row in np.transpose([s.truncated for s in steps])] == [
        [2, 5, 8, 11, 14],
        [],
    ]
    assert [np.flatnonzero(row).tolist() for row in np.transpose([s.terminated for s in steps])] == [[], [4, 9, 14]]
    assert steps[2].final_obs.tolist() == [[3.0]] and steps[14].final_obs.tolist() == [[3.0], [5.0]]
    assert steps[2].obs.tolist() == [[0.0], [3.0]]
    assert steps[4].episodes == [Episode(1, 5.0, 5, True, True)]
    assert steps[2].episodes == [Episode(0, 3.0, 3, False, False)]
    assert ours.get_state() is None


def test_episodes_of_their_monitor_count_rather_than_ours():
    class Doubled(gym.RewardWrapper):
        def reward(self, reward):
            return 2 * reward

    theirs = vec_env.DummyVecEnv([lambda: Doubled(sb3.common.monitor.Monitor(Ending(3, True)))])
    ours = as_vec_env(theirs).vector_env
    ours.reset()
    steps = [ours.step(np.zeros(1, int)) for _ in range(3)]
    assert [step.rewards.tolist() for step in steps] == [[2.0]] * 3
    assert steps[2].episodes[0].ret == 3.0


def test_their_evaluation_of_our_model():
    model = PPO("MlpPolicy", "CartPole-v1", **SMALL)
    theirs = sb3.common.evaluation.evaluate_policy
    mean, _ = theirs(model, env_util.make_vec_env("CartPole-v1", 2, seed=0), n_eval_episodes=4)
    same, _ = theirs(model.policy, env_util.make_vec_env("CartPole-v1", 2, seed=0), n_eval_episodes=4)
    ours, _ = evaluate_policy(model, env_util.make_vec_env("CartPole-v1", 2, seed=0), n_eval_episodes=4)
    assert mean == same == ours


def test_their_logger(tmp_path):
    from stable_baselines3.common.logger import configure

    model = PPO("MlpPolicy", "CartPole-v1", **SMALL)
    model.set_logger(configure(str(tmp_path), ["csv"]))
    model.learn(64)
    header, *rows = (tmp_path / "progress.csv").read_text().splitlines()
    assert "train/approx_kl" in header and "rollout/ep_rew_mean" in header
    assert len(rows) == 2
    model.logger.close()
