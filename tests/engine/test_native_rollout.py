"""What the native engine collects, in one call or step by step, and what it saves and restores."""

import pickle

import gymnasium as gym
import numpy as np
import pytest
import torch

from scripted import script
from upswing.config import TrainConfig
from upswing.engine.contract import Hyper
from upswing.engine.native import stepwise
from upswing.engine.native_engine import NativeEngine, unsupported
from upswing.engine.normalizer import Normalizer
from upswing.engine.torch_engine import TorchEngine
from upswing.envs.make import make_vector_env
from upswing.envs.native import NativeVectorEnv, find
from upswing.envs.serial import SerialVectorEnv
from upswing.policies import MlpPolicy, flatten_parameters, make_policy
from upswing.ppo.advantages import gae

HYPER = Hyper(learning_rate=1e-3, clip_range=0.2, clip_range_vf=None, ent_coef=0.0, n_epochs=2, target_kl=None)
NORMALISED = {"normalize_obs": True, "normalize_reward": True}
VECTOR, PICTURE = gym.spaces.Box(-1.0, 1.0, (5,)), gym.spaces.Box(0, 255, (40, 40, 3), np.uint8)


class OwnForward(MlpPolicy):
    def forward(self, obs):
        return super().forward(2.0 * obs)


class OwnFeatures(torch.nn.Flatten):
    def __init__(self, space):
        super().__init__()
        self.features_dim = int(np.prod(space.shape))


def engine_for(env, kind=NativeEngine, **settings):
    config = TrainConfig(**({"n_envs": env.n_envs, "n_steps": 64, "batch_size": 32} | settings))
    policy = make_policy(config, env.observation_space, env.action_space, 3)
    flatten_parameters(policy)
    return kind(config, env, policy, list(range(env.n_envs)), 11)


def compiled_env(env_id="CartPole-v1", n_envs=4):
    return NativeVectorEnv(find(env_id), n_envs)


def copied(rollout):
    return {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in vars(rollout).items() if not k.endswith("_s")}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        if name == "raw_reward_mean":  # summed in another order
            assert value == pytest.approx(b[name], rel=1e-12)
            continue
        np.testing.assert_array_equal(value, b[name], err_msg=name)


@pytest.mark.parametrize("settings", [{}, NORMALISED], ids=["raw", "normalised"])
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "MountainCarContinuous-v0"])
def test_one_call_and_step_by_step_are_the_same_to_the_bit(env_id, settings):
    one, many = (engine_for(compiled_env(env_id), n_steps=150, **settings) for _ in range(2))
    seen = []
    for _ in range(3):
        assert_same(copied(one.collect()), copied(many.collect(seen.append)))
        one.update(one.storage.rollout([], 0.0, 0.0), HYPER)
        many.update(many.storage.rollout([], 0.0, 0.0), HYPER)
    assert len(seen) == 450 and seen[-1].num_timesteps == 1800 and seen[-1].step == 149
    assert seen[0].outcome.obs.shape == (4, *one.env.observation_space.shape)
    assert_same(one.normalizer.arrays(), many.normalizer.arrays())


def test_log_probs_and_values_are_the_torch_policys():
    for env_id, n_envs in (("CartPole-v1", 3), ("Pendulum-v1", 1), ("Acrobot-v1", 130)):
        engine = engine_for(compiled_env(env_id, n_envs))
        rollout = engine.collect()
        obs = torch.from_numpy(rollout.obs).flatten(0, 1)
        distribution, values = engine.policy(obs)
        actions = torch.from_numpy(rollout.actions).flatten(0, 1)
        np.testing.assert_allclose(
            distribution.log_prob(actions).detach(), rollout.log_probs.reshape(-1), rtol=2e-6, atol=2e-6
        )
        np.testing.assert_allclose(values.detach(), rollout.values.reshape(-1), rtol=2e-6, atol=2e-6)


