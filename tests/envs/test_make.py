"""From a configuration to its environments, and what auto chooses and says."""

import threading

import numpy as np
import pytest
from gymnasium import spaces

from envs.worlds import Counting, Masked, Spaced
from upswing.config import TrainConfig
from upswing.envs import make
from upswing.envs.contract import VectorEnv
from upswing.envs.gymnasium_vector import GymnasiumVectorEnv
from upswing.envs.make import make_vector_env, random_actions, step_seconds
from upswing.envs.native import NativeVectorEnv
from upswing.envs.serial import SerialVectorEnv
from upswing.envs.shared import SharedVectorEnv
from upswing.envs.workers import WorkerVectorEnv
from upswing.errors import ConfigError


def made(n_envs=4, evaluation=False, render_mode=None, **settings):
    return make_vector_env(TrainConfig(**settings), n_envs, evaluation=evaluation, render_mode=render_mode)


@pytest.mark.parametrize(
    ("vectorization", "kind", "described"),
    [
        ("serial", SerialVectorEnv, "4 environments in this process"),
        ("workers", WorkerVectorEnv, "4 environments in 2 worker processes"),
        ("shared", SharedVectorEnv, "4 environments in this process and 2 worker processes"),
        ("gymnasium", GymnasiumVectorEnv, "4 environments in SyncVectorEnv"),
    ],
)
def test_the_way_to_step_is_as_it_was_asked(vectorization, kind, described):
    env = made(env=Counting, vectorization=vectorization, n_workers=2)
    assert type(env) is kind and env.description == described and isinstance(env, VectorEnv) and env.n_envs == 4
    assert env.notices == []
    env.close()


def test_workers_get_their_settings():
    env = made(3, env=Counting, vectorization="workers", n_workers=8, step_timeout_s=7, max_worker_restarts=1)
    assert env.description == "3 environments in 3 worker processes"
    assert env.step_timeout_s == 7 and env.max_restarts == 1
    env.close()
    assert type(made(1, env=Counting, vectorization="shared")) is SerialVectorEnv
    env = made(1, env=Counting, vectorization="workers", step_timeout_s=0)
    assert env.step_timeout_s == float("inf") and env.description == "1 environment in 1 worker process"
    env.reset([1])
    assert env.step(np.zeros(1, int)).obs.tolist() == [[1, 0, 1]]
    env.close()


def test_with_seeds_the_first_episodes_have_begun():
    env = make_vector_env(TrainConfig(env=Counting, vectorization="serial"), 2, [3, 4])
    assert env.step(np.zeros(2, int)).obs.tolist() == [[3, 0, 1], [4, 0, 1]]


def test_auto_prefers_compiled_environments_but_not_for_pictures():
    assert isinstance(made(env="CartPole-v1"), NativeVectorEnv)
    assert isinstance(made(env="CartPole-v1", evaluation=True), NativeVectorEnv)
    assert isinstance(made(env="CartPole-v1", vectorization="native"), NativeVectorEnv)
    assert isinstance(made(env="CartPole-v1", vectorization="serial"), SerialVectorEnv)
    env = made(1, env="CartPole-v1", render_mode="rgb_array")
    assert type(env) is SerialVectorEnv
    env.reset([0])
    assert env.render().shape == (400, 600, 3)
    env.close()


def test_native_is_refused_where_there_is_nothing_compiled():
    with pytest.raises(ConfigError, match="no compiled Counting"):
        made(env=Counting, vectorization="native")


def test_auto_steps_few_or_evaluated_environments_in_this_process():
    for env in (made(1, env=Counting), made(4, env=Counting, evaluation=True)):
        assert type(env) is SerialVectorEnv and env.notices == []


def test_auto_does_not_try_workers_where_they_cannot_pay(monkeypatch):
    monkeypatch.setattr(make, "step_seconds", lambda env: 10e-6)
    env = made(env=Counting)
    assert type(env) is SerialVectorEnv
    assert env.notices == [
        "vectorization auto: 4 environments in this process, because a step of all takes 0.01 ms, too little for "
        "workers to pay."
    ]
    monkeypatch.setattr(make, "usable_cores", lambda: 1)
    assert "because there is one core" in made(env=Counting).notices[0]


@pytest.mark.parametrize(("workers_s", "kind"), [(0.5, WorkerVectorEnv), (0.9, SerialVectorEnv)])
def test_auto_measures_and_says_what_it_found(monkeypatch, workers_s, kind):
    monkeypatch.setattr(make, "usable_cores", lambda: 2)
    monkeypatch.setattr(make, "step_seconds", lambda env: workers_s if type(env) is WorkerVectorEnv else 1.0)
    env = made(env=Counting)
    assert type(env) is kind
    (notice,) = env.notices
    assert notice.startswith(f"vectorization auto: {env.description}, because a step of all takes ")
    assert "1e+03 ms" in notice and f"{1000 * workers_s:g} ms" in notice
    env.reset([1, 2, 3, 4])
    assert env.step(np.zeros(4, int)).obs[:, 2].tolist() == [1, 1, 1, 1]
    env.close()


