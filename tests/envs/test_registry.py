"""Environments by name: found, refused with near matches, and never imported from untrusted text."""

import functools
import importlib.metadata
import sys

import gymnasium
import numpy as np
import pytest

from envs.worlds import Counting
from upswing.envs import registry
from upswing.envs.registry import env_name, find_env, list_environments, make_factory
from upswing.envs.workers import WorkerVectorEnv
from upswing.errors import ConfigError, EnvironmentFault, MissingExtra

MODULE = """
import gymnasium
from envs.worlds import Counting

gymnasium.register("Registered-v3", Counting, max_episode_steps=7)

class Plain(Counting):
    pass

def function(success=False):
    return Counting(success=success)

number = 3
"""


@pytest.fixture
def users_module(tmp_path, monkeypatch):
    (tmp_path / "users_module.py").write_text(MODULE)
    (tmp_path / "broken_module.py").write_text("1 / 0")
    (tmp_path / "needy_module.py").write_text("import nobody_has_this")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name in ("users_module", "broken_module", "needy_module"):
        sys.modules.pop(name, None)
    gymnasium.registry.pop("Registered-v3", None)


def test_a_gymnasium_id_with_arguments():
    env = make_factory("Pendulum-v1", {"g": 5.0, "max_episode_steps": 9})()
    assert env.unwrapped.g == 5.0 and env.spec.max_episode_steps == 9
    assert not any("PassiveEnvChecker" in wrapper.name for wrapper in env.spec.additional_wrappers)


def test_an_id_without_a_version_is_the_latest():
    assert find_env("HalfCheetah").id == "HalfCheetah-v5"


def test_a_module_beside_the_command_is_found(users_module):
    assert isinstance(make_factory("users_module:Registered-v3")(), gymnasium.wrappers.TimeLimit)
    assert type(make_factory("users_module:Plain")()).__name__ == "Plain"
    assert make_factory("users_module:function", {"success": True})().success


def test_a_class_of_the_users_comes_before_a_registered_name(users_module):
    """Gymnasium knows a CartPole-v1; users_module:CartPole is nevertheless the user's class."""
    make_factory("users_module:Plain")  # imports it
    sys.modules["users_module"].CartPole = sys.modules["users_module"].Plain
    assert type(make_factory("users_module:CartPole")()).__name__ == "Plain"


def test_a_name_from_a_file_is_not_imported(users_module):
    for name in ("users_module:Plain", "users_module:Registered-v3", "os:system"):
        with pytest.raises(ConfigError, match="comes from a file: add --trust-code"):
            make_factory(name, trusted=False)
    assert "users_module" not in sys.modules
    make_factory("CartPole-v1", trusted=False)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere_module:Env", "there is no module nowhere_module"),
        ("users_module:Plane", "did you mean users_module:Plain"),
        ("users_module:number", "neither registers nor defines number"),
        ("broken_module:Env", "importing broken_module failed with ZeroDivisionError"),
        ("needy_module:Env", "needy_module needs nobody_has_this, which is not installed"),
        ("cartpole-v1", "did you mean CartPole-v1"),
        ("CartPole-v7", "did you mean CartPole-v1"),
        ("qqqqqqqqqqq", "see upswing envs"),
        (7, "is not an environment: give an id"),
    ],
)
def test_what_is_not_there_is_said_with_what_is_near(users_module, name, said):
    with pytest.raises(ConfigError, match=said):
        make_factory(name)


@pytest.mark.parametrize(
    ("env_id", "package", "extra"),
    [("LunarLander-v3", "Box2D", "box2d"), ("HalfCheetah-v5", "mujoco", "mujoco"), ("ALE/Pong-v5", "ale_py", "atari")],
)
def test_a_missing_simulator_names_its_extra(monkeypatch, env_id, package, extra):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == package else real(name, *rest))
    with pytest.raises(MissingExtra, match=rf"{env_id} needs .* pip install 'upswing\[{extra}\]'"):
        make_factory(env_id)
    assert all(
        item.installed != (item.kind == extra) for item in list_environments() if item.kind in (extra, "toy_text")
    )


