"""A whole compiled update against torch's: the same minibatches in the same order give the same policy and figures."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest
import torch

from native_policies import Native, in_double, make_batch, make_policy, make_settings, torch_gradient, torch_step
from scripted import script
from upswing.compiled.random import shuffle_once, stream
from upswing.config import TrainConfig
from upswing.engine import learner
from upswing.engine.contract import Hyper
from upswing.engine.minibatches import Minibatch
from upswing.engine.native import tables
from upswing.engine.native_engine import NativeEngine
from upswing.engine.torch_engine import TorchEngine
from upswing.errors import TrainingDiverged
from upswing.policies import flatten_parameters
from upswing.policies import make_policy as policy_for

HYPER = Hyper(learning_rate=3e-3, clip_range=0.2, clip_range_vf=None, ent_coef=0.01, n_epochs=3, target_kl=None)


@pytest.mark.parametrize("space", ["discrete", "multi_discrete", "multi_binary", "box"])
def test_steps_of_adam_are_torchs(space):
    """After 12 clipped steps parameters agree with torch's float64 Adam to 2e-6, moments to 1e-5 of their largest."""
    policy, settings = make_policy(space), make_settings(learning_rate=3e-3)
    batch, double = make_batch(policy, 96), in_double(policy)
    optimizer = torch.optim.Adam(double.parameters(), lr=3e-3, eps=1e-5)
    native, totals = Native(policy, batch), np.zeros(tables.N_TOTALS)
    for _ in range(12):
        native.run(np.arange(96), settings, 96, totals=totals)
        norm = torch_step(double, optimizer, batch, settings)
    assert totals[tables.N_STEPS] == 12 and totals[tables.ADAM_STEPS] == 12
    assert norm > settings[tables.MAX_GRAD_NORM]  # so clipping took part
    moments = native.by_name(native.buffers.exp_avg), native.by_name(native.buffers.exp_avg_sq)
    for name, parameter in double.named_parameters():
        ours = dict(policy.named_parameters())[name]
        np.testing.assert_allclose(ours.detach(), parameter.detach(), rtol=0, atol=2e-6, err_msg=name)
        for ours, moment in zip(moments, ("exp_avg", "exp_avg_sq"), strict=True):
            theirs = optimizer.state[parameter][moment].numpy()
            np.testing.assert_allclose(ours[name], theirs, rtol=0, atol=1e-5 * np.abs(theirs).max() + 1e-12)


@pytest.mark.parametrize("max_norm", [1e9, 0.1])
def test_gradients_are_clipped_only_above_the_limit(max_norm):
    policy, settings = make_policy(), make_settings(max_grad_norm=max_norm)
    batch = make_batch(policy, 64)
    native = Native(policy, batch)
    _, grads = torch_gradient(in_double(policy), batch, settings)
    totals = native.run(np.arange(64), settings, 64)
    norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
    factor = min(1.0, max_norm / (norm + 1e-6))
    assert totals[tables.N_CLIPPED_STEPS] == (norm > max_norm)
    for name, moment in native.by_name(native.buffers.exp_avg).items():
        np.testing.assert_allclose(moment, 0.1 * factor * grads[name], rtol=1e-4, atol=1e-7)


def both_engines(n_steps=24, n_envs=3, space=None, seed=3, **settings):
    """The two engines with the same weights on the same script, and the rollout of the native one."""
    config = TrainConfig(n_envs=n_envs, n_steps=n_steps, batch_size=settings.pop("batch_size", 16), **settings)
    engines = []
    for kind in (NativeEngine, TorchEngine):
        env = script(40, n_envs, seed=seed)
        if space is not None:
            env.action_space = space
        policy = policy_for(config, env.observation_space, env.action_space, 7)
        flatten_parameters(policy)
        engines.append(kind(config, env, policy, list(range(n_envs)), 5))
    native, torch_engine = engines
    return native, torch_engine, native.collect()


class SameOrder:
    """Minibatches of the torch engine in the order in which the native one is going to shuffle."""

    def __init__(self, native, policy, rollout, size):
        self.draws, self.policy, self.size = native.streams[1].copy(), policy, size
        self.rows = np.arange(int(rollout.valid.sum()))

    def shuffled(self, generator):
        shuffle_once(self.draws, self.rows)
        for rows in torch.from_numpy(self.rows.copy()).split(self.size):
            yield Minibatch(rows, slice(None), 1.0, self.policy)


def as_tensors(rollout):
    arrays = {f.name: getattr(rollout, f.name) for f in dataclasses.fields(rollout)}
    return dataclasses.replace(
        rollout, **{name: torch.from_numpy(a.copy()) for name, a in arrays.items() if isinstance(a, np.ndarray)}
    )


CASES = {
    "plain": {},
    "value_clipping": {"hyper": {"clip_range_vf": 0.1}},
    "batch_scope": {"advantage_scope": "batch"},
    "no_normalisation": {"normalize_advantage": False},
    "bootstrapped": {"bootstrap_terminations": True},
    "uneven_last_minibatch": {"batch_size": 25},
    "last_minibatch_of_one": {"batch_size": 71},
    "one_big_minibatch": {"batch_size": 500},
    "target_kl": {"hyper": {"target_kl": 2e-4}},
    "box": {"space": gym.spaces.Box(-1.0, 1.0, (2,))},
    "normalised": {"normalize_obs": True, "normalize_reward": True},
    "shared": {"policy_kwargs": {"share_trunk": True, "activation_fn": "relu"}},
}


