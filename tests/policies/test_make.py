"""make_policy: choice by name, path or class, seeds, and refusals."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from gymnasium import spaces
from torch import nn

from upswing.config import TrainConfig
from upswing.errors import ConfigError
from upswing.policies import ActionHead, ActorCritic, CnnPolicy, MlpPolicy, make_policy

VECTOR, CHOICE, BOX = spaces.Box(-1, 1, (6,)), spaces.Discrete(3), spaces.Box(-2, 2, (2,))

OWN_POLICY = """
import torch
from torch import nn
from upswing.policies import ActionHead, ActorCritic

class Wide(ActorCritic):
    def __init__(self, observation_space, action_space, width=7):
        super().__init__(observation_space, action_space)
        self.body = nn.Linear(6, width)
        self.head, self.critic = ActionHead(action_space, width), nn.Linear(width, 1)

    def forward(self, obs):
        latent = self.body(obs).tanh()
        return self.head(latent), self.critic(latent).squeeze(-1)

class Doubling(nn.Module):
    def __init__(self, space):
        super().__init__()
        self.features_dim = 12

    def forward(self, obs):
        return torch.cat([obs, obs], 1)

not_a_class = 3
"""


def make(
    policy: Any = "MlpPolicy", observations=VECTOR, actions=CHOICE, seed: int = 0, trusted: bool = True, **config: Any
):
    return make_policy(TrainConfig(policy=policy, **config), observations, actions, seed, trusted)


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A module my_minds in the current folder, which is not on sys.path."""
    (tmp_path / "my_minds.py").write_text(OWN_POLICY)
    (tmp_path / "broken_minds.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield
    for name in ("my_minds", "broken_minds"):
        sys.modules.pop(name, None)


def test_weights_depend_on_the_seed_alone():
    first, again, other = make(seed=5), make(seed=5), make(seed=6)
    torch.manual_seed(99)
    later = make(seed=5)
    for a, b, c, d in zip(*(policy.parameters() for policy in (first, again, later, other)), strict=True):
        assert torch.equal(a, b) and torch.equal(a, c)
        assert a.ndim == 1 or not torch.equal(a, d)


def test_torch_s_global_generator_is_untouched():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    policy = make(actions=BOX, use_sde=True, seed=4)
    policy.get_distribution(torch.zeros(2, 6)).sample(torch.Generator(), policy.exploration_noise(2, torch.Generator()))
    assert torch.equal(before, torch.get_rng_state())


def test_configured_gsde_reaches_the_policy():
    assert make(actions=BOX, use_sde=True).exploration_noise(2).shape == (2, 64, 2)
    assert make(actions=BOX).exploration_noise(2) is None


def test_an_unknown_name_gets_a_near_one():
    with pytest.raises(ConfigError, match="did you mean MlpPolicy"):
        make("MLPPolicy")
    with pytest.raises(ConfigError, match="choose MlpPolicy, CnnPolicy"):
        make("transformer")


def test_one_s_own_policy_by_path_and_by_class(own_module):
    policy = make("my_minds:Wide", policy_kwargs={"width": 9})
    assert type(policy).__name__ == "Wide" and policy.body.out_features == 9 and "" not in sys.path
    distribution, values = policy(torch.zeros(4, 6))
    assert distribution.sample().shape == values.shape == policy.predict_values(torch.zeros(4, 6)).shape == (4,)
    assert policy.get_distribution(torch.zeros(4, 6)).entropy().shape == (4,)
    assert policy.exploration_noise(2) is None
    again = make(type(policy), policy_kwargs={"width": 9})
    assert all(torch.equal(a, b) for a, b in zip(policy.parameters(), again.parameters(), strict=True))


def test_one_s_own_extractor_by_path(own_module):
    policy = make(policy_kwargs={"features_extractor_class": "my_minds:Doubling"})
    assert policy.pi[0].in_features == 12 and policy.predict_values(torch.zeros(4, 6)).shape == (4,)


def test_code_named_in_a_file_is_not_run_without_trust(own_module):
    for config in ({"policy": "broken_minds:X"}, {"policy_kwargs": {"features_extractor_class": "broken_minds:X"}}):
        with pytest.raises(ConfigError, match="--trust-code"):
            make(trusted=False, **config)
    assert "broken_minds" not in sys.modules
    assert isinstance(make(trusted=False), MlpPolicy)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("my_minds:wide", "did you mean Wide"),
        ("my_minds:not_a_class", "is not a policy"),
        ("my_minds:Doubling", "is not a policy"),
        ("my_minds:", "form module:Class"),
        ("broken_minds:X", "ZeroDivisionError"),
        ("no_such_minds:X", "No module named 'no_such_minds'"),
        (dict, "is not a policy"),
    ],
)
def test_a_path_that_leads_nowhere_says_why(own_module, policy, words):
    with pytest.raises(ConfigError, match=words):
        make(policy)


