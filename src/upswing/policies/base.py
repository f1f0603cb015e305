"""What every policy is: a torch module from observations to a distribution over actions and a value."""

from __future__ import annotations

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

    def exploration_noise(self, n_envs: int, generator: torch.Generator | None = None) -> Tensor | None:
        """gSDE's noise matrices [n_envs, latent, A] for `Distribution.sample`, or None for policies without gSDE."""
        return None


def split_mask(obs: Obs) -> tuple[Obs, Tensor | None]:
    """The observation without its action mask, and the mask [B, choices] as bool, or None where it has none."""
    if not isinstance(obs, dict) or ACTION_MASK not in obs:
        return obs, None
    rest = {key: value for key, value in obs.items() if key != ACTION_MASK}
    return rest, obs[ACTION_MASK].flatten(1).bool()