@pytest.mark.parametrize("case", CASES)
def test_update_is_the_torch_engines(case, monkeypatch):
    """Figures of a whole update agree with the torch engine's to 2e-4 of themselves plus 2e-6, parameters to 2e-5."""
    settings = dict(CASES[case])
    hyper = HYPER._replace(**settings.pop("hyper", {}))
    native, torch_engine, rollout = both_engines(**settings)
    monkeypatch.setattr(learner, "cut", lambda policy, rollout, size, group: SameOrder(native, policy, rollout, size))
    theirs = torch_engine.update(as_tensors(rollout), hyper)
    ours = native.update(rollout, hyper)
    for name, value in theirs._asdict().items():
        if name not in ("update_s", "ratio_error"):
            assert getattr(ours, name) == (None if value is None else pytest.approx(value, rel=2e-4, abs=2e-6)), name
    assert ours.ratio_error < 5e-6
    for (name, a), b in zip(native.policy.named_parameters(), torch_engine.policy.parameters(), strict=True):
        np.testing.assert_allclose(a.detach(), b.detach(), rtol=0, atol=2e-5, err_msg=name)
    if case == "target_kl":
        assert ours.kl_stopped and 0 < ours.gradient_steps < hyper.n_epochs * 5


def test_epochs_one_by_one_change_no_bit():
    (a, _, rollout), (b, _, rollout_b) = both_engines(), both_engines()
    views = []
    whole = a.update(rollout, HYPER)
    watched = b.update(rollout_b, HYPER, views.append)
    assert [view.epoch for view in views] == [0, 1, 2]
    assert views[-1].approx_kl == whole.approx_kl
    assert whole._replace(update_s=0.0) == watched._replace(update_s=0.0)
    assert np.array_equal(a.buffers.params, b.buffers.params)


def test_a_hook_ends_the_epochs():
    native, _, rollout = both_engines()
    stats = native.update(rollout, HYPER, lambda view: view.epoch < 1)
    assert stats.n_epochs_done == 2 and stats.gradient_steps == 10 and not stats.kl_stopped


def test_target_kl_stops_before_the_step():
    native, _, rollout = both_engines()
    rollout.log_probs -= 1.0  # the first minibatch is already far away
    before = native.buffers.params.copy()
    stats = native.update(rollout, HYPER._replace(target_kl=0.01))
    assert stats.kl_stopped and stats.gradient_steps == 0 and stats.n_epochs_done == 1
    assert np.array_equal(native.buffers.params, before) and not native.buffers.exp_avg.any()


@pytest.mark.parametrize("poison", [np.nan, 1e30, -np.inf])
def test_rows_that_are_not_valid_do_not_exist(poison):
    (a, _, rollout), (b, _, poisoned) = both_engines(), both_engines()
    for each in (rollout, poisoned):
        each.valid[5, 0] = each.valid[-1, 2] = False
        each.terminated[4, 0] = each.truncated[-2, 2] = True
    bad = ~poisoned.valid
    for array in (poisoned.obs, poisoned.log_probs, poisoned.values, poisoned.rewards, poisoned.final_values):
        array[bad] = poison
    poisoned.last_values[2] = poison
    figures = [e.update(r, HYPER)._replace(update_s=0.0) for e, r in ((a, rollout), (b, poisoned))]
    assert figures[0] == figures[1]
    assert np.array_equal(a.buffers.params, b.buffers.params)


@pytest.mark.parametrize("where", ["obs", "rewards", "log_probs"])
def test_what_is_not_finite_is_an_error_and_touches_no_weight(where):
    native, _, rollout = both_engines()
    getattr(rollout, where)[3, 1] = np.nan
    with pytest.raises(TrainingDiverged, match="was not taken"):
        native.update(rollout, HYPER)
    assert np.isfinite(native.buffers.params).all() and np.isfinite(native.buffers.exp_avg_sq).all()


def test_infinite_gradients_are_an_error():
    native, _, rollout = both_engines()
    rollout.rewards[3, 1] = 1e30
    with pytest.raises(TrainingDiverged):
        native.update(rollout, HYPER)
    assert np.isfinite(native.buffers.params).all()


def test_denormal_moments_become_zero():
    policy, settings = make_policy(), make_settings()
    native = Native(policy, make_batch(policy, 32))
    native.buffers.exp_avg[:], native.buffers.exp_avg_sq[:] = 1e-39, 1e-44
    for flat in native.batch[4:]:
        flat[:] = 0.0  # no advantage
    native.batch[3][:] = native.batch[5][:] = 0.0
    settings[tables.VF_COEF] = settings[tables.ENT_COEF] = 0.0
    native.run(np.arange(32), settings, 32)
    for moment in (native.buffers.exp_avg, native.buffers.exp_avg_sq):
        assert not any(part.any() for part in native.by_name(moment).values())


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    def after(seed):
        policy = make_policy()
        native = Native(policy, make_batch(policy, 200))
        native.run(np.arange(200), make_settings(), 32, 3, stream(seed))
        return native.buffers.params.copy()

    assert np.array_equal(after(1), after(1))
    assert not np.array_equal(after(1), after(2))


def test_parameters_that_moved_are_found_again():
    native, _, rollout = both_engines()
    native.policy.load_state_dict({k: v.clone() for k, v in native.policy.state_dict().items()}, assign=True)
    native.update(rollout, HYPER)
    ours = torch.cat([p.detach().flatten() for p in native.policy.parameters()]).numpy()
    assert set(ours.tolist()) <= set(native.buffers.params.tolist())
