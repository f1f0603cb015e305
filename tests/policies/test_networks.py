"""The named policies: initialisation, what is shared, images, Dict observations and masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from upswing.errors import ConfigError
from upswing.policies import ActionHead, CnnPolicy, MlpPolicy, MultiInputPolicy
from upswing.ppo.distributions import Categorical

VECTOR, CHOICE, BOX = spaces.Box(-1, 1, (6,)), spaces.Discrete(3), spaces.Box(-2, 2, (2,))
PIXELS = spaces.Box(0, 255, (40, 44, 3), np.uint8)


def pixels(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def gain(weight: torch.Tensor) -> float:
    """g where the rows, or else the columns, of `weight` are orthogonal with length g; fails where they are not."""
    matrix = weight.detach().flatten(1).double()
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    g = gram.diagonal().mean().sqrt()
    torch.testing.assert_close(gram, g.square() * torch.eye(len(gram)).double(), atol=1e-5, rtol=1e-5)
    return float(g)


@pytest.mark.parametrize(
    "policy", [MlpPolicy(VECTOR, BOX), CnnPolicy(PIXELS, BOX, features_dim=16, net_arch=[8])], ids=["mlp", "cnn"]
)
def test_weights_begin_orthogonal_and_biases_zero(policy):
    layers = {name: layer for name, layer in policy.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    assert len(layers) == 6 if isinstance(policy, MlpPolicy) else 8
    for name, layer in layers.items():
        expected = {"action_head.net": 0.01, "value_net": 1.0}.get(name, math.sqrt(2.0))
        assert gain(layer.weight) == pytest.approx(expected, rel=1e-4), name
        assert (layer.bias == 0).all(), name


def test_without_ortho_init_weights_begin_as_torch_makes_them():
    policy = MlpPolicy(VECTOR, BOX, ortho_init=False)
    bound = 1 / math.sqrt(64)
    assert 0.9 * bound < policy.pi[2].weight.abs().max() <= bound and policy.pi[2].bias.abs().max() > 0


def test_log_std_begins_where_it_is_told():
    assert (MlpPolicy(VECTOR, BOX, log_std_init=-1.5).action_head.log_std == -1.5).all()
    assert MlpPolicy(VECTOR, CHOICE).action_head.log_std is None


@pytest.mark.parametrize(
    ("kwargs", "pi", "vf", "trunk"),
    [
        ({}, [64, 64], [64, 64], []),
        ({"net_arch": [8]}, [8], [8], []),
        ({"net_arch": {"pi": [8, 4]}}, [8, 4], [], []),
        ({"net_arch": [{"pi": [8], "vf": [9]}]}, [8], [9], []),
        ({"share_trunk": True}, [], [], [64, 64]),
        ({"share_trunk": True, "net_arch": {"pi": [8], "vf": [8]}}, [], [], [8]),
    ],
)
def test_net_arch_and_share_trunk_decide_the_layers(kwargs, pi, vf, trunk):
    policy = MlpPolicy(VECTOR, BOX, **kwargs)
    for part, widths in ((policy.pi, pi), (policy.vf, vf), (policy.trunk, trunk)):
        assert [layer.out_features for layer in part if isinstance(layer, nn.Linear)] == widths
    distribution, values = policy(torch.randn(5, 6))
    assert distribution.mode().shape == (5, 2) and values.shape == (5,)


@pytest.mark.parametrize("share_trunk", [True, False])
def test_value_gradients_reach_the_policy_only_through_a_shared_trunk(share_trunk: bool):
    policy = MlpPolicy(VECTOR, BOX, share_trunk=share_trunk)
    policy.predict_values(torch.randn(5, 6)).sum().backward()
    reached = {name.split(".")[0] for name, parameter in policy.named_parameters() if parameter.grad is not None}
    assert reached == ({"trunk", "value_net"} if share_trunk else {"vf", "value_net"})


def test_cnn_features_are_shared_unless_declined():
    shared, apart = (CnnPolicy(PIXELS, CHOICE, features_dim=8, share_features_extractor=s) for s in (True, False))
    for policy, expected in ((shared, "features"), (apart, "vf_features")):
        policy.predict_values(pixels(2, 40, 44, 3)).sum().backward()
        reached = {name.split(".")[0] for name, parameter in policy.named_parameters() if parameter.grad is not None}
        assert reached == {expected, "value_net"}
    assert shared.options.net_arch is None and len(shared.pi) == 0
    assert not torch.equal(apart.features.linear[0].weight, apart.vf_features.linear[0].weight)


def test_pictures_are_scaled_and_their_channels_brought_first():
    last = CnnPolicy(PIXELS, CHOICE, features_dim=8)
    first = CnnPolicy(spaces.Box(0, 255, (3, 40, 44), np.uint8), CHOICE, features_dim=8)
    floats = CnnPolicy(spaces.Box(0.0, 1.0, (40, 44, 3)), CHOICE, features_dim=8, normalize_images=False)
    first.load_state_dict(last.state_dict())
    floats.load_state_dict(last.state_dict())
    obs = pixels(4, 40, 44, 3)
    expected = last.predict_values(obs)
    torch.testing.assert_close(first.predict_values(obs.permute(0, 3, 1, 2)), expected)
    torch.testing.assert_close(floats.predict_values(obs.float() / 255), expected)
    assert last.features(torch.ones(1, 3, 40, 44)).shape == (1, 8) and expected.unique().numel() == 4


def test_nature_cnn_is_the_published_one():
    policy = CnnPolicy(spaces.Box(0, 255, (84, 84, 4), np.uint8), CHOICE, ortho_init=False)
    shapes = [
        tuple(layer.weight.shape) for layer in policy.features.modules() if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    assert shapes == [(32, 4, 8, 8), (64, 32, 4, 4), (64, 64, 3, 3), (512, 3136)]


@pytest.mark.parametrize("size", [(36, 36), (37, 51), (96, 64)])
def test_nature_cnn_fits_pictures_from_36_on(size: tuple[int, int]):
    policy = CnnPolicy(spaces.Box(0, 255, (*size, 1), np.uint8), CHOICE, features_dim=4)
    assert policy.predict_values(pixels(2, *size, 1)).shape == (2,)


def test_too_small_a_picture_is_refused():
    with pytest.raises(ConfigError, match="35×80 are smaller than the 36×36"):
        CnnPolicy(spaces.Box(0, 255, (35, 80, 3), np.uint8), CHOICE)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (VECTOR, "choose MlpPolicy"),
        (spaces.Box(0.0, 1.0, (40, 44, 3)), "normalize_images = false"),
        (spaces.Box(0, 100, (40, 44, 3), np.uint8), "0 to 255"),
        (spaces.Dict(a=PIXELS, b=PIXELS), "a, b: choose MultiInputPolicy"),
        (spaces.Discrete(4), "read arrays"),
    ],
)
def test_cnn_policy_refuses_what_it_cannot_read(space, words):
    with pytest.raises(ConfigError, match=words):
        CnnPolicy(space, CHOICE)


def test_multi_input_reads_every_part_in_the_space_s_order():
    space = spaces.Dict({"values": VECTOR, "eye.left": PIXELS, "grid": spaces.Box(-1, 1, (2, 2))})
    policy = MultiInputPolicy(space, CHOICE, features_dim=8)
    obs = {"grid": torch.randn(4, 2, 2), "values": torch.randn(4, 6), "eye.left": pixels(4, 40, 44, 3)}
    features = policy.features({key: read(obs[key]) for key, read in policy.readers.items()})
    assert features.shape == (4, 8 + 4 + 6)
    parts = dict(
        zip(policy.features.keys, features.split([part.features_dim for part in policy.features.parts], 1), strict=True)
    )
    torch.testing.assert_close(parts["values"], obs["values"])
    torch.testing.assert_close(parts["grid"], obs["grid"].flatten(1))
    before = policy.predict_values(obs)
    for key in obs:
        changed = policy.predict_values(obs | {key: obs[key].flip(0)})
        assert not torch.allclose(changed, before), key


@pytest.mark.parametrize(("space", "better"), [(VECTOR, "MlpPolicy"), (PIXELS, "CnnPolicy")])
def test_multi_input_policy_names_the_better_choice(space, better):
    with pytest.raises(ConfigError, match=f"choose {better}"):
        MultiInputPolicy(space, CHOICE)


def test_nested_and_empty_dict_observations_are_refused():
    with pytest.raises(ConfigError, match="FlattenObservation"):
        MultiInputPolicy(spaces.Dict(inner=spaces.Dict(a=VECTOR)), CHOICE)
    with pytest.raises(ConfigError, match="nothing but the mask"):
        MultiInputPolicy(spaces.Dict(action_mask=spaces.MultiBinary(3)), CHOICE)
    with pytest.raises(ConfigError, match="joints, speed: choose MultiInputPolicy"):
        MlpPolicy(spaces.Dict(joints=VECTOR, speed=VECTOR), CHOICE)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.float32])
def test_a_mask_reaches_the_distribution_and_not_the_network(dtype):
    space = spaces.Dict(obs=VECTOR, action_mask=spaces.MultiBinary(3))
    plain, masked, multi = MlpPolicy(VECTOR, CHOICE), MlpPolicy(space, CHOICE), MultiInputPolicy(space, CHOICE)
    masked.load_state_dict(plain.state_dict())
    multi.load_state_dict(plain.state_dict())
    mask = torch.tensor([[1, 0, 1], [0, 0, 1]]).to(dtype)
    obs = torch.randn(2, 6)
    for policy in (masked, multi):
        distribution, values = policy({"obs": obs, "action_mask": mask})
        torch.testing.assert_close(values, plain.predict_values(obs))
        expected = Categorical(plain.get_distribution(obs).logits, mask.bool())
        torch.testing.assert_close(distribution.entropy(), expected.entropy())
        assert distribution.mode()[1] == 2 and distribution.entropy()[1] == 0


def test_masks_of_several_heads_are_flattened():
    space = spaces.Dict(obs=VECTOR, action_mask=spaces.Box(0, 1, (2, 2), np.int8))
    policy = MlpPolicy(space, spaces.MultiDiscrete([2, 2]))
    mask = torch.tensor([[[1, 0], [0, 1]]]).expand(50, 2, 2)
    drawn = policy.get_distribution({"obs": torch.zeros(50, 6), "action_mask": mask}).sample()
    assert (drawn == torch.tensor([0, 1])).all()


@pytest.mark.parametrize(
    ("actions", "words"), [(spaces.Discrete(4), "has 3 entries.*4 choices"), (BOX, "masks need Discrete")]
)
def test_a_mask_that_does_not_fit_the_actions_is_refused(actions, words):
    with pytest.raises(ConfigError, match=words):
        MlpPolicy(spaces.Dict(obs=VECTOR, action_mask=spaces.MultiBinary(3)), actions)


@pytest.mark.parametrize(
    ("actions", "shape", "dtype"),
    [
        (CHOICE, (5,), torch.int64),
        (spaces.MultiDiscrete([2, 3]), (5, 2), torch.int64),
        (spaces.MultiDiscrete([[2, 3], [4, 5]]), (5, 4), torch.int64),
        (spaces.MultiBinary((2, 3)), (5, 6), torch.float32),
        (spaces.Box(-1, 1, (2, 3)), (5, 6), torch.float32),
        (spaces.Box(-1, 1, ()), (5, 1), torch.float32),
    ],
)
def test_actions_are_flat(actions, shape, dtype):
    distribution = MlpPolicy(VECTOR, actions).get_distribution(torch.zeros(5, 6))
    for drawn in (distribution.sample(), distribution.mode()):
        assert drawn.shape == shape and drawn.dtype == dtype
    assert distribution.log_prob(distribution.sample()).shape == distribution.entropy().shape == (5,)


def test_squashed_actions_need_no_gsde():
    distribution = MlpPolicy(VECTOR, BOX, squash_output=True, log_std_init=3.0).get_distribution(torch.zeros(200, 6))
    drawn = distribution.sample(torch.Generator().manual_seed(0))
    assert drawn.abs().max() > 10 and 1.99 < distribution.to_env(drawn).abs().max() <= 2.0


@pytest.mark.parametrize(
    ("actions", "kwargs", "words"),
    [
        (spaces.Box(-np.inf, 1, (2,)), {"squash_output": True}, "finite bounds"),
        (CHOICE, {"squash_output": True}, "squash_output bounds continuous"),
        (CHOICE, {"use_sde": True}, "use_sde explores"),
        (spaces.Box(0, 3, (2,), np.int64), {}, "whole numbers"),
        (spaces.Text(3), {}, "policies act in"),
    ],
)
def test_actions_that_cannot_be_are_refused(actions, kwargs, words):
    with pytest.raises(ConfigError, match=words):
        MlpPolicy(VECTOR, actions, **kwargs)


def test_one_s_own_features_extractor_gets_pictures_channels_first_and_scaled():
    class Brightness(nn.Module):
        def __init__(self, space, factor):
            super().__init__()
            self.features_dim, self.shape, self.factor = space.shape[0], space.shape, factor

        def forward(self, obs):
            return self.factor * obs.mean((2, 3))

    policy = CnnPolicy(PIXELS, CHOICE, features_extractor_class=Brightness, features_extractor_kwargs={"factor": 2.0})
    assert policy.features.shape == (3, 40, 44) and policy.pi[0].in_features == 3 and len(policy.pi) == 4
    white = policy.features(policy.readers(torch.full((1, 40, 44, 3), 255, dtype=torch.uint8)))
    torch.testing.assert_close(white, torch.full((1, 3), 2.0))
    with pytest.raises(ConfigError, match="Brightness cannot be made with"):
        CnnPolicy(PIXELS, CHOICE, features_extractor_class=Brightness)
    with pytest.raises(ConfigError, match="lacks features_dim"):
        MlpPolicy(VECTOR, CHOICE, features_extractor_class=nn.Flatten)


def test_exploration_noise_is_gsde_s_alone_and_follows_its_generator():
    assert MlpPolicy(VECTOR, BOX).exploration_noise(3) is None
    policy = MlpPolicy(VECTOR, BOX, use_sde=True, net_arch=[8])
    first, again = (policy.exploration_noise(3, torch.Generator().manual_seed(1)) for _ in range(2))
    assert first.shape == (3, 8, 2) and torch.equal(first, again) and not first.requires_grad
    assert not torch.equal(first[0], first[1])


def test_head_alone_serves_policies_of_one_s_own():
    head = ActionHead(spaces.MultiDiscrete([2, 3]), latent_dim=4)
    assert head.kind == "multi_categorical" and head.nvec == (2, 3)
    assert head(torch.zeros(2, 4)).sample().shape == (2, 2)
