"""Environments as tensors: the compiled ones step for step, the contract, and what is saved."""

import numpy as np
import pytest
import torch

from upswing import TrainConfig
from upswing.envs.contract import VectorEnv
from upswing.envs.device import DEVICE_ENVS, make_device_env, torch_device
from upswing.envs.device.vector import DeviceVectorEnv
from upswing.envs.make import make_vector_env, random_actions
from upswing.envs.native import NativeVectorEnv, find
from upswing.errors import ConfigError, StorageError

CPU = torch.device("cpu")
FARTHEST = {
    "CartPole-v1": [2.4, 3.0, 0.21, 3.0],
    "Pendulum-v1": [10.0, 8.0],
    "PushBlock-v0": [0.95, 0.95, 1.0, 1.0, 1.0, 1.0],
}
"""How far from the middle the states are tried."""

every_env = pytest.mark.parametrize("env_id", DEVICE_ENVS)


def both(env_id, n, **kwargs):
    """The same environments compiled and as tensors, in the same states."""
    native, device = NativeVectorEnv(find(env_id, kwargs), n), make_device_env(env_id, kwargs, n, CPU)
    native.reset(list(range(n)))
    device.reset(list(range(n)))
    copy_states(native, device, slice(None))
    return native, device


def copy_states(native, device, rows):
    device.state[:, rows] = torch.from_numpy(native.worlds[0])[rows].t()


def compare(native, device, actions):
    """One step of both; observations and rewards agree to the last bit of float32 but one, everything else exactly."""
    expected, seen = native.step(actions), device.step(torch.from_numpy(np.asarray(actions)))
    ended = np.flatnonzero(expected.terminated | expected.truncated)
    goes_on = np.setdiff1d(np.arange(native.n_envs), ended)
    np.testing.assert_allclose(seen.obs.numpy()[goes_on], expected.obs[goes_on], rtol=2e-7, atol=1e-12)
    np.testing.assert_allclose(seen.rewards.numpy(), expected.rewards, rtol=2e-7, atol=1e-12)
    np.testing.assert_array_equal(seen.terminated.numpy(), expected.terminated)
    np.testing.assert_array_equal(seen.truncated.numpy(), expected.truncated)
    assert (seen.final_obs is None) == (expected.final_obs is None)
    if seen.final_obs is not None:
        np.testing.assert_allclose(seen.final_obs.numpy(), expected.final_obs, rtol=2e-7, atol=1e-12)
    assert len(seen.episodes) == len(expected.episodes)
    for mine, theirs in zip(seen.episodes, expected.episodes, strict=True):
        assert mine._replace(ret=0.0) == theirs._replace(ret=0.0)
        assert mine.ret == pytest.approx(theirs.ret, rel=1e-9)
    copy_states(native, device, torch.from_numpy(ended))  # beginnings are drawn by other generators
    return len(ended)


@every_env
def test_each_step_is_the_compiled_ones(env_id):
    """600 random steps of 64 environments; half are put anywhere before each step, so that every branch is met. The
    others show that whole trajectories agree: in float64 nothing has time to drift apart."""
    native, device = both(env_id, 64)
    rng, ended = np.random.default_rng(0), 0
    far = np.array(FARTHEST[env_id])
    for _ in range(600):
        native.worlds[0][:32] = rng.uniform(-1.0, 1.0, (32, len(far))) * far
        copy_states(native, device, slice(0, 32))
        ended += compare(native, device, random_actions(native.action_space, native.obs, 64, rng))
    assert ended > 64


def test_a_pusher_inside_its_block_or_at_its_very_edge_is_treated_alike():
    native, device = both("PushBlock-v0", 9)
    offsets = [
        (0, 0),
        (0.02, 0.05),
        (0.05, 0.02),
        (-0.05, 0.05),
        (0.1, 0),
        (0, -0.1),
        (0.1, 0.1),
        (0.13, 0.13),
        (0, 0.15),
    ]
    native.worlds[0][:, :2] = 0.3 + np.array(offsets)
    native.worlds[0][:, 2:4] = 0.3
    native.worlds[0][:3, 4:] = 0.3  # a goal exactly where the block is
    copy_states(native, device, slice(None))
    compare(native, device, np.zeros((9, 2), np.float32))


@pytest.mark.parametrize(
    ("env_id", "kwargs"), [("CartPole-v1", {"sutton_barto_reward": True}), ("Pendulum-v1", {"g": 3.0})]
)
def test_parameters_are_the_compiled_ones(env_id, kwargs):
    native, device = both(env_id, 32, **kwargs)
    rng = np.random.default_rng(1)
    for _ in range(60):
        compare(native, device, random_actions(native.action_space, native.obs, 32, rng))
    assert make_device_env(env_id, {"render_fps": 3}, 2, CPU) is None


