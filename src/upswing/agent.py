"""A policy that is ready to act: raw observations in, actions for the environment out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from upswing.engine.normalizer import Normalizer
from upswing.engine.placed import to_env
from upswing.envs.contract import Observation
from upswing.policies import ActorCritic


class Agent:
    """A policy with the statistics its observations are scaled by. Acting never changes either."""

    def __init__(self, policy: ActorCritic, normalizer: Normalizer, seed: int = 0):
        self.policy, self.normalizer = policy, normalizer
        self.device = next(policy.parameters()).device
        self.generator = torch.Generator(self.device).manual_seed(seed)

    def act(self, obs: Observation, deterministic: bool = True) -> np.ndarray:
        """Actions [N, ...] for observations [N, ...] as a VectorEnv gives them, each as if an episode began with it."""
        n = len(next(iter(obs.values())) if isinstance(obs, dict) else obs)
        return self.step(obs, self.policy.initial_state(n), deterministic)[0]

    @torch.no_grad()
    def step(self, obs: Observation, state: Tensor, deterministic: bool = True) -> tuple[np.ndarray, Tensor]:
        """Actions [N, ...] for observations [N, ...] as a VectorEnv gives them, the most likely ones or a draw, and what
        the policy remembers after them. `state` is what it did before: policy.initial_state, and `forget` where an
        episode begins. Observations that are tensors on a device get actions there."""
        scaled = self.normalizer.scale(obs)
        tensors: Any = (
            {key: torch.as_tensor(part, device=self.device) for key, part in scaled.items()}
            if isinstance(scaled, dict)
            else torch.as_tensor(scaled, device=self.device)
        )
        distribution, state = self.policy.step_distribution(tensors, state)
        actions = distribution.mode() if deterministic else distribution.sample(self.generator)
        first: Any = next(iter(obs.values())) if isinstance(obs, dict) else obs
        return to_env(distribution.to_env(actions), first.device if isinstance(first, torch.Tensor) else None), state
