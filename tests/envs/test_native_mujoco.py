"""Compiled environments on MuJoCo: Gymnasium's own to the last bit of an observation, and models of one's own."""

import copy

import gymnasium as gym
import mujoco
import numpy as np
import pytest

from upswing.envs.native import NATIVE_ENVS, NativeVectorEnv, find
from upswing.envs.native.mujoco import mujoco_env, observe, qpos, scatter, simulate
from upswing.envs.native.mujoco.physics import load
from upswing.errors import ConfigError

IDS = [env_id for env_id, module in NATIVE_ENVS.items() if module.startswith("mujoco.")]


def begin_alike(theirs, env, i):
    """Put Gymnasium's environment into the first state of compiled environment `i`."""
    theirs.reset(seed=0)
    base = theirs.unwrapped
    nq, nv = base.model.nq, base.model.nv
    mujoco.mj_resetData(base.model, base.data)
    base.set_state(*np.split(env.worlds[0][i, 1 : 1 + nq + nv].copy(), [nq]))


def actions_for(env, rng):
    low, high = env.action_space.low, env.action_space.high
    return rng.uniform(1.2 * low, 1.2 * high, (env.n_envs, *env.action_space.shape)).astype(np.float32)


@pytest.mark.parametrize("env_id", IDS)
def test_whole_episodes_are_gymnasiums(env_id):
    """Three environments share one simulator, and each does what one of its own does: observations to the last bit,
    rewards to float32's accuracy, ends exactly. Three episodes of each, as long as they last but at most 200 steps."""
    env = NativeVectorEnv(find(env_id), 3)
    env.reset([0, 1, 2])
    theirs = [gym.make(env_id) for _ in range(3)]
    rng, ends = np.random.default_rng(0), 0
    for i, each in enumerate(theirs):
        begin_alike(each, env, i)
    for _ in range(200):
        actions = actions_for(env, rng)
        step = env.step(actions)
        ended = step.terminated | step.truncated
        for i, each in enumerate(theirs):
            obs, reward, terminated, truncated, _ = each.step(actions[i].clip(env.low, env.high))
            mine = step.final_obs[ended[:i].sum()] if ended[i] else step.obs[i]
            np.testing.assert_array_equal(mine, obs.astype(np.float32))
            assert step.rewards[i] == pytest.approx(reward, rel=1e-6, abs=1e-6)
            assert (step.terminated[i], step.truncated[i]) == (terminated, truncated)
            if ended[i]:
                begin_alike(each, env, i)
        ends += ended.sum()
    assert ends > 3 or env_id in ("HalfCheetah-v5", "Swimmer-v5", "Ant-v5")


@pytest.mark.parametrize("env_id", IDS)
def test_spaces_time_limits_and_first_states_are_gymnasiums(env_id):
    spec, theirs = find(env_id), gym.make(env_id)
    assert spec.observation_space.shape == theirs.observation_space.shape
    assert spec.action_space == theirs.action_space and spec.max_episode_steps == theirs.spec.max_episode_steps
    mine = NativeVectorEnv(spec, 1000).reset(list(range(1000)))
    drawn = np.array([theirs.reset(seed=i)[0] for i in range(1000)])
    spread = drawn.std(axis=0)
    np.testing.assert_array_less(np.abs(mine.mean(axis=0) - drawn.mean(axis=0)), 0.17 * spread + 1e-6)
    np.testing.assert_allclose(mine.std(axis=0), spread, rtol=0.1, atol=1e-6)


@pytest.mark.parametrize(("env_id", "kwargs"), [
    ("HalfCheetah-v5", {"forward_reward_weight": 2.0, "ctrl_cost_weight": 0.7}),
    ("Swimmer-v5", {"forward_reward_weight": 2.0, "ctrl_cost_weight": 0.7}),
    ("Hopper-v5", {"healthy_reward": 3.0, "ctrl_cost_weight": 0.7, "terminate_when_unhealthy": False}),
    ("Walker2d-v5", {"healthy_reward": 3.0, "forward_reward_weight": 2.0, "terminate_when_unhealthy": False}),
    ("Ant-v5", {"contact_cost_weight": 0.1, "healthy_reward": 3.0, "terminate_when_unhealthy": False}),
])  # fmt: skip
def test_arguments_reach_the_environment(env_id, kwargs):
    env, theirs, rng = NativeVectorEnv(find(env_id, kwargs), 1), gym.make(env_id, **kwargs), np.random.default_rng(0)
    plain = NativeVectorEnv(find(env_id), 1)
    env.reset([4])
    plain.reset([4])
    begin_alike(theirs, env, 0)
    rewards = []
    for _ in range(150):  # long enough to fall
        action = actions_for(env, rng).clip(env.low, env.high)
        step, (_, reward, terminated, _, _) = env.step(action), theirs.step(action[0])
        assert step.rewards[0] == pytest.approx(reward, rel=2e-6, abs=1e-6) and step.terminated[0] == terminated
        rewards.append((step.rewards[0], plain.step(action).rewards[0]))
    assert np.abs(np.diff(rewards, axis=1)).max() > 0.1


