"""With Stable-Baselines3's weights our policies compute its values, log-probabilities, entropies and actions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from upswing.config import TrainConfig
from upswing.policies import ActorCritic, make_policy

sb3 = pytest.importorskip("stable_baselines3.common.policies")

VECTOR = spaces.Box(-1, 1, (5,))
BOX = spaces.Box(-2, 2, (3,))
PIXELS = spaces.Box(0, 255, (3, 40, 44), np.uint8)
MIXED = spaces.Dict({"camera": PIXELS, "joints": spaces.Box(-1, 1, (2, 3)), "speed": spaces.Box(-1, 1, (1,))})

VECTOR_CASES: dict[str, tuple[spaces.Space, dict[str, Any]]] = {
    "discrete": (spaces.Discrete(4), {}),
    "box": (BOX, {"log_std_init": -0.5}),
    "multi_discrete": (spaces.MultiDiscrete([2, 3, 4]), {}),
    "multi_binary": (spaces.MultiBinary(4), {}),
    "arch": (BOX, {"net_arch": {"pi": [8], "vf": [16, 8]}, "activation_fn": torch.nn.ReLU}),
    "linear": (BOX, {"net_arch": []}),
    "half_linear": (BOX, {"net_arch": {"vf": [8]}}),
    "gsde": (BOX, {"use_sde": True, "log_std_init": -1.0}),
    "gsde_expln": (BOX, {"use_sde": True, "log_std_init": 0.5, "use_expln": True}),
    "gsde_narrow": (BOX, {"use_sde": True, "full_std": False, "log_std_init": -2.0}),
    "gsde_squashed": (BOX, {"use_sde": True, "squash_output": True, "log_std_init": -3.0}),
}


def pair(
    kind: str, observation_space: spaces.Space, action_space: spaces.Space, kwargs: dict[str, Any]
) -> tuple[Any, ActorCritic]:
    """SB3's policy, its biases and σ perturbed, and ours with its weights."""
    theirs_class = {
        "MlpPolicy": sb3.ActorCriticPolicy,
        "CnnPolicy": sb3.ActorCriticCnnPolicy,
        "MultiInputPolicy": sb3.MultiInputActorCriticPolicy,
    }[kind]
    extra = {"features_extractor_kwargs": {"features_dim": 32}} if kind == "CnnPolicy" else {}
    torch.manual_seed(0)
    theirs = theirs_class(observation_space, action_space, lambda _: 3e-4, **kwargs, **extra)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    ours_kwargs = {key: value for key, value in kwargs.items() if key != "use_sde"}
    if kind == "CnnPolicy":
        ours_kwargs["features_dim"] = 32
    config = TrainConfig(policy=kind, policy_kwargs=ours_kwargs, use_sde=kwargs.get("use_sde", False))
    ours = make_policy(config, observation_space, action_space, generator_seed=1)
    ours.load_state_dict(renamed(theirs.state_dict(), kwargs, observation_space))
    return theirs, ours


def renamed(
    state: dict[str, torch.Tensor], kwargs: dict[str, Any], observation_space: spaces.Space
) -> dict[str, torch.Tensor]:
    """SB3's state under our names."""
    shared = kwargs.get("share_features_extractor", True)
    prefixes = {
        "mlp_extractor.policy_net.": "pi.",
        "mlp_extractor.value_net.": "vf.",
        "action_net.": "action_head.net.",
        "log_std": "action_head.log_std",
        "value_net.": "value_net.",
        "features_extractor.": "features.",
        "pi_features_extractor.": None if shared else "features.",
        "vf_features_extractor.": None if shared else "vf_features.",
    }
    result = {}
    for name, tensor in state.items():
        prefix = next(p for p in prefixes if name.startswith(p))
        if prefixes[prefix] is not None:
            result[f"{prefixes[prefix]}{name[len(prefix) :]}"] = tensor
    for i, key in enumerate(observation_space.spaces if isinstance(observation_space, spaces.Dict) else ()):
        result = {name.replace(f".extractors.{key}.", f".parts.{i}."): tensor for name, tensor in result.items()}
    return result


