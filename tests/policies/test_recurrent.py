"""Policies with memory: states, options, and that a sequence at once is the same as step by step."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from upswing.config import TrainConfig
from upswing.envs.contract import ACTION_MASK
from upswing.errors import ConfigError
from upswing.policies import forget, make_policy
from upswing.policies.recurrent import Memory

BOX = spaces.Box(-1, 1, (3,), np.float32)
IMAGE = spaces.Box(0, 255, (1, 36, 36), np.uint8)
SMALL = {"lstm_hidden_size": 6, "net_arch": [5]}
KINDS = {
    "MlpLstmPolicy": (BOX, {}),
    "MlpGruPolicy": (BOX, {"n_lstm_layers": 2}),
    "CnnLstmPolicy": (IMAGE, {"features_dim": 7, "net_arch": []}),
    "CnnGruPolicy": (IMAGE, {"features_dim": 7, "shared_lstm": True}),
    "MultiInputLstmPolicy": (spaces.Dict({"a": BOX, "b": BOX}), {"share_features_extractor": False}),
    "MultiInputGruPolicy": (spaces.Dict({"a": BOX, "b": BOX}), {"enable_critic_lstm": False, "share_trunk": True}),
}


def policy_of(name, action_space=None, **more):
    space, options = KINDS[name]
    config = TrainConfig(policy=name, policy_kwargs=SMALL | options | more)
    return make_policy(config, space, action_space or spaces.Discrete(4), 0)


def drawn(space, n):
    space.seed(1)
    if isinstance(space, spaces.Dict):
        return {key: drawn(part, n) for key, part in space.spaces.items()}
    return torch.from_numpy(np.stack([space.sample() for _ in range(n)]))


def rows(obs, which):
    return {key: part[which] for key, part in obs.items()} if isinstance(obs, dict) else obs[which]


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU])
def test_a_memory_is_torchs_own_cell_with_a_flat_state(cell):
    torch.manual_seed(0)
    memory = Memory(cell, 3, 4, 2)
    inputs, state = torch.randn(5, 3), torch.randn(5, memory.state_size)
    outputs, after = memory(inputs, state)
    parts = state.view(5, -1, 2, 4)
    hidden = [parts[:, i].transpose(0, 1).contiguous() for i in range(parts.shape[1])]
    expected, final = memory.cell(inputs[None], tuple(hidden) if cell is nn.LSTM else hidden[0])
    torch.testing.assert_close(outputs, expected[0])
    final = final if isinstance(final, tuple) else (final,)
    torch.testing.assert_close(after, torch.cat([part.transpose(0, 1).flatten(1) for part in final], 1))


@pytest.mark.parametrize("name", KINDS)
def test_sequences_at_once_are_the_same_as_step_by_step(name):
    """Of unequal lengths, so that shorter ones are filled up; gradients too."""
    policy, lengths = policy_of(name), torch.tensor([3, 1, 5])
    obs, begun = drawn(policy.observation_space, 9), torch.randn(3, policy.state_size)
    distribution, values = policy.unroll(obs, begun, lengths)
    one_by_one, states = [], list(begun[:, None])
    for i, start in enumerate((0, 3, 4)):
        for t in range(start, start + int(lengths[i])):
            one, value, states[i] = policy.step(rows(obs, slice(t, t + 1)), states[i])
            one_by_one.append((one.logits, value))
    logits, expected = (torch.cat(part) for part in zip(*one_by_one, strict=True))
    torch.testing.assert_close(distribution.logits, logits)
    torch.testing.assert_close(values, expected)

    def gradients(logits, values):
        policy.zero_grad()
        (logits.square().sum() + values.square().sum()).backward(retain_graph=True)
        return [parameter.grad.clone() for parameter in policy.parameters()]

    for a, b in zip(gradients(distribution.logits, values), gradients(logits, expected), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_a_policy_remembers_and_forgets(name):
    policy = policy_of(name)
    obs = drawn(policy.observation_space, 4)
    state = policy.initial_state(4)
    _, values, after = policy.step(obs, state)
    assert after.shape == (4, policy.state_size) and not after.eq(0).any()
    again = policy.step(obs, after)[0]
    assert not torch.equal(again.logits, policy(obs)[0].logits)
    torch.testing.assert_close(policy(obs)[1], values)
    forgotten = forget(after, np.array([True, False, True, False]))
    torch.testing.assert_close(policy.step_distribution(obs, forgotten)[0].logits[::2], policy(obs)[0].logits[::2])
    torch.testing.assert_close(policy.step_values(obs, forgotten)[1::2], policy.step_values(obs, after)[1::2])
    torch.testing.assert_close(policy.step_distribution(obs, after)[1], policy.step(obs, after)[2])


def test_how_many_numbers_are_remembered():
    assert policy_of("MlpLstmPolicy").state_size == 2 * 2 * 6  # h and c, of policy and of value
    assert policy_of("MlpGruPolicy").state_size == 2 * 2 * 6  # two layers, of policy and of value
    assert policy_of("CnnGruPolicy").state_size == 6  # one for both
    assert policy_of("MlpLstmPolicy", enable_critic_lstm=False).state_size == 2 * 6
    default = make_policy(TrainConfig(policy="MlpLstmPolicy"), BOX, spaces.Discrete(2), 0)
    assert default.memory.cell.hidden_size == 256


def test_recurrent_weights_are_orthogonal():
    memory = policy_of("MlpLstmPolicy", lstm_hidden_size=8).memory.cell
    torch.testing.assert_close(memory.weight_hh_l0.T @ memory.weight_hh_l0, torch.eye(8), rtol=0, atol=1e-5)
    assert not memory.bias_ih_l0.any()
    plain = policy_of("MlpLstmPolicy", ortho_init=False).memory.cell
    assert plain.bias_ih_l0.any()


def test_masks_hold_for_policies_with_memory():
    space = spaces.Dict({"obs": BOX, ACTION_MASK: spaces.Box(0, 1, (4,), np.bool_)})
    policy = make_policy(TrainConfig(policy="MlpLstmPolicy", policy_kwargs=SMALL), space, spaces.Discrete(4), 0)
    mask = torch.tensor([[True, False, True, False]] * 50)
    distribution, _, _ = policy.step({"obs": torch.randn(50, 3), ACTION_MASK: mask}, policy.initial_state(50))
    assert set(distribution.sample().tolist()) == {0, 2}


@pytest.mark.parametrize(
    ("policy", "kwargs", "said"),
    [
        ("MlpPolicy", {"lstm_hidden_size": 8}, "lstm_hidden_size is not known"),
        ("MlpLstmPolicy", {"lstm_hidden_size": 0}, "lstm_hidden_size = 0 is not a whole number"),
        ("MlpLstmPolicy", {"lstm_size": 8}, "did you mean lstm_hidden_size"),
        ("MlpLstmPolicy", {"shared_lstm": 1}, "shared_lstm = 1 is neither true nor false"),
        ("MlpLstmPolicy", {"shared_lstm": True, "share_features_extractor": False}, "set one"),
        ("MlpLSTMPolicy", {}, "did you mean MlpLstmPolicy"),
    ],
)
def test_what_cannot_be(policy, kwargs, said):
    with pytest.raises(ConfigError, match=said):
        make_policy(TrainConfig(policy=policy, policy_kwargs=kwargs), BOX, spaces.Discrete(2), 0)