@every_env
def test_beginnings_have_the_compiled_distribution(env_id):
    """Mean and spread of each number of 20,000 first states, within five standard errors."""
    native, device = NativeVectorEnv(find(env_id), 20_000), make_device_env(env_id, {}, 20_000, CPU)
    theirs = native.reset(list(range(20_000)))
    mine = device.reset([0]).numpy()
    error = theirs.std(0) / np.sqrt(20_000) + 1e-12
    assert (np.abs(mine.mean(0) - theirs.mean(0)) < 5 * np.sqrt(2) * error).all()
    np.testing.assert_allclose(mine.std(0), theirs.std(0), rtol=0.05, atol=1e-9)
    assert (mine.min(0) >= theirs.min(0) - 0.01).all() and (mine.max(0) <= theirs.max(0) + 0.01).all()


@every_env
def test_the_contract_and_what_is_saved(env_id):
    env = make_device_env(env_id, {}, 5, CPU)
    assert isinstance(env, VectorEnv)
    env.reset([1, 2, 3, 4, 5])
    rng = np.random.default_rng(0)
    actions = [torch.from_numpy(random_actions(env.action_space, np.zeros(0), 5, rng)) for _ in range(260)]
    for action in actions[:30]:
        env.step(action)
    saved = env.get_state()
    first = [env.step(action) for action in actions[30:]]
    other = make_device_env(env_id, {}, 5, CPU)
    assert torch.equal(other.set_state(saved), other.dynamics.observe(other.state))
    for action, expected in zip(actions[30:], first, strict=True):
        again = other.step(action)
        assert torch.equal(again.obs, expected.obs) and torch.equal(again.rewards, expected.rewards)
        assert again.episodes == expected.episodes
    with pytest.raises(StorageError, match="not one of 4"):
        make_device_env(env_id, {}, 4, CPU).set_state(saved)
    with pytest.raises(StorageError, match="vectorization"):
        other.set_state({name: array for name, array in saved.items() if name != "lengths"})
    picture = env.render() if env_id == "PushBlock-v0" else None
    assert picture is None or (picture.shape == (400, 400, 3) and picture.std() > 0)


def test_seeds_decide_everything():
    def start(seeds):
        return make_device_env("CartPole-v1", {}, 3, CPU).reset(seeds)

    assert torch.equal(start([1, 2, 3]), start([1, 2, 3]))
    assert not torch.equal(start([1, 2, 3]), start([1, 2, 4]))
    assert len(start([1, 2, 3]).unique()) == 12


def chosen(**settings):
    return make_vector_env(TrainConfig(**settings), 4)


def test_device_is_chosen_where_a_gpu_trains_and_on_request(monkeypatch):
    asked = chosen(env="PushBlock-v0", vectorization="device", device="cpu")
    assert isinstance(asked, DeviceVectorEnv) and asked.description == "4 environments as tensors on cpu"
    assert isinstance(chosen(env="CartPole-v1"), NativeVectorEnv)
    config = TrainConfig(env="CartPole-v1", vectorization="device")
    assert isinstance(make_vector_env(config, 4, evaluation=True), NativeVectorEnv)
    with pytest.raises(ConfigError, match="no Acrobot-v1 on devices"):
        chosen(env="Acrobot-v1", vectorization="device")
    monkeypatch.setattr("upswing.envs.make.torch_device", lambda setting: CPU)  # a stand-in for the GPU
    assert isinstance(chosen(env="CartPole-v1", device="cuda"), DeviceVectorEnv)
    assert isinstance(chosen(env="Acrobot-v1", device="cuda"), NativeVectorEnv)


def test_a_device_that_is_not_there_is_one_sentence(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="needs a GPU"):
        chosen(env="CartPole-v1", vectorization="device", device="cuda")
    assert torch_device("cpu") == CPU


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
@every_env
def test_each_step_on_a_gpu_is_that_on_the_cpu(env_id):
    here, there = (make_device_env(env_id, {}, 256, torch.device(kind)) for kind in ("cpu", "cuda"))
    here.reset([0])
    there.reset([0])
    rng = np.random.default_rng(0)
    for _ in range(100):
        there.state.copy_(here.state)
        actions = torch.from_numpy(random_actions(here.action_space, np.zeros(0), 256, rng))
        mine, theirs = here.advance(actions), there.advance(actions.cuda())
        for name in ("rewards", "terminated", "truncated", "final_obs"):
            torch.testing.assert_close(getattr(theirs, name).cpu(), getattr(mine, name), rtol=1e-5, atol=1e-6)
