"""The compiled minibatch against torch: figures and gradients, for every head, activation, depth and batch size.

Tolerances. Against float64 autograd a gradient may be off by 3e-6 of the largest entry of its parameter plus 1e-7, a
figure by 3e-6 of itself plus 1e-6; torch's own float32 gradients are off by as much.
"""

import numpy as np
import pytest

from native_policies import (
    ARCHITECTURES,
    SPACES,
    Native,
    in_double,
    make_batch,
    make_policy,
    make_settings,
    torch_gradient,
)
from upswing.engine.native import tables

FIGURES = [
    tables.POLICY_LOSS,
    tables.VALUE_LOSS,
    tables.ENTROPY_LOSS,
    tables.KL,
    tables.CLIPPED,
    tables.LOSS,
    tables.RATIO_ERROR,
]


def compare(policy, n=200, **changes):
    batch, settings = make_batch(policy, n), make_settings(learning_rate=0.0, **changes)
    native = Native(policy, batch)
    totals = native.run(np.arange(n), settings, batch_size=n)
    figures, grads = torch_gradient(in_double(policy), batch, settings)
    np.testing.assert_allclose(totals[FIGURES], figures, rtol=3e-6, atol=1e-6)
    for name, ours in native.by_name(native.grads).items():
        tolerance = 3e-6 * np.abs(grads[name]).max() + 1e-7
        np.testing.assert_allclose(ours, grads[name], rtol=0, atol=tolerance, err_msg=name)
    norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
    assert totals[tables.NORM] == pytest.approx(norm, rel=2e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("space", SPACES)
def test_every_head_and_architecture(space, architecture):
    compare(make_policy(space, **ARCHITECTURES[architecture]))


@pytest.mark.parametrize("activation", ["tanh", "relu", "elu", "silu"])
@pytest.mark.parametrize("architecture", ["deep", "shared"])
def test_every_activation(activation, architecture):
    compare(make_policy("box", activation_fn=activation, **ARCHITECTURES[architecture]))


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 128, 1000])
def test_every_batch_size(n):
    compare(make_policy("multi_discrete", seed=n), n)


@pytest.mark.parametrize("n", [100, 700])
def test_wide_networks_in_long_chunks(n):
    compare(make_policy("discrete", n_obs=70, net_arch=[256, 130]), n)


@pytest.mark.parametrize("changes", [
    {"clip_range_vf": 0.3},
    {"clip_range_vf": 0.3, "normalize": 0.0},
    {"normalize": 0.0},
    {"ent_coef": 0.0, "vf_coef": 0.0},
    {"clip_range": 0.05},
])  # fmt: skip
@pytest.mark.parametrize("space", ["discrete", "box"])
def test_every_setting(space, changes):
    compare(make_policy(space), **changes)


def test_first_minibatch_of_an_update_has_ratio_one():
    policy = make_policy("multi_discrete")
    obs, actions, _, *rest = make_batch(policy, 300)
    distribution, _ = policy(obs)
    batch = (obs, actions, distribution.log_prob(actions).detach(), *rest)
    totals = Native(policy, batch).run(np.arange(300), make_settings(learning_rate=0.0), batch_size=300)
    assert totals[tables.RATIO_ERROR] < 2e-6
    assert 0.0 <= totals[tables.KL] < 1e-12


@pytest.mark.parametrize("space", SPACES)
def test_extreme_outputs_stay_finite(space):
    policy = make_policy(space)
    policy.action_head.net.weight.data.mul_(200.0)  # logits and means in the hundreds
    batch = make_batch(policy, 100)
    native = Native(policy, batch)
    totals = native.run(np.arange(100), make_settings(), batch_size=100)
    assert np.isfinite(totals).all() and np.isfinite(native.grads).all() and not totals[tables.DIVERGED]