def test_auto_is_not_misled_by_a_machine_whose_speed_changes(monkeypatch):
    slowness = iter([1.0, 1.0, 1.0, 2.0, 2.0, 5.0, 1.0, 3.0, 3.0, 0.2, 1.0])
    seconds = {SerialVectorEnv: 1.0, WorkerVectorEnv: 0.6}
    monkeypatch.setattr(make, "usable_cores", lambda: 2)
    monkeypatch.setattr(make, "step_seconds", lambda env: next(slowness) * seconds[type(env)])
    env = made(env=Counting)
    assert type(env) is WorkerVectorEnv
    env.close()


def test_auto_takes_a_share_of_quick_environments_where_nothing_else_is_to_be_done(monkeypatch):
    monkeypatch.setattr(make, "usable_cores", lambda: 2)
    monkeypatch.setattr(make, "step_seconds", lambda env: 1e-3 if type(env) is SerialVectorEnv else 0.6e-3)
    for settings, kind in (({}, SharedVectorEnv), ({"collect": "overlap"}, WorkerVectorEnv)):
        env = made(env=Counting, **settings)
        assert type(env) is kind and f"{env.description}, because a step of all takes 0.6 ms" in env.notices[0]
        env.close()


def test_auto_does_without_workers_where_the_factory_cannot_travel(monkeypatch):
    monkeypatch.setattr(make, "usable_cores", lambda: 2)
    monkeypatch.setattr(make, "step_seconds", lambda env: 0.25)
    lock = threading.Lock()
    env = made(env=lambda: Counting(success=lock))
    assert type(env) is SerialVectorEnv and "because workers are impossible: the function" in env.notices[0]


def test_a_name_from_a_file_is_never_imported():
    for vectorization in ("auto", "serial", "workers", "gymnasium", "native"):
        config = TrainConfig(env="os:system", vectorization=vectorization)
        with pytest.raises(ConfigError, match="--trust-code"):
            make_vector_env(config, 2, trusted=False)


def test_only_the_first_environment_draws():
    config = TrainConfig(env=Counting, vectorization="serial")
    env = make_vector_env(config, 2, [1, 2], render_mode="rgb_array")
    assert [each.render_mode for each in env._group.envs] == ["rgb_array", None]
    assert env.render().shape == (4, 6, 3)


@pytest.mark.parametrize("vectorization", ["serial", "gymnasium"])
def test_arguments_reach_the_environment(vectorization):
    config = TrainConfig(env="Pendulum-v1", env_kwargs={"g": 1.0, "max_episode_steps": 3}, vectorization=vectorization)
    env = make_vector_env(config, 2, [1, 2])
    ends = [env.step(np.zeros((2, 1), np.float32)).truncated.tolist() for _ in range(3)]
    assert ends == [[False, False], [False, False], [True, True]]
    with pytest.raises(ConfigError, match="cannot be made with env_kwargs"):
        made(env="Pendulum-v1", env_kwargs={"gravity": 1.0}, vectorization=vectorization)


def test_a_measurement_takes_valid_actions_of_every_kind():
    class Slow(Masked):
        steps = 0

        def step(self, action):
            Slow.steps += 1
            return super().step(action)

    assert 0 < step_seconds(SerialVectorEnv([lambda: Slow("info", multi=True)] * 3), budget_s=0.01) < 0.1
    assert Slow.steps > 3
    for space in (spaces.Box(-1, np.inf, (2,), np.float64), spaces.MultiBinary(3), spaces.Discrete(4, start=2)):
        env = SerialVectorEnv([lambda space=space: Spaced(spaces.Discrete(2), space)])
        assert step_seconds(env, budget_s=0.001) > 0


def test_random_actions_are_valid_and_use_every_choice():
    rng = np.random.default_rng(0)
    mask = {"action_mask": np.array([[True, False, True, False, True]] * 200)}
    drawn = random_actions(spaces.MultiDiscrete([3, 2]), mask, 200, rng)
    assert set(drawn[:, 0]) == {0, 2} and set(drawn[:, 1]) == {1}
    assert set(random_actions(spaces.Discrete(3), {}, 200, rng)) == {0, 1, 2}
    box = spaces.Box(np.array([-2.0, -np.inf]), np.array([5.0, np.inf]), dtype=np.float64)
    assert np.isfinite(random_actions(box, {}, 50, rng)).all()
    assert random_actions(spaces.MultiBinary(3), {}, 9, rng).shape == (9, 3)