def compare(theirs: Any, ours: ActorCritic, obs: Any, action_space: spaces.Space, squashed: bool = False) -> None:
    """Fails where the two differ on `obs` or on actions that SB3 draws."""
    torch.manual_seed(3)
    with torch.no_grad():
        if getattr(theirs, "use_sde", False):
            theirs.reset_noise(9)
        actions = theirs.get_distribution(obs).get_actions()
        values, log_prob, entropy = theirs.evaluate_actions(obs, actions)
        distribution, our_values = ours(obs)
        own = actions.double().atanh().float() if squashed else actions
        torch.testing.assert_close(our_values, values.flatten(), atol=1e-5, rtol=1e-5)
        tolerance = 2e-3 if squashed else 1e-5  # SB3 adds 1e-6 inside its logarithm
        torch.testing.assert_close(distribution.log_prob(own), log_prob, atol=tolerance, rtol=tolerance)
        if entropy is not None:
            torch.testing.assert_close(distribution.entropy(), entropy, atol=1e-5, rtol=1e-5)
        theirs_best = theirs.get_distribution(obs).mode()
        if squashed:
            theirs_best = torch.as_tensor(theirs.unscale_action(theirs_best.numpy()))
        torch.testing.assert_close(distribution.to_env(distribution.mode()), theirs_best, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.predict_values(obs), our_values)
        torch.testing.assert_close(ours.get_distribution(obs).log_prob(own), distribution.log_prob(own))


@pytest.mark.parametrize("name", VECTOR_CASES)
def test_mlp_policies_agree(name: str):
    action_space, kwargs = VECTOR_CASES[name]
    theirs, ours = pair("MlpPolicy", VECTOR, action_space, kwargs)
    obs = torch.randn(9, 5, generator=torch.Generator().manual_seed(2))
    compare(theirs, ours, obs, action_space, squashed=kwargs.get("squash_output", False))


@pytest.mark.parametrize("name", [name for name in VECTOR_CASES if name != "gsde_squashed"])
def test_gradients_agree(name: str):
    action_space, kwargs = VECTOR_CASES[name]
    theirs, ours = pair("MlpPolicy", VECTOR, action_space, kwargs)
    obs = torch.randn(9, 5, generator=torch.Generator().manual_seed(2))
    actions = ours.get_distribution(obs).sample(torch.Generator().manual_seed(3)).detach()
    values, log_prob, entropy = theirs.evaluate_actions(obs, actions)
    (log_prob.sum() + 0.3 * entropy.sum() + values.square().sum()).backward()
    distribution, values = ours(obs)
    (distribution.log_prob(actions).sum() + 0.3 * distribution.entropy().sum() + values.square().sum()).backward()
    expected = renamed({n: p.grad for n, p in theirs.named_parameters()}, kwargs, VECTOR)
    assert expected.keys() == dict(ours.named_parameters()).keys()
    for own_name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[own_name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shared", [True, False])
def test_cnn_policies_agree(shared: bool):
    kwargs = {} if shared else {"share_features_extractor": False}
    theirs, ours = pair("CnnPolicy", PIXELS, spaces.Discrete(4), kwargs)
    obs = torch.randint(0, 256, (9, 3, 40, 44), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    compare(theirs, ours, obs, spaces.Discrete(4))


def test_mlp_policies_agree_on_pictures():
    small = spaces.Box(0, 255, (3, 8, 9), np.uint8)
    theirs, ours = pair("MlpPolicy", small, spaces.Discrete(4), {})
    obs = torch.randint(0, 256, (9, 3, 8, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    compare(theirs, ours, obs, spaces.Discrete(4))


def test_multi_input_policies_agree():
    theirs, ours = pair("MultiInputPolicy", MIXED, BOX, {"net_arch": [16]})
    generator = torch.Generator().manual_seed(2)
    obs = {
        "camera": torch.randint(0, 256, (9, 3, 40, 44), dtype=torch.uint8, generator=generator),
        "joints": torch.randn(9, 2, 3, generator=generator),
        "speed": torch.randn(9, 1, generator=generator),
    }
    compare(theirs, ours, obs, BOX)


@pytest.mark.parametrize("name", ["gsde", "gsde_expln", "gsde_narrow", "gsde_squashed"])
def test_gsde_draws_agree_given_the_same_matrices(name: str):
    _, kwargs = VECTOR_CASES[name]
    theirs, ours = pair("MlpPolicy", VECTOR, BOX, kwargs)
    obs = torch.randn(9, 5, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        theirs.reset_noise(9)
        actions = theirs.get_distribution(obs).get_actions()
        drawn = ours.get_distribution(obs).sample(None, theirs.action_dist.exploration_matrices)
        if kwargs.get("squash_output"):
            drawn = drawn.tanh()
        torch.testing.assert_close(drawn, actions, atol=1e-5, rtol=1e-5)
        noise = ours.exploration_noise(4000, torch.Generator().manual_seed(0))
        theirs.reset_noise(4000)
        torch.testing.assert_close(noise.std(0), theirs.action_dist.get_std(theirs.log_std), rtol=0.08, atol=0)
    assert noise.shape == (4000, 64, 3)