def test_first_states_follow_their_noise():
    calm, wild = (NativeVectorEnv(find("Ant-v5", {"reset_noise_scale": scale}), 50) for scale in (0.001, 0.3))
    assert wild.reset(list(range(50))).std() > 10 * calm.reset(list(range(50))).std(axis=0).max()


@pytest.mark.parametrize("kwargs", [{"frame_skip": 2}, {"xml_file": "ant.xml"}, {"healthy_z_range": (0.3, 1.0)}])
def test_other_arguments_are_left_to_gymnasium(kwargs):
    assert find("Hopper-v5", kwargs) is None


def test_without_the_simulator_nothing_is_compiled(monkeypatch):
    import importlib.util

    installed = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mujoco" else installed(name))
    assert find("Hopper-v5") is None and find("CartPole-v1") is not None


ROD = """<mujoco><option timestep="0.01"/><worldbody><body pos="0 0 1">
<joint name="hinge" type="hinge" axis="0 1 0"/><geom type="capsule" size="0.05" fromto="0 0 0 0 0 -0.5"/></body></worldbody>
<actuator><motor joint="hinge" ctrllimited="true" ctrlrange="-2 2"/><motor joint="hinge" gear="0.1"/></actuator></mujoco>"""


def rod_reset(state, obs, parameters, rng):
    scatter(state, parameters, rng, 0.2, 0.0)
    observe(state, obs, parameters, 0, 5.0)


def rod_step(state, action, obs, parameters, rng):
    simulate(state, action, parameters, 3)
    observe(state, obs, parameters, 0, 5.0)
    return parameters[0] * abs(qpos(state, parameters)[0]), abs(obs[0]) > 3.0


def test_a_model_of_ones_own(tmp_path):
    """It does what MuJoCo does with the same torques, and its motors' ranges are those of its actions."""
    xml = tmp_path / "rod.xml"
    xml.write_text(ROD)
    spec = mujoco_env("Rod-v0", rod_step, rod_reset, xml=xml, n_obs=2, n_memory=1, parameters={"weight": 2.0})
    assert spec.action_space.low.tolist() == [-2.0, -np.inf] and spec.action_space.high.tolist() == [2.0, np.inf]
    env = spec()
    obs, _ = env.reset(seed=0)
    model = mujoco.MjModel.from_xml_path(str(xml))
    data = mujoco.MjData(model)
    data.qpos[0], data.qvel[0] = env.state[1:3]
    mujoco.mj_forward(model, data)
    assert 0.0 < abs(obs[0]) <= 0.2
    for _ in range(20):
        obs, reward, *_ = env.step(np.array([2.5, -3.0], np.float32))
        data.ctrl[:] = 2.0, -3.0
        mujoco.mj_step(model, data, nstep=3)
        assert obs.tolist() == [np.float32(data.qpos[0]), np.float32(data.qvel[0].clip(-5.0, 5.0))]
        assert reward == pytest.approx(2.0 * abs(data.qpos[0]))


def test_models_that_cannot_be_remembered_or_read_are_refused(tmp_path):
    muscle, broken = tmp_path / "muscle.xml", tmp_path / "broken.xml"
    muscle.write_text(ROD.replace('gear="0.1"/>', 'gear="0.1"/><general joint="hinge" dyntype="integrator"/>'))
    broken.write_text("<mujoco><nothing/></mujoco>")
    with pytest.raises(ConfigError, match="a state of their own"):
        load(str(muscle))
    if hasattr(mujoco.mjtEnableBit, "mjENBL_SLEEP"):
        (tmp_path / "sleepy.xml").write_text(ROD.replace('"0.01"/>', '"0.01"><flag sleep="enable"/></option>'))
        with pytest.raises(ConfigError, match="lets bodies sleep"):
            load(str(tmp_path / "sleepy.xml"))
    with pytest.raises(ConfigError, match=r"MuJoCo cannot read .*broken\.xml"):
        load(str(broken))


def test_too_small_an_observation_and_a_copy_are_errors(tmp_path):
    xml = tmp_path / "rod.xml"
    xml.write_text(ROD)
    env = mujoco_env("Rod-v0", rod_step, rod_reset, xml=xml, n_obs=1, parameters={"weight": 2.0})()
    with pytest.raises(ValueError, match="n_obs is too small"):
        env.reset(seed=0)
    with pytest.raises(TypeError, match="make another environment"):
        copy.deepcopy(env)
