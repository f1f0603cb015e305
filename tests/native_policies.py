"""Policies, minibatches and torch's answers for them, for the tests of the native engine."""

from __future__ import annotations

import copy
import math

import gymnasium as gym
import numpy as np
import torch
from torch import nn

from upswing.engine.native import tables
from upswing.engine.native.buffers import PolicyBuffers
from upswing.engine.native.crew import Crew
from upswing.policies import MlpPolicy, flatten_parameters, mlp_layers, parameter_offsets
from upswing.policies.options import ACTIVATIONS
from upswing.ppo.advantages import normalize_advantages
from upswing.ppo.distributions import Bernoulli, Categorical, MultiCategorical
from upswing.ppo.gaussians import DiagGaussian
from upswing.ppo.losses import approx_kl, clip_fraction, policy_loss, value_loss

SPACES = {
    "discrete": gym.spaces.Discrete(3),
    "multi_discrete": gym.spaces.MultiDiscrete([2, 5, 3]),
    "multi_binary": gym.spaces.MultiBinary(4),
    "box": gym.spaces.Box(-1.0, 1.0, (3,)),
}
ARCHITECTURES = {
    "default": {},
    "deep": {"net_arch": [32, 24, 16, 8]},
    "uneven": {"net_arch": {"pi": [7], "vf": [33, 19]}},
    "linear": {"net_arch": []},
    "shared": {"net_arch": [48, 20], "share_trunk": True},
}


def make_policy(space="discrete", n_obs=5, seed=0, **kwargs):
    """A policy whose actions depend on what it sees: the usual 0.01 gain of its head would hide most gradients."""
    torch.manual_seed(seed)
    policy = MlpPolicy(gym.spaces.Box(-1.0, 1.0, (n_obs,)), SPACES[space], **kwargs)
    with torch.no_grad():
        policy.action_head.net.weight.mul_(40.0)
        for parameter in policy.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    flatten_parameters(policy)
    return policy


def make_batch(policy, n, seed=0):
    """Transitions as a rollout has them, of a policy that has moved since: ratios on both sides of 1 ± ε."""
    generator = torch.Generator().manual_seed(seed)
    obs = torch.randn(n, *policy.observation_space.shape, generator=generator)
    with torch.no_grad():
        distribution, values = policy(obs)
        actions = distribution.sample(generator)
        log_probs = distribution.log_prob(actions) + 0.3 * torch.randn(n, generator=generator)
        old_values = values + 0.5 * torch.randn(n, generator=generator)
    advantages = 2.0 + 3.0 * torch.randn(n, generator=generator)
    return obs, actions, log_probs, old_values, advantages, advantages + old_values


def make_settings(**changes):
    """The settings array of an update; names as in tables.py, in lower case."""
    values = {
        "learning_rate": 1e-3,
        "clip_range": 0.2,
        "clip_range_vf": math.inf,
        "ent_coef": 0.03,
        "vf_coef": 0.7,
        "max_grad_norm": 0.5,
        "target_kl": math.inf,
        "adam_eps": 1e-5,
        "normalize": 1.0,
    }
    assert changes.keys() <= values.keys()
    return np.array([{**values, **changes}[name] for name in values])


class Native:
    """The kernels on one policy and one batch."""

    def __init__(self, policy, batch, threads=1):
        self.policy, self.buffers, self.threads = policy, PolicyBuffers(policy), threads
        obs, actions, *vectors = (part.numpy() for part in batch)
        n = len(obs)
        self.batch = (obs, np.ascontiguousarray(actions.reshape(n, -1), np.float32), *vectors)

    def run(self, order, settings, batch_size, n_epochs=1, stream=None, totals=None):
        """Totals after `n_epochs` passes over the rows `order`, which are left shuffled."""
        totals = np.zeros(tables.N_TOTALS) if totals is None else totals
        stream = np.arange(1, 5, dtype=np.uint64) if stream is None else stream
        crew = Crew(self.buffers, batch_size, self.threads)
        crew.run(self.batch, order, stream, n_epochs, settings, totals)
        crew.close()
        self.grads = crew.grads
        return totals

    def by_name(self, flat):
        """The parts of a flat buffer by the parameters' names."""
        return {
            name: flat[at : at + p.numel()].reshape(p.shape).copy()
            for (name, p), at in zip(
                self.policy.named_parameters(), parameter_offsets(self.policy).values(), strict=True
            )
        }


def in_double(policy):
    """A copy of `policy` in float64."""
    return copy.deepcopy(policy).double()


def outputs(policy, obs):
    """The distribution and the values, in the parameters' own precision (the module itself rounds to float32)."""
    parts = mlp_layers(policy)
    activation = ACTIVATIONS[parts.activation]()

    def through(layers, x, head):
        for i, layer in enumerate(layers):
            x = layer(x) if head and i == len(layers) - 1 else activation(layer(x))
        return x

    shared = through(parts.trunk, obs, head=False)
    y, values = through(parts.pi, shared, head=True), through(parts.vf, shared, head=True)[:, 0]
    head = parts.head
    kinds = {
        "categorical": lambda: Categorical(y),
        "multi_categorical": lambda: MultiCategorical(y, head.nvec),
        "bernoulli": lambda: Bernoulli(y),
        "gaussian": lambda: DiagGaussian(y, head.log_std),
    }
    return kinds[head.kind](), values


def torch_loss(policy, batch, settings):
    """The loss of a minibatch and its figures, as tensors: policy, value and entropy loss, KL, clip fraction, loss."""
    dtype = next(policy.parameters()).dtype
    obs, actions, old, old_values, advantages, returns = (
        part if part.dtype == torch.int64 else part.to(dtype) for part in batch
    )
    distribution, values = outputs(policy, obs)
    log_ratio = distribution.log_prob(actions) - old
    if settings[tables.NORMALIZE]:
        advantages = normalize_advantages(advantages)
    clip, clip_vf = settings[tables.CLIP_RANGE], settings[tables.CLIP_RANGE_VF]
    losses = (
        policy_loss(log_ratio, advantages, clip),
        value_loss(values, old_values, returns, None if math.isinf(clip_vf) else clip_vf),
        -distribution.entropy().mean(),
    )
    loss = losses[0] + settings[tables.ENT_COEF] * losses[2] + settings[tables.VF_COEF] * losses[1]
    worst = (log_ratio.exp() - 1.0).abs().max()
    return loss, [*losses, approx_kl(log_ratio), clip_fraction(log_ratio, clip), loss, worst]


def torch_gradient(policy, batch, settings):
    """Figures [7] and gradients by name, by autograd in the policy's own precision."""
    policy.zero_grad()
    loss, figures = torch_loss(policy, batch, settings)
    loss.backward()
    zeros = {n: np.zeros(p.shape) for n, p in policy.named_parameters() if p.grad is None}
    grads = {n: p.grad.numpy().copy() for n, p in policy.named_parameters() if p.grad is not None}
    return np.array([float(f.detach()) for f in figures]), grads | zeros


def torch_step(policy: nn.Module, optimizer, batch, settings):
    """The gradient norm before clipping of one step that torch takes."""
    optimizer.zero_grad()
    loss, _ = torch_loss(policy, batch, settings)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(policy.parameters(), settings[tables.MAX_GRAD_NORM])
    optimizer.step()
    return float(norm)
