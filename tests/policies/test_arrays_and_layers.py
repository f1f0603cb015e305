"""Parameters as arrays and back, and the description of pure MLPs for compiled engines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from upswing.errors import ConfigError
from upswing.policies import (
    CnnPolicy,
    MlpPolicy,
    MultiInputPolicy,
    flatten_parameters,
    is_flat,
    load_policy_arrays,
    mlp_layers,
    policy_arrays,
)

VECTOR, CHOICE, BOX = spaces.Box(-1, 1, (5,)), spaces.Discrete(3), spaces.Box(-2, 2, (3,))


def test_arrays_come_back_and_are_copies():
    policy, other = MlpPolicy(VECTOR, BOX, use_sde=True), MlpPolicy(VECTOR, BOX, use_sde=True)
    flatten_parameters(other)
    arrays = policy_arrays(policy)
    assert list(arrays) == [name for name, _ in policy.named_parameters()]
    assert all(array.dtype == np.float32 for array in arrays.values())
    weight = policy.pi[0].weight.detach().clone()
    with torch.no_grad():
        policy.pi[0].weight.zero_()
    load_policy_arrays(other, arrays | {"normalizer.obs.mean": np.zeros(5)})
    assert torch.equal(other.pi[0].weight, weight) and is_flat(other)
    assert policy_arrays(other).keys() == arrays.keys()
    assert all(np.array_equal(a, b) for a, b in zip(policy_arrays(other).values(), arrays.values(), strict=True))


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        (
            MlpPolicy(VECTOR, BOX, net_arch=[32, 64]),
            r"pi.0.weight has the shape \(32, 5\), but this one's has \(64, 5\)",
        ),
        (MlpPolicy(VECTOR, BOX, net_arch=[64]), r"has no (pi|vf).2.(weight|bias)"),
        (MlpPolicy(VECTOR, BOX, net_arch=[64] * 3), r"has (pi|vf).4.(weight|bias), which this one lacks"),
        (MlpPolicy(spaces.Box(-1, 1, (4,)), BOX), r"pi.0.weight has the shape \(64, 4\)"),
    ],
    ids=["width", "shallower", "deeper", "observation"],
)
def test_another_network_s_arrays_are_refused_and_nothing_changes(saved, words):
    policy = MlpPolicy(VECTOR, BOX)
    before = policy_arrays(policy)
    with pytest.raises(ConfigError, match=words):
        load_policy_arrays(policy, policy_arrays(saved))
    assert all(np.array_equal(a, b) for a, b in zip(policy_arrays(policy).values(), before.values(), strict=True))


def evaluate(layers, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The policy head's outputs and the values, computed from the description alone."""
    act = {"tanh": torch.tanh, "relu": torch.relu}[layers.activation]
    for linear in layers.trunk:
        obs = act(linear(obs))
    outputs = []
    for own in (layers.pi, layers.vf):
        hidden = obs
        for linear in own[:-1]:
            hidden = act(linear(hidden))
        outputs.append(own[-1](hidden))
    return outputs[0], outputs[1].squeeze(-1)


@pytest.mark.parametrize(
    "space", [VECTOR, spaces.Dict(obs=VECTOR, action_mask=spaces.MultiBinary(3))], ids=["box", "masked"]
)
@pytest.mark.parametrize(
    "kwargs",
    [{}, {"share_trunk": True, "activation_fn": nn.ReLU}, {"net_arch": {"pi": [8], "vf": []}}, {"net_arch": []}],
    ids=["separate", "shared", "uneven", "linear"],
)
def test_the_description_computes_what_the_policy_computes(space, kwargs):
    policy = MlpPolicy(space, CHOICE, **kwargs)
    layers = mlp_layers(policy)
    obs = torch.randn(9, 5)
    given = obs if space is VECTOR else {"obs": obs, "action_mask": torch.ones(9, 3)}
    logits, values = evaluate(layers, obs)
    distribution, expected = policy(given)
    torch.testing.assert_close(logits, distribution.logits)
    torch.testing.assert_close(values, expected)
    assert layers.shared == bool(kwargs.get("share_trunk")) and layers.head.kind == "categorical"
    named = {id(p) for linear in (*layers.trunk, *layers.pi, *layers.vf) for p in linear.parameters()}
    assert named == {id(p) for p in policy.parameters()}


def test_what_is_no_pure_mlp_has_no_description():
    class Own(MlpPolicy):
        def forward(self, obs):
            return super().forward(2 * obs)

    class Features(nn.Flatten):
        def __init__(self, space):
            super().__init__()
            self.features_dim = 5

    normed = MlpPolicy(VECTOR, CHOICE)
    normed.pi.insert(1, nn.LayerNorm(64))
    picture = spaces.Box(0, 255, (40, 40, 3), np.uint8)
    for policy in (
        CnnPolicy(picture, CHOICE, features_dim=4),
        MlpPolicy(picture, CHOICE, net_arch=[4]),
        MultiInputPolicy(spaces.Dict(a=VECTOR), CHOICE),
        Own(VECTOR, CHOICE),
        MlpPolicy(VECTOR, CHOICE, features_extractor_class=Features),
        MlpPolicy(VECTOR, CHOICE, activation_fn=nn.Hardtanh),
        normed,
        nn.Linear(3, 3),
    ):
        assert mlp_layers(policy) is None