def test_arguments_that_one_s_own_policy_does_not_take_are_named(own_module):
    with pytest.raises(ConfigError, match=r"Wide .*'depth'"):
        make("my_minds:Wide", policy_kwargs={"depth": 3})


def test_a_policy_without_forward_says_so():
    class Empty(ActorCritic):
        pass

    with pytest.raises(NotImplementedError, match="Empty has no forward"):
        make(Empty)(torch.zeros(1, 6))


def test_subclasses_of_the_named_policies_work():
    class Deep(CnnPolicy):
        def __init__(self, observation_space, action_space, **policy_kwargs):
            super().__init__(observation_space, action_space, net_arch=[4], **policy_kwargs)

    space = spaces.Box(0.0, 1.0, (36, 36, 1))
    policy = make(Deep, space, policy_kwargs={"normalize_images": False, "features_dim": 4})
    assert policy.predict_values(torch.zeros(2, 36, 36, 1)).shape == (2,)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"net_arc": [8]}, "net_arc is not known: did you mean net_arch"),
        ({"zzz": 1}, "zzz is not known: choose from net_arch"),
        ({"optimizer_kwargs": {}}, "optimizer_kwargs has no place here: the optimiser is Adam"),
        ({"use_sde": True}, "use_sde has no place here"),
        ({"net_arch": [0]}, "not a list of layer widths"),
        ({"net_arch": "64"}, "not a list of layer widths"),
        ({"net_arch": [True]}, "not a list of layer widths"),
        ({"net_arch": {"qf": [8]}}, "key 'qf'"),
        ({"activation_fn": "rellu"}, "did you mean relu"),
        ({"activation_fn": 3}, "choose from tanh"),
        ({"ortho_init": 1}, "ortho_init = 1 is neither"),
        ({"log_std_init": "low"}, "log_std_init = 'low' is not a number"),
        ({"features_dim": 0}, "features_dim = 0"),
        ({"features_dim": 8}, "Flatten cannot be made with .*features_dim"),
        ({"share_trunk": True, "net_arch": {"pi": [8], "vf": [9]}}, "cannot share different layers"),
        ({"share_trunk": True, "share_features_extractor": False}, "share_trunk shares everything"),
        ({"features_extractor_class": 3}, "is not a torch.nn.Module"),
    ],
)
def test_impossible_policy_kwargs_are_named(kwargs, words):
    with pytest.raises(ConfigError, match=words) as caught:
        make(policy_kwargs=kwargs)
    assert str(caught.value).endswith((".", "?"))


@pytest.mark.parametrize(
    ("value", "kind"), [("relu", nn.ReLU), ("nn.ELU", nn.ELU), ("swish", nn.SiLU), (nn.Hardtanh, nn.Hardtanh)]
)
def test_activations_by_name_and_class(value, kind):
    assert type(make(policy_kwargs={"activation_fn": value}).pi[1]) is kind


def test_heads_can_be_imported_from_the_package():
    assert ActionHead(CHOICE, 4)(torch.zeros(1, 4)).sample().shape == (1,)
