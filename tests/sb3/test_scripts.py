"""Scripts as one writes them for Stable-Baselines3, with only the import changed, and what they must bring about."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from upswing import PPO
from upswing.sb3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    StopEpochsOnKL,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnNoModelImprovement,
    StopTrainingOnRewardThreshold,
)
from upswing.sb3.common.env_util import make_vec_env
from upswing.sb3.common.evaluation import evaluate_policy
from upswing.sb3.common.monitor import Monitor
from upswing.sb3.common.vec_env import DummyVecEnv, SubprocVecEnv

SMALL = {"n_steps": 64, "batch_size": 64, "n_epochs": 2, "seed": 1}


def weights(model):
    return {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_quickstart():
    env = gym.make("CartPole-v1", render_mode="rgb_array")
    model = PPO("MlpPolicy", env, learning_rate=1e-3, n_steps=512, seed=0, verbose=0)
    before = evaluate_policy(model, env, n_eval_episodes=5)[0]
    model.learn(total_timesteps=10_000)
    assert model.num_timesteps == 10_240

    vec_env = model.get_env()
    obs = vec_env.reset()
    lived = 0
    for _ in range(200):
        action, _states = model.predict(obs, deterministic=True)
        obs, reward, done, info = vec_env.step(action)
        lived += 1
        if done[0]:
            assert info[0]["episode"]["l"] == lived
            assert info[0]["terminal_observation"].shape == (4,)
            lived = 0
    assert obs.shape == (1, 4) and reward.tolist() == [1.0]
    assert vec_env.render().shape[-1] == 3
    assert evaluate_policy(model, env, n_eval_episodes=5)[0] > before + 50


def test_vector_environments_made_with_gymnasium():
    envs = gym.make_vec("CartPole-v1", num_envs=4, vectorization_mode="sync")
    model = PPO("MlpPolicy", envs, **SMALL)
    model.learn(1024)
    assert model.n_envs == 4
    assert model.num_timesteps == 1024
    assert len(model.ep_info_buffer) > 5
    assert all(info["r"] == info["l"] for info in model.ep_info_buffer)


def test_make_vec_env_and_a_linear_schedule():
    def linear(remaining):
        return remaining * 1e-3

    env = make_vec_env("Pendulum-v1", n_envs=2, seed=3)
    model = PPO(
        "MlpPolicy", env, learning_rate=linear, policy_kwargs={"net_arch": [8], "activation_fn": torch.nn.ReLU}, **SMALL
    )
    model.learn(512)
    assert model.logger.name_to_value["train/learning_rate"] == pytest.approx(1e-3 * 0.25)
    assert model.policy.state_dict()["pi.0.weight"].shape == (8, 3)


def test_evaluation_callback(tmp_path):
    eval_env = Monitor(gym.make("CartPole-v1"))
    callback = EvalCallback(
        eval_env,
        best_model_save_path=str(tmp_path / "best"),
        log_path=str(tmp_path / "logs"),
        eval_freq=100,
        n_eval_episodes=3,
        verbose=0,
    )
    model = PPO("MlpPolicy", make_vec_env("CartPole-v1", 2), **SMALL)
    model.learn(1024, callback=callback)
    logged = np.load(tmp_path / "logs" / "evaluations.npz")
    assert logged["timesteps"].tolist() == [200, 400, 600, 800, 1000]
    assert logged["results"].shape == (5, 3)
    assert logged["results"].max(axis=0).shape == (3,)
    assert callback.best_mean_reward == logged["results"].mean(axis=1).max()
    assert callback.n_calls == 512
    best = PPO.load(tmp_path / "best" / "best_model")
    assert (
        best.num_timesteps
        in logged["timesteps"][np.flatnonzero(logged["results"].mean(axis=1) == callback.best_mean_reward)]
    )
    assert len(eval_env.get_episode_rewards()) >= 15


def test_checkpoint_callback(tmp_path):
    callback = CheckpointCallback(save_freq=100, save_path=str(tmp_path / "saved"), name_prefix="ppo")
    model = PPO("MlpPolicy", make_vec_env("CartPole-v1", 2), **SMALL)
    model.learn(512, callback=callback)
    names = sorted(path.name for path in (tmp_path / "saved").iterdir())
    assert names == ["ppo_200_steps.safetensors", "ppo_400_steps.safetensors"]
    early, late = (PPO.load(tmp_path / "saved" / f"ppo_{steps}_steps") for steps in (200, 400))
    assert (early.num_timesteps, late.num_timesteps) == (200, 400)
    assert not same(weights(early), weights(late))


def test_stopping_on_reward():
    stop = StopTrainingOnRewardThreshold(reward_threshold=15, verbose=1)
    callback = EvalCallback(
        gym.make("CartPole-v1"), callback_on_new_best=stop, eval_freq=512, verbose=0, n_eval_episodes=10
    )
    model = PPO("MlpPolicy", "CartPole-v1", learning_rate=1e-3, n_steps=512, seed=0)
    model.learn(40_000, callback)
    assert callback.best_mean_reward >= 15
    assert model.num_timesteps < 40_000


def test_stopping_without_improvement():
    after = StopTrainingOnNoModelImprovement(max_no_improvement_evals=2, min_evals=1)
    callback = EvalCallback("Pendulum-v1", callback_after_eval=after, eval_freq=64, n_eval_episodes=1, verbose=0)
    model = PPO("MlpPolicy", "Pendulum-v1", learning_rate=1e-9, **SMALL)
    model.learn(64_000, callback)
    assert after.no_improvement_evals == 3
    assert model.num_timesteps < 20_000


def test_stopping_after_episodes():
    callback = StopTrainingOnMaxEpisodes(max_episodes=3, verbose=1)
    model = PPO("MlpPolicy", make_vec_env("CartPole-v1", 2, seed=0), **SMALL)
    model.learn(100_000, callback=callback)
    assert callback.n_episodes >= 6
    assert model.num_timesteps == callback.num_timesteps == 2 * callback.n_calls < 2000


def test_every_n_timesteps():
    class Notes(BaseCallback):
        def __init__(self):
            super().__init__()
            self.at = []

        def _on_step(self):
            self.at.append(self.num_timesteps)
            return True

    notes = Notes()
    model = PPO("MlpPolicy", make_vec_env("CartPole-v1", 2), **SMALL)
    model.learn(512, callback=EveryNTimesteps(n_steps=101, callback=notes))
    assert notes.at == [102, 204, 306, 408, 510]


def test_a_custom_callback_on_step_and_rollout(tmp_path):
    class Custom(BaseCallback):
        def __init__(self):
            super().__init__(verbose=1)
            self.rewards, self.episodes, self.order = [], [], []

        def _on_training_start(self):
            self.order.append("training start")

        def _on_rollout_start(self):
            self.order.append("rollout start")

        def _on_step(self):
            assert self.locals["new_obs"].shape == (2, 4)
            assert self.locals["actions"].shape == (2,)
            assert len(self.locals["infos"]) == 2
            self.rewards.append(self.locals["rewards"])
            self.episodes += [info["episode"] for info in self.locals["infos"] if "episode" in info]
            assert [("episode" in info) for info in self.locals["infos"]] == self.locals["dones"].tolist()
            self.logger.record("custom/episodes", len(self.episodes))
            return True

        def _on_rollout_end(self):
            self.order.append("rollout end")
            buffer = self.model.rollout_buffer
            assert buffer.rewards.sum() == np.sum(self.rewards[-64:])
            np.testing.assert_allclose(buffer.returns, buffer.advantages + buffer.values, rtol=1e-5)

        def _on_training_end(self):
            self.order.append("training end")

    callback = Custom()
    model = PPO("MlpPolicy", make_vec_env("CartPole-v1", 2), tensorboard_log=str(tmp_path), **SMALL)
    model.learn(256, callback=callback, tb_log_name="first")
    once = ["rollout start", "rollout end"]
    assert callback.order == ["training start", *once, *once, "training end"]
    assert callback.n_calls == 128
    assert [info["r"] for info in model.ep_info_buffer] == [episode["r"] for episode in callback.episodes]
    events = EventAccumulator(str(tmp_path / "first_1")).Reload()
    assert [e.value for e in events.Scalars("custom/episodes")][-1] == len(callback.episodes)
    assert {"rollout/ep_rew_mean", "train/approx_kl", "time/fps"} <= set(events.Tags()["scalars"])


def test_stopping_at_once():
    def callback(locals_, globals_):
        return locals_["self"].num_timesteps < 10

    model = PPO("MlpPolicy", "CartPole-v1", **SMALL)
    before = weights(model)
    model.learn(1000, callback=callback)
    assert model.num_timesteps == 10
    assert same(before, weights(model)), "no update takes place after the stop"
    model.learn(128, reset_num_timesteps=False)
    assert model.num_timesteps == 138
    assert not same(before, weights(model))


def test_kl_early_stopping_ends_the_epochs():
    class KLStop(BaseCallback):
        def __init__(self):
            super().__init__()
            self.seen = []

        def _on_epoch(self, view):
            self.seen.append(view.approx_kl)
            return view.approx_kl < 4e-3

    callback = KLStop()
    model = PPO("MlpPolicy", "CartPole-v1", learning_rate=3e-3, n_steps=256, n_epochs=10, seed=0)
    model.learn(1024, callback=callback)
    assert sum(kl >= 4e-3 for kl in callback.seen) >= 2
    assert model._n_updates == len(callback.seen) < 40
    assert model.num_timesteps == 1024, "training itself goes on"

    ready_made = StopEpochsOnKL(max_kl=4e-3)
    other = PPO("MlpPolicy", "CartPole-v1", learning_rate=3e-3, n_steps=256, n_epochs=10, seed=0)
    other.learn(1024, callback=CallbackList([ready_made]))
    assert ready_made.n_stops > 0
    assert same(weights(model), weights(other))


def test_settings_changed_by_a_callback_count_from_the_next_update():
    class Tune(BaseCallback):
        def _on_rollout_end(self):
            if self.num_timesteps >= 128:
                self.model.n_epochs = 5
                self.model.learning_rate = 0.0

    model = PPO("MlpPolicy", "CartPole-v1", **SMALL)
    model.learn(64)
    after_one = weights(model)
    model = PPO("MlpPolicy", "CartPole-v1", **SMALL)
    model.learn(192, callback=Tune())
    assert model._n_updates == 2 + 5 + 5
    assert same(after_one, weights(model))


def test_save_load_predict_and_go_on(tmp_path):
    model = PPO("MlpPolicy", make_vec_env("CartPole-v1", 2, seed=0), **SMALL)
    model.learn(256)
    model.save(tmp_path / "ppo_cartpole")
    obs = model.get_env().reset()
    expected = model.predict(obs, deterministic=True)[0]
    del model

    model = PPO.load(tmp_path / "ppo_cartpole")
    assert np.array_equal(model.predict(obs, deterministic=True)[0], expected)
    model.set_env(make_vec_env("CartPole-v1", 2, seed=1))
    model.learn(256, reset_num_timesteps=False)
    assert model.num_timesteps == 512
    assert model._n_updates == 8


def test_learning_on_goes_on_with_the_schedule():
    seen = []
    model = PPO("MlpPolicy", "CartPole-v1", learning_rate=lambda remaining: seen.append(remaining) or 1e-3, **SMALL)
    model.learn(128)
    seen.clear()
    model.learn(128, reset_num_timesteps=False)
    assert model.num_timesteps == 256
    assert {0.5, 0.25} <= set(seen) and 1.0 not in seen[-2:]
    model.learn(64)
    assert model.num_timesteps == 64


def test_environments_in_processes_and_by_functions():
    env = DummyVecEnv([lambda: gym.make("Pendulum-v1", g=9.81), lambda: gym.make("Pendulum-v1", g=1.0)])
    assert env.get_attr("g") == [9.81, 1.0]
    env.set_attr("g", 2.0, indices=1)
    assert env.get_attr("g") == [9.81, 2.0]
    assert PPO("MlpPolicy", env, **SMALL).learn(128).num_timesteps == 128
    workers = make_vec_env("Acrobot-v1", n_envs=2, vec_env_cls=SubprocVecEnv)
    try:
        model = PPO("MlpPolicy", workers, **SMALL).learn(128)
        assert "worker" in model.get_env().vector_env.description
    finally:
        workers.close()


def test_the_table(capsys):
    model = PPO("MlpPolicy", "Pendulum-v1", verbose=1, **SMALL)
    model.learn(256, log_interval=2)
    printed = capsys.readouterr().out
    assert printed.count("| rollout/") == 1, "no episode of Pendulum has ended after two iterations"
    assert printed.count("| train/") == 2
    for tag in ("fps", "iterations", "total_timesteps", "approx_kl", "clip_fraction", "explained_variance", "std"):
        assert f"|    {tag} " in printed
    assert "grad_norm" not in printed


def test_the_output_says_what_every_step_costs(capsys):
    class Curious(BaseCallback):
        def _on_step(self):
            return self.num_timesteps > 0

    PPO("MlpPolicy", "CartPole-v1", verbose=1, **SMALL).learn(128, callback=[Curious()])
    printed = capsys.readouterr().out
    assert printed.count("Curious: called after every step") == 1
    assert "µs a call" in printed


def test_progress_bar(capsys):
    PPO("MlpPolicy", "CartPole-v1", **SMALL).learn(128, progress_bar=True)
    assert "100%" in capsys.readouterr().out
