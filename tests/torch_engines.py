"""Small torch engines on scripted environments, for tests."""

from __future__ import annotations

import torch

from upswing.config import TrainConfig
from upswing.engine.contract import Hyper
from upswing.engine.group import Group
from upswing.engine.torch_engine import TorchEngine
from upswing.policies import make_policy

HYPER = Hyper(learning_rate=1e-3, clip_range=0.2, clip_range_vf=None, ent_coef=0.01, n_epochs=2, target_kl=None)


def engine_for(env, group: Group | None = None, **settings) -> TorchEngine:
    """An engine on `env` with 16 steps a rollout and minibatches of 8, where `settings` do not say otherwise."""
    config = TrainConfig(**({"n_envs": env.n_envs, "n_steps": 16, "batch_size": 8} | settings))
    policy = make_policy(config, env.observation_space, env.action_space, 0)
    return TorchEngine(config, env, policy, list(range(env.n_envs)), seed=0, group=group)


def weights(engine: TorchEngine) -> torch.Tensor:
    """All weights in one flat tensor, a copy."""
    return torch.cat([p.detach().flatten() for p in engine.policy.parameters()]).clone()