def test_jax_environments_say_what_they_need(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None)
    with pytest.raises(ConfigError, match="needs jax, which is not installed: run pip install jax"):
        make_factory("phys2d/CartPole-v1")


def test_ids_that_only_say_where_their_environment_has_gone():
    with pytest.raises(EnvironmentFault, match=r"HalfCheetah-v3 cannot be made: .*gymnasium-robotics"):
        make_factory("HalfCheetah-v3")()


def test_classes_functions_and_their_arguments():
    assert make_factory(Counting, {"success": True})().success
    assert make_factory(lambda: Counting(success=True))().success
    assert make_factory(functools.partial(Counting, success=True), {"render_mode": "rgb_array"})().render_mode
    assert make_factory(lambda: Counting(), {"render_mode": "rgb_array"})().render_mode is None
    assert make_factory(lambda **more: Counting(**more), {"success": True})().success
    with pytest.raises(ConfigError, match="env_kwargs: Counting takes no gravity"):
        make_factory(Counting, {"gravity": 1})()
    with pytest.raises(ConfigError, match=r"CartPole-v1 cannot be made with env_kwargs = .*gravity"):
        make_factory("CartPole-v1", {"gravity": 1})()


class Point(importlib.metadata.EntryPoint):
    """An entry point of an installed package."""

    dist = None


def test_environments_that_installed_packages_offer(monkeypatch):
    points = [
        Point("third-party", "envs.worlds:Counting", registry.ENTRY_POINTS),
        Point("third-gone", "nowhere:Env", registry.ENTRY_POINTS),
        Point("third-odd", "envs.worlds:np.pi", registry.ENTRY_POINTS),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points if group == "upswing.envs" else [])
    assert make_factory("third-party", {"success": True}, trusted=False)().success
    assert ("third-party", "installed by a package", True) in list_environments()
    with pytest.raises(ConfigError, match="did you mean third-party"):
        make_factory("third-partie")
    with pytest.raises(ConfigError, match=r"third-gone.*could not be imported .ModuleNotFoundError"):
        make_factory("third-gone")
    with pytest.raises(ConfigError, match="neither a class nor a function"):
        make_factory("third-odd")


@pytest.mark.parametrize(
    ("env", "name"),
    [
        ("CartPole-v1", "CartPole-v1"),
        ("ALE/Pong-v5", "ALE-Pong-v5"),
        ("my.module:Walker-v0", "Walker-v0"),
        ("<script>alert(1)", "script-alert-1"),
        ("../..", "env"),
        (Counting, "Counting"),
        (functools.partial(Counting, success=True), "Counting"),
        (lambda: None, "lambda"),
    ],
)
def test_names_that_can_be_folders(env, name):
    assert env_name(env) == name


def test_the_list_of_environments_has_every_kind_once():
    listed = list_environments()
    ids = [item.id for item in listed]
    assert len(ids) == len(set(ids))
    assert {"CartPole-v1", "LunarLander-v3", "HalfCheetah-v5", "FrozenLake-v1"} <= set(ids)
    assert not {"CartPole-v0", "HalfCheetah-v4", "HalfCheetah-v3", "GymV21Environment-v0"} & set(ids)
    assert ("CartPole-v1", "classic_control", True) in listed and ("HalfCheetah-v5", "mujoco", True) in listed


def test_an_id_registered_here_works_in_a_worker():
    gymnasium.register("OnlyHere-v0", functools.partial(Counting), max_episode_steps=2)
    try:
        env = WorkerVectorEnv([make_factory("OnlyHere-v0")] * 2, 1)
        env.reset([12, 13])  # whose episodes would last longer
        env.step(np.zeros(2, int))
        assert env.step(np.zeros(2, int)).truncated.tolist() == [True, True]
        env.close()
    finally:
        del gymnasium.registry["OnlyHere-v0"]
