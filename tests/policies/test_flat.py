"""One flat tensor under all parameters: it must survive what training and saving do to a module."""

from __future__ import annotations

import copy

import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file, save_file

from upswing.policies import MlpPolicy, flatten_parameters, is_flat, parameter_offsets

VECTOR, BOX = spaces.Box(-1, 1, (5,)), spaces.Box(-2, 2, (3,))


def policy(**kwargs) -> MlpPolicy:
    torch.manual_seed(0)
    return MlpPolicy(VECTOR, BOX, net_arch=[7], **kwargs)


def loss(module: MlpPolicy) -> torch.Tensor:
    obs = torch.linspace(-1, 1, 20).view(4, 5)
    distribution, values = module(obs)
    return -distribution.log_prob(torch.zeros(4, 3)).mean() + values.square().mean()


def test_values_stay_and_every_parameter_is_an_aligned_view():
    plain, module = policy(), policy()
    kept = list(module.parameters())
    assert not is_flat(module)
    flat = flatten_parameters(module)
    assert is_flat(module) and flat.dtype == torch.float32 and flat.is_contiguous()
    assert all(a is b for a, b in zip(kept, module.parameters(), strict=True))
    offsets = parameter_offsets(module)
    used = torch.zeros(len(flat), dtype=torch.bool)
    for name, parameter in module.named_parameters():
        start = offsets[name]
        assert parameter.data_ptr() % 64 == 0 and parameter.data_ptr() == flat.data_ptr() + 4 * start
        assert torch.equal(flat[start : start + parameter.numel()].view(parameter.shape), parameter)
        used[start : start + parameter.numel()] = True
    assert (flat[~used] == 0).all() and used.sum() == sum(p.numel() for p in plain.parameters())
    for a, b in zip(plain.parameters(), module.parameters(), strict=True):
        assert torch.equal(a, b)


def test_writing_into_the_flat_tensor_changes_the_policy_and_back():
    module = policy()
    flat = flatten_parameters(module)
    flat.mul_(2.0)
    assert torch.equal(module.pi[0].weight, 2.0 * policy().pi[0].weight)
    with torch.no_grad():
        module.value_net.bias.fill_(5.0)
    assert flat[parameter_offsets(module)["value_net.bias"]] == 5.0


def test_flattening_twice_gives_the_same_memory():
    module = policy()
    first = flatten_parameters(module)
    second = flatten_parameters(module)
    assert first.data_ptr() == second.data_ptr() and first.shape == second.shape


@pytest.mark.parametrize("kind", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
def test_adam_trains_a_flat_module_as_a_plain_one(kind):
    plain, module = policy(), policy()
    optimizers = [torch.optim.Adam(m.parameters(), lr=0.01, **kind) for m in (plain, module)]  # before flattening
    flat = flatten_parameters(module)
    for _ in range(3):
        for m, optimizer in zip((plain, module), optimizers, strict=True):
            optimizer.zero_grad()
            loss(m).backward()
            torch.nn.utils.clip_grad_norm_(m.parameters(), 0.5)
            optimizer.step()
    assert is_flat(module)
    for a, b in zip(plain.parameters(), module.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(flat[:35].view(7, 5), policy().pi[0].weight)


def test_loading_keeps_the_memory(tmp_path):
    module, other = policy(), policy()
    flat = flatten_parameters(module)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    module.load_state_dict(other.state_dict())
    assert is_flat(module) and torch.equal(flat[:35].view(7, 5), other.pi[0].weight)
    save_file(module.state_dict(), tmp_path / "model.safetensors")
    for name, tensor in load_file(tmp_path / "model.safetensors").items():
        assert torch.equal(tensor, other.state_dict()[name])
    fresh = policy()
    flatten_parameters(fresh)
    fresh.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert is_flat(fresh) and torch.equal(fresh.pi[0].weight, other.pi[0].weight)


@pytest.mark.parametrize("undo", ["assign", "double", "vector", "deepcopy"])
def test_what_undoes_sharing_is_noticed_and_mended(undo: str):
    module = policy()
    flatten_parameters(module)
    if undo == "assign":
        module.load_state_dict(policy().state_dict(), assign=True)
    elif undo == "double":
        module.double().float()
    elif undo == "vector":
        torch.nn.utils.vector_to_parameters(
            torch.nn.utils.parameters_to_vector(module.parameters()), module.parameters()
        )
    else:
        module = copy.deepcopy(module)
    assert not is_flat(module)
    flatten_parameters(module)
    assert is_flat(module) and torch.equal(module.pi[0].weight, policy().pi[0].weight)


def test_a_module_that_shares_a_larger_buffer_is_not_flat():
    module = policy()
    flat = flatten_parameters(module)
    bigger = torch.cat([flat, flat])
    for name, start in parameter_offsets(module).items():
        parameter = dict(module.named_parameters())[name]
        parameter.data = bigger[start : start + parameter.numel()].view(parameter.shape)
    assert not is_flat(module)


def test_other_dtypes_are_refused_and_nothing_is_not_flat():
    with pytest.raises(ValueError, match="float32"):
        flatten_parameters(policy().double())
    assert not is_flat(torch.nn.Identity())
