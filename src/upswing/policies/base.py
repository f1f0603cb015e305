"""What every policy is: a torch module from observations to a distribution over actions and a value."""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from torch import Tensor, nn

from upswing.envs.contract import ACTION_MASK
from upswing.ppo.distributions import Distribution

Obs = Tensor | dict[str, Tensor]
"""[B, ...] float or, for images, uint8; or a dict of such. A dict may carry ACTION_MASK."""


class ActorCritic(nn.Module):
    """A policy and its critic. For one's own: derive from this and write `forward`; the rest follows from it.

    The constructor is called with the two spaces and policy_kwargs as keyword arguments. ActionHead turns features
    into the distribution that fits the action space, split_mask takes the action mask out of an observation.
    """

    state_size: int = 0  # numbers that a policy with memory keeps for each environment

    def __init__(self, observation_space: gymnasium.Space, action_space: gymnasium.Space):
        super().__init__()
        self.observation_space = observation_space
        self.action_space = action_space

    def forward(self, obs: Obs) -> tuple[Distribution, Tensor]:
        """The distribution over actions and the values [B]."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(obs) that returns (distribution, values).")

    def get_distribution(self, obs: Obs) -> Distribution:
        """The distribution over actions alone."""
        return self(obs)[0]

    def predict_values(self, obs: Obs) -> Tensor:
        """The values [B] alone."""
        return self(obs)[1]

    def initial_state(self, n: int) -> Tensor:
        """What a policy with memory knows at the beginning of `n` episodes: zeros [n, state_size]."""
        return torch.zeros(n, self.state_size, device=next(self.parameters()).device)

    def step(self, obs: Obs, state: Tensor) -> tuple[Distribution, Tensor, Tensor]:
        """The distribution, the values [B], and the state [B, state_size] after `obs`, from the one before it."""
        return *self(obs), state

    def step_distribution(self, obs: Obs, state: Tensor) -> tuple[Distribution, Tensor]:
        """As `step`, without the values."""
        return self.get_distribution(obs), state

    def step_values(self, obs: Obs, state: Tensor) -> Tensor:
        """As `step`, the values [B] alone."""
        return self.predict_values(obs)

    def unroll(self, obs: Obs, state: Tensor, lengths: Tensor) -> tuple[Distribution, Tensor]:
        """The distribution and the values [B] of `obs` [B, ...]: n sequences one after the other, of `lengths` [n],
        begun from `state` [n, state_size]."""
        return self(obs)

    def exploration_noise(self, n_envs: int, generator: torch.Generator | None = None) -> Tensor | None:
        """gSDE's noise matrices [n_envs, latent, A] for `Distribution.sample`, or None for policies without gSDE."""
        return None


def forget(state: Tensor, rows: Any) -> Tensor:
    """`state` [N, S] with zeros in the `rows` [N] bool (an array) where an episode begins."""
    return state.masked_fill(torch.as_tensor(rows, device=state.device)[:, None], 0.0) if state.numel() else state


def split_mask(obs: Obs) -> tuple[Obs, Tensor | None]:
    """The observation without its action mask, and the mask [B, choices] as bool, or None where it has none."""
    if not isinstance(obs, dict) or ACTION_MASK not in obs:
        return obs, None
    rest = {key: value for key, value in obs.items() if key != ACTION_MASK}
    return rest, obs[ACTION_MASK].flatten(1).bool()