def test_the_rollout_holds_what_the_environment_answered():
    env = script(64, 3)
    engine = engine_for(env)
    rollout = engine.collect()
    np.testing.assert_array_equal(rollout.obs[0], env.first_obs)
    for t, step in enumerate(env.steps):
        np.testing.assert_array_equal(rollout.rewards[t], step.rewards)
        np.testing.assert_array_equal(rollout.terminated[t], step.terminated)
        np.testing.assert_array_equal(rollout.truncated[t], step.truncated)
        np.testing.assert_array_equal(env.actions[t], rollout.actions[t])
        if t < 63:
            np.testing.assert_array_equal(rollout.obs[t + 1], step.obs)
        ended = np.flatnonzero(step.terminated | step.truncated)
        if len(ended):
            expected = engine.policy.predict_values(torch.from_numpy(step.final_obs)).detach()
            np.testing.assert_allclose(rollout.final_values[t, ended], expected, rtol=2e-6, atol=2e-6)
    assert rollout.episodes == [e for step in env.steps for e in step.episodes]
    assert (rollout.final_values == 0.0)[~(rollout.terminated | rollout.truncated)].all()


def test_truncation_is_valued_by_the_true_last_observation_of_a_compiled_environment():
    """The observation before an autoreset is nowhere in the rollout, so it is recomputed by an environment of its own."""
    engine = engine_for(compiled_env("Pendulum-v1", 2), n_steps=201)
    twin = NativeVectorEnv(find("Pendulum-v1"), 2)
    twin.reset([0, 1])
    rollout = engine.collect()
    finals = [twin.step(actions).final_obs for actions in rollout.actions]
    assert [t for t, final in enumerate(finals) if final is not None] == [199]
    expected = engine.policy.predict_values(torch.from_numpy(finals[199])).detach()
    np.testing.assert_allclose(rollout.final_values[199], expected, rtol=2e-6, atol=2e-6)
    assert rollout.truncated[199].all() and not rollout.terminated.any()
    assert [e.length for e in rollout.episodes] == [200, 200]


