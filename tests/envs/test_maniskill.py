"""ManiSkill's tasks on the CPU. What needs the package is skipped without it; nothing here needs a Vulkan driver."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from upswing import TrainConfig
from upswing.config import check
from upswing.envs import registry
from upswing.envs.make import make_vector_env
from upswing.envs.maniskill.making import read_options, wants_gpu
from upswing.envs.maniskill.tasks import TASKS, task_name
from upswing.envs.registry import Task, find_env, list_environments, make_factory
from upswing.errors import ConfigError, EnvironmentFault, MissingExtra

TRAJECTORY = [0.035519, 0.628401, 0.275652, -1.865625, 0.225409, 2.234525, 1.042365]
TRAJECTORY_REWARD = 0.073218

needs_maniskill = pytest.mark.skipif(
    importlib.util.find_spec("mani_skill") is None,
    reason="ManiSkill is not installed: pip install 'upswing[maniskill]'",
)
pytestmark = pytest.mark.filterwarnings("ignore")  # of ManiSkill's dependencies


def scene(task="PushCube-v1", evaluation=False, **env_kwargs):
    return make_factory(task, env_kwargs, evaluation=evaluation)()


@pytest.fixture
def no_renderer(monkeypatch):
    from upswing.envs.maniskill import making, renderer, scene

    for module in (making, renderer, scene):
        monkeypatch.setattr(module, "can_draw", lambda: False)


# ── without the package ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_task_is_known_with_or_without_its_version_before_the_package_is_imported():
    assert task_name("PushCube-v1") == task_name("PushCube") == "PushCube-v1"
    assert task_name("CartPole-v1") is None
    assert {"PushCube-v1", "PickCube-v1"} <= {item.id for item in list_environments() if item.kind == "maniskill"}


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as told:
        find_env("PushCube")
    assert str(told.value) == (
        "PushCube-v1 needs ManiSkill, which is not installed: run pip install 'upswing[maniskill]'."
    )


def test_options_are_ours_or_maniskills():
    training = read_options({"control_mode": "pd_ee_delta_pos", "max_episode_steps": 7}, evaluation=False)
    assert training == (7, True, {"control_mode": "pd_ee_delta_pos", "obs_mode": "state"})
    assert read_options({}, evaluation=True).partial_reset is False
    assert read_options({"eval_partial_reset": True}, evaluation=True).partial_reset is True
    assert read_options({"partial_reset": False}, evaluation=False).partial_reset is False
    with pytest.raises(ConfigError, match="partial_reset = 'yes' is neither true nor false"):
        read_options({"partial_reset": "yes"}, evaluation=False)
    with pytest.raises(ConfigError, match="max_episode_steps = 0 is not a number of steps"):
        read_options({"max_episode_steps": 0}, evaluation=False)


def test_the_gpu_is_asked_for_only_where_there_is_one(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert wants_gpu({}) is wants_gpu({"sim_backend": "physx_cpu"}) is False
    with pytest.raises(ConfigError, match=r"sim_backend = physx_cuda needs a GPU .* set it to physx_cpu"):
        wants_gpu({"sim_backend": "physx_cuda"})
    with pytest.raises(ConfigError, match="none of auto, physx_cpu and physx_cuda"):
        wants_gpu({"sim_backend": "bullet"})
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert wants_gpu({}) is wants_gpu({"sim_backend": "gpu"}) is True


# ── with it ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@needs_maniskill
def test_every_listed_task_is_registered_and_an_id_in_a_module_is_a_task_too():
    from upswing.envs.maniskill.renderer import can_draw

    can_draw()
    found = find_env("mani_skill.envs:PushCube-v1")
    from mani_skill.utils.registration import REGISTERED_ENVS

    assert set(TASKS) <= set(REGISTERED_ENVS)
    assert found == Task("PushCube-v1", "mani_skill.envs")


@needs_maniskill
def test_an_episode_of_push_cube():
    env = scene()
    obs, _ = env.reset(seed=3)
    first = obs.copy()
    assert obs in env.observation_space and obs.shape == (35,)
    assert (env.action_space.shape, env.metadata["render_fps"]) == ((8,), 20)
    ends = []
    for _ in range(50):
        after, reward, terminated, truncated, info = env.step(np.zeros(8))
        assert type(reward) is float and 0.0 <= reward <= 1.0 and info == {"success": False}
        ends.append((terminated, truncated))
    assert ends == [(False, False)] * 49 + [(False, True)]
    assert np.array_equal(obs, first) and not np.array_equal(after, first)  # a copy, not the simulator's own memory
    env.close()


@needs_maniskill
def test_episodes_come_from_the_environments_own_seed():
    import torch

    def second_episode(env, seed, noise):
        env.reset(seed=seed)
        torch.manual_seed(noise)  # the generator that every scene of a process shares
        return env.reset()[0]

    one, other = scene(), scene()
    mine = second_episode(one, 1, 0)
    assert np.array_equal(mine, second_episode(other, 1, 5))
    assert not np.array_equal(mine, second_episode(other, 2, 0))
    assert not np.array_equal(mine, one.reset()[0])


@needs_maniskill
def test_without_a_renderer_physics_are_the_same():
    """The last state of a seeded trajectory, which is the same with a renderer: both routes gave these numbers to the last digit."""
    env = scene()
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(50):
        obs, reward, *_ = env.step(rng.uniform(-1.0, 1.0, 8))
    np.testing.assert_allclose(obs[:7], TRAJECTORY, atol=2e-3)
    assert reward == pytest.approx(TRAJECTORY_REWARD, abs=2e-3)


@needs_maniskill
@pytest.mark.parametrize(("evaluation", "lengths"), [(False, [1]), (True, [3])])
def test_success_ends_an_episode_in_training_and_only_the_clock_in_evaluation(evaluation, lengths):
    env = make_vector_env(
        check(TrainConfig(env="PushCube-v1", env_kwargs={"max_episode_steps": 3}, vectorization="serial")),
        1,
        [0],
        evaluation=evaluation,
    )
    world = env._group.envs[0].world
    there = world.goal_region.pose.p.clone()
    there[:, 2] = 0.02
    away = there + 0.3
    done = []
    for target in (there, away, away):
        from mani_skill.utils.structs import Pose

        world.obj.set_pose(Pose.create_from_pq(p=target))
        done += env.step(np.zeros((1, 8), np.float32)).episodes
        if done:
            break
    assert [episode.length for episode in done] == lengths
    assert done[0].success_once is True
    assert done[0].success_at_end is (not evaluation)
    env.close()


@needs_maniskill
def test_two_robots_take_one_action():
    env = scene("TwoRobotPickCube-v1")
    env.reset(seed=0)
    assert env.action_space.shape == (16,)
    assert [(where.start, where.stop) for where in env.parts.values()] == [(0, 8), (8, 16)]
    action = np.zeros(16, np.float32)
    action[8:] = 1.0
    before = [agent.robot.qpos.clone() for agent in env.world.agent.agents]
    for _ in range(3):
        env.step(action)
    moved = [
        float((agent.robot.qpos - old)[0, :7].abs().max())
        for agent, old in zip(env.world.agent.agents, before, strict=True)
    ]
    assert moved[0] < 0.02 < moved[1]
    env.close()


@needs_maniskill
def test_named_observations_keep_their_names():
    env = make_vector_env(
        check(TrainConfig(env="PushCube-v1", env_kwargs={"obs_mode": "state_dict"}, vectorization="serial")), 1, [0]
    )
    assert "agent.qpos" in env.observation_space.spaces
    env.close()


@needs_maniskill
@pytest.mark.parametrize(
    ("env_kwargs", "error", "said"),
    [
        ({"colour": "red"}, ConfigError, "PushCube-v1 takes no colour: it takes control_mode, "),
        ({"reward_mode": "huge"}, ConfigError, "has no reward_mode huge: it has normalized_dense, dense, sparse"),
        ({"control_mode": "telepathy"}, ConfigError, "PushCube-v1 has no control_mode telepathy"),
        ({"robot_uids": "r2d2"}, EnvironmentFault, "PushCube-v1 cannot be built"),
    ],
)
def test_impossible_arguments(env_kwargs, error, said):
    with pytest.raises(error, match=said) as told:
        scene(**env_kwargs)
    assert "\n" not in str(told.value)


@needs_maniskill
def test_what_must_be_drawn_needs_a_renderer(no_renderer):
    with pytest.raises(ConfigError) as told:
        scene(obs_mode="rgb")
    assert str(told.value).startswith("obs_mode rgb of PushCube-v1 needs a Vulkan driver, and there is none: install")
    with pytest.raises(ConfigError, match="A picture of PushCube-v1 needs a Vulkan driver"):
        scene(render_mode="rgb_array")


@needs_maniskill
def test_missing_files_are_named_and_nobody_is_asked():
    with pytest.raises(ConfigError) as told:
        scene("PickSingleYCB-v1")
    assert "run python -m mani_skill.utils.download_asset ycb." in str(told.value)
    with pytest.raises(ConfigError, match=r"needs files that are not here \(Robot anymal_c has assets"):
        scene("AnymalC-Reach-v1")


@needs_maniskill
def test_training_in_a_worker(tmp_path):
    from upswing import preset, train
    from upswing.run.records import read_metrics

    config = preset(
        "PushCube-v1",
        n_envs=2,
        n_steps=6,
        n_minibatches=2,
        total_timesteps=24,
        vectorization="workers",
        n_workers=1,
        n_eval_episodes=2,
        n_eval_envs=2,
        eval_freq=0,
        env_kwargs={"max_episode_steps": 4},
        out_dir=str(tmp_path),
    )
    result = train(config)
    metrics = read_metrics(result.run_dir)
    assert result.total_timesteps == 24
    assert metrics["rollout/ep_len_mean"][-1] == metrics["eval/episode_len"][-1] == 4.0
    assert metrics["eval/return"][-1] == pytest.approx(4 * metrics["eval/reward"][-1], rel=1e-6)
    assert metrics["eval/success_once"][-1] == metrics["eval/success_at_end"][-1] == 0.0


@needs_maniskill
def test_a_picture_where_there_is_a_driver():
    from upswing.envs.maniskill.renderer import can_draw

    if not can_draw():
        pytest.skip("there is no Vulkan driver: see docs/maniskill.md")
    env = scene(render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert (picture.shape, picture.dtype) == ((512, 512, 3), np.uint8)
    assert picture.std() > 20  # something is to be seen
    env.close()