def test_advantages_are_the_torch_functions():
    engine = engine_for(script(64, 3), gamma=0.97, gae_lambda=0.9)
    rollout = engine.collect()
    rollout.valid[5::9, 1] = False
    engine.update(rollout, HYPER)
    names = ("rewards", "values", "last_values", "terminated", "truncated", "final_values")
    arguments = [torch.from_numpy(getattr(rollout, name)) for name in names]
    advantages, returns = gae(*arguments, 0.97, 0.9, valid=torch.from_numpy(rollout.valid))
    np.testing.assert_allclose(engine.storage.advantages, advantages, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(engine.storage.returns, returns, rtol=1e-5, atol=1e-6)


def test_normalisation_is_the_normalizers_own():
    """Scripted observations and rewards, some rows not valid, scaled as the shared Normalizer scales them."""
    env = script(64, 3, p_end=0.4)
    for t in range(3, 60, 7):
        valid = np.array([True, t % 2 == 0, False])
        env.steps[t] = env.steps[t]._replace(valid=valid)
    engine = engine_for(env, clip_obs=1.5, clip_reward=0.8, **NORMALISED)
    other = Normalizer(engine.config, env.observation_space, 3)
    expected = [other.observe(env.first_obs)]
    rollout = engine.collect()
    for t, step in enumerate(env.steps):
        ended = step.terminated | step.truncated
        rewards = other.learn_rewards(step.rewards, ended, step.valid)
        np.testing.assert_allclose(rollout.rewards[t], rewards, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(rollout.obs[t], expected[-1], rtol=1e-6, atol=1e-6)
        expected.append(other.observe(step.obs))
    for name, array in other.arrays().items():
        np.testing.assert_allclose(engine.normalizer.arrays()[name], array, rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(engine.normalizer.discounted, other.discounted)
    raw = [s.rewards[s.valid if s.valid is not None else slice(None)] for s in env.steps]
    assert rollout.raw_reward_mean == pytest.approx(np.concatenate(raw).mean(), rel=1e-5)


def test_a_hook_that_raises_leaves_the_statistics_where_they_are():
    class Enough(Exception):
        pass

    def watch(view):
        seen.append(engine.normalizer.obs[""].weight)
        if view.step == 9:
            raise Enough

    engine, seen = engine_for(compiled_env(), **NORMALISED), []
    with pytest.raises(Enough):
        engine.collect(watch)
    assert seen == pytest.approx([4 * n + 1e-4 for n in range(2, 12)])  # the first observations, then ten steps
    assert engine.normalizer.obs[""].weight == seen[-1]
    assert engine.update(engine.collect(), HYPER).ratio_error < 1e-5


def test_mean_raw_reward_and_episodes_stay_raw():
    engine = engine_for(compiled_env("Pendulum-v1", 2), n_steps=200, **NORMALISED)
    rollout = engine.collect()
    assert len(rollout.episodes) == 2
    total = sum(e.ret for e in rollout.episodes)
    assert total < -100.0 and rollout.raw_reward_mean == pytest.approx(total / 400)
    assert np.abs(rollout.rewards).max() < 10.01


def test_actions_are_stored_unclipped_and_clipped_for_the_environment():
    env = compiled_env("Pendulum-v1", 2)
    engine = engine_for(env, policy_kwargs={"log_std_init": 2.0})
    rollout = engine.collect()
    assert np.abs(rollout.actions).max() > 2.5
    one = engine_for(gymnasium_env("Pendulum-v1"), policy_kwargs={"log_std_init": 2.0})
    assert np.abs(one.collect().actions).max() > 2.5


def gymnasium_env(env_id, n_envs=1):
    return SerialVectorEnv([lambda: gym.make(env_id)] * n_envs)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_environments_of_gymnasium_train_too(env_id):
    engine = engine_for(gymnasium_env(env_id, 2))
    stats = engine.update(engine.collect(), HYPER)
    assert stats.gradient_steps == 8 and stats.ratio_error < 1e-5
    engine.close()


def weights(engine):
    return np.concatenate([p.detach().numpy().ravel() for p in engine.policy.parameters()])


@pytest.mark.parametrize("settings", [{}, NORMALISED], ids=["raw", "normalised"])
def test_resumed_training_is_the_uninterrupted_one_to_the_bit(settings):
    straight = engine_for(compiled_env(), **settings)
    first = engine_for(compiled_env(), **settings)
    for _ in range(2):
        for engine in (straight, first):
            engine.update(engine.collect(), HYPER)
    second = engine_for(compiled_env(), **settings)
    second.update(second.collect(), HYPER)  # anything it did before must not matter
    assert second.restore(first.snapshot()) == []
    for _ in range(2):
        for engine in (straight, second):
            engine.update(engine.collect(), HYPER)
    assert np.array_equal(weights(straight), weights(second))
    assert straight.num_timesteps == second.num_timesteps == 4 * 256
    assert_same(straight.env.get_state(), second.env.get_state())


def test_a_snapshot_does_not_change_when_training_goes_on():
    engine = engine_for(compiled_env(), **NORMALISED)
    engine.update(engine.collect(), HYPER)
    snapshot = engine.snapshot()
    before = {k: v.copy() for k, v in (snapshot.model | snapshot.optimizer | snapshot.environment).items()}
    engine.update(engine.collect(), HYPER)
    assert_same(before, snapshot.model | snapshot.optimizer | snapshot.environment)


@pytest.mark.parametrize(("kind", "other"), [(NativeEngine, TorchEngine), (TorchEngine, NativeEngine)])
def test_the_other_engine_goes_on_from_a_snapshot(kind, other):
    """Same weights, same optimiser, same environments: one update on the same data leads to the same place."""
    a = engine_for(compiled_env(), kind, **NORMALISED)
    a.update(a.collect(), HYPER)
    b = engine_for(compiled_env(), other, **NORMALISED)
    lost = b.restore(a.snapshot())
    assert lost == ["The other engine's random generators could not be restored: new ones are used."]
    (first,), (second,) = ([each.obs if each.name == "native" else each.collector.obs] for each in (a, b))
    np.testing.assert_array_equal(first, second)
    assert_same(a.env.get_state(), b.env.get_state())
    assert_same(a.snapshot().optimizer, b.snapshot().optimizer)
    assert_same(a.snapshot().model, b.snapshot().model)
    assert b.update(b.collect(), HYPER).ratio_error < 1e-5


def test_a_new_engine_has_no_optimiser_state_to_save():
    engine = engine_for(compiled_env())
    assert engine.snapshot().optimizer == {}
    other = engine_for(compiled_env())
    other.update(other.collect(), HYPER)
    other.restore(engine.snapshot())
    assert other.buffers.steps == 0 and not other.buffers.exp_avg.any()


@pytest.mark.parametrize(("settings", "reason"), [
    ({}, None),
    ({"policy_kwargs": {"activation_fn": "silu", "share_trunk": True}}, None),
    ({"policy_kwargs": {"share_features_extractor": False}}, None),
    ({"policy_kwargs": {"activation_fn": "gelu"}}, "activation gelu"),
    ({"policy_kwargs": {"activation_fn": torch.nn.Hardtanh}}, "activation Hardtanh"),
    ({"policy_kwargs": {"squash_output": True}}, "squash_output"),
    ({"policy_kwargs": {"features_extractor_class": OwnFeatures}}, "OwnFeatures extracts features"),
    ({"policy": OwnForward}, "OwnForward computes"),
    ({"use_sde": True}, "use_sde"),
])  # fmt: skip
def test_what_is_not_supported_is_named(settings, reason):
    env = compiled_env("Pendulum-v1")
    config = TrainConfig(**settings)
    said = unsupported(make_policy(config, env.observation_space, env.action_space, 0), env, config)
    assert said is None if reason is None else reason in said


@pytest.mark.parametrize(("policy", "space", "reason"), [
    ("MlpPolicy", gym.spaces.Dict(obs=VECTOR, action_mask=gym.spaces.MultiBinary(3)), "masks actions"),
    ("MlpPolicy", PICTURE, "images"),
    ("CnnPolicy", PICTURE, "images"),
    ("MultiInputPolicy", gym.spaces.Dict(a=VECTOR, b=VECTOR), "a Dict"),
])  # fmt: skip
def test_observations_that_are_not_supported_are_named(policy, space, reason):
    config = TrainConfig(policy=policy)
    assert reason in unsupported(make_policy(config, space, gym.spaces.Discrete(3), 0), None, config)


def test_frozen_parameters_and_added_layers_are_named():
    config = TrainConfig()
    frozen, normed = (make_policy(config, VECTOR, gym.spaces.Discrete(3), 0) for _ in range(2))
    frozen.pi.requires_grad_(False)
    normed.vf.insert(1, torch.nn.LayerNorm(64))
    assert "frozen" in unsupported(frozen, None, config)
    assert "LayerNorm" in unsupported(normed, None, config)


def test_arrays_that_kernels_can_read_are_not_made_anew():
    dtype = pickle.loads(pickle.dumps(np.dtype(np.float32)))  # equal, and another object, as from a worker
    array = np.zeros((3, 4), dtype)
    assert stepwise._readable(array, np.float32) is array
    for other in (np.zeros((3, 4)), np.zeros((4, 3), np.float32).T):
        made = stepwise._readable(other, np.float32)
        assert made.dtype == np.float32 and made.flags.c_contiguous and not np.shares_memory(made, other)


def test_where_the_environments_answer_is_looked_up_once(monkeypatch):
    looked, find = [], stepwise.Lane._find
    monkeypatch.setattr(stepwise.Lane, "_find", lambda lane, step: (looked.append(1), find(lane, step)))
    config = TrainConfig(env="CartPole-v1", vectorization="shared", n_envs=2)
    engine = engine_for(make_vector_env(config, 2), n_steps=20)
    engine.collect()
    engine.collect()
    engine.close()
    assert len(looked) == 1


def test_it_learns_cartpole():
    engine = engine_for(compiled_env(n_envs=8), n_steps=32, batch_size=256, gamma=0.98, gae_lambda=0.8)
    hyper = HYPER._replace(n_epochs=20)
    returns = []
    for _ in range(200):
        rollout = engine.collect()
        returns += [e.ret for e in rollout.episodes]
        engine.update(rollout, hyper)
    assert np.mean(returns[-20:]) > 400.0


@pytest.mark.parametrize("kind", [NativeEngine, TorchEngine])
def test_environments_of_another_kind_begin_anew_and_say_so(kind):
    """As when a run is resumed whose environments have a compiled form by now: what was learned is kept."""
    serial = engine_for(SerialVectorEnv([lambda: gym.make("CartPole-v1")] * 4))
    serial.update(serial.collect(), HYPER)
    snapshot, compiled = serial.snapshot(), engine_for(compiled_env(), kind)
    begun = compiled.env.obs.copy()
    lost = compiled.restore(snapshot)
    assert "The saved state is not one of 4 environments, compiled: new episodes were begun." in lost
    assert compiled.num_timesteps == 256 and np.array_equal(compiled.env.obs, begun)
    ours, theirs = (engine.policy.state_dict() for engine in (serial, compiled))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
