"""From the policy's last hidden layer to the distribution that fits the action space."""

from __future__ import annotations

import math

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from upswing.errors import ConfigError
from upswing.policies.options import PolicyOptions
from upswing.ppo.distributions import Bernoulli, Categorical, Distribution, MultiCategorical
from upswing.ppo.gaussians import DiagGaussian, SquashedGaussian, StateDependentGaussian, positive_std

CATEGORICAL, MULTI_CATEGORICAL, BERNOULLI, GAUSSIAN = "categorical", "multi_categorical", "bernoulli", "gaussian"


class ActionHead(nn.Module):
    """A linear layer from features [B, L] to the parameters of a distribution, and σ where actions are continuous."""

    kind: str  # "categorical", "multi_categorical", "bernoulli" or "gaussian"
    low: Tensor
    high: Tensor

    def __init__(
        self,
        action_space: gymnasium.Space,
        latent_dim: int,
        *,
        log_std_init: float = 0.0,
        use_sde: bool = False,
        full_std: bool = True,
        use_expln: bool = False,
        squash_output: bool = False,
    ):
        super().__init__()
        self.kind, self.nvec = action_kind(action_space)
        self.use_sde, self.use_expln, self.squash_output = use_sde, use_expln, squash_output
        n_outputs = sum(self.nvec)
        self.net = nn.Linear(latent_dim, n_outputs)
        self.log_std: nn.Parameter | None = None
        if isinstance(action_space, spaces.Box):
            shape = (latent_dim, n_outputs if full_std else 1) if use_sde else (n_outputs,)
            self.log_std = nn.Parameter(torch.full(shape, float(log_std_init)))
            if squash_output:
                low, high = _finite_bounds(action_space)
                self.register_buffer("low", low, persistent=False)
                self.register_buffer("high", high, persistent=False)
        elif use_sde:
            raise ConfigError(
                f"use_sde explores with continuous actions, but the environment's are {action_space}: set it to false."
            )
        elif squash_output:
            raise ConfigError(
                f"policy_kwargs: squash_output bounds continuous actions, but the environment's are {action_space}."
            )

    @classmethod
    def from_options(cls, action_space: gymnasium.Space, latent_dim: int, options: PolicyOptions) -> ActionHead:
        """The head that policy_kwargs describe."""
        return cls(
            action_space,
            latent_dim,
            log_std_init=options.log_std_init,
            use_sde=options.use_sde,
            full_std=options.full_std,
            use_expln=options.use_expln,
            squash_output=options.squash_output,
        )

    def forward(self, latent: Tensor, mask: Tensor | None = None) -> Distribution:
        """The distribution for features `latent` [B, L] and, for discrete choices, the mask [B, choices]."""
        outputs = self.net(latent).float()
        if self.kind == CATEGORICAL:
            return Categorical(outputs, mask)
        if self.kind == MULTI_CATEGORICAL:
            return MultiCategorical(outputs, self.nvec, mask)
        if self.kind == BERNOULLI:
            return Bernoulli(outputs)
        assert self.log_std is not None
        if self.use_sde:
            gaussian: DiagGaussian = StateDependentGaussian.from_latent(
                outputs, latent.float(), positive_std(self.log_std, self.use_expln)
            )
        else:
            gaussian = DiagGaussian(outputs, self.log_std)
        return SquashedGaussian(gaussian, self.low, self.high) if self.squash_output else gaussian

    def exploration_noise(self, n_envs: int, generator: torch.Generator | None = None) -> Tensor | None:
        """gSDE's matrices θ [n_envs, L, A], each entry N(0, s²) with its own learned s; None without gSDE."""
        if not self.use_sde or self.log_std is None:
            return None
        with torch.no_grad():
            scale = positive_std(self.log_std, self.use_expln)
            noise = scale.new_empty(n_envs, self.net.in_features, self.net.out_features).normal_(generator=generator)
            return noise * scale


def action_kind(action_space: gymnasium.Space) -> tuple[str, tuple[int, ...]]:
    """The kind of distribution for an action space, and how many outputs each of its parts takes.

    Discrete(n): n. MultiDiscrete: its nvec. MultiBinary and Box: 1 for each dimension, flattened.
    """
    if isinstance(action_space, spaces.Discrete):
        return CATEGORICAL, (int(action_space.n),)
    if isinstance(action_space, spaces.MultiDiscrete):
        return MULTI_CATEGORICAL, tuple(int(n) for n in np.asarray(action_space.nvec).flatten())
    if isinstance(action_space, spaces.MultiBinary):
        return BERNOULLI, (1,) * math.prod(action_space.shape)
    if isinstance(action_space, spaces.Box):
        if not np.issubdtype(action_space.dtype, np.floating):
            raise ConfigError(
                f"the environment's actions are {action_space}, a Box of whole numbers: use Discrete or MultiDiscrete for choices."
            )
        return GAUSSIAN, (1,) * math.prod(action_space.shape)
    raise ConfigError(
        f"the environment's actions are {action_space}: policies act in Discrete, MultiDiscrete, MultiBinary and Box spaces."
    )


def _finite_bounds(space: spaces.Box) -> tuple[Tensor, Tensor]:
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise ConfigError(
            f"policy_kwargs: squash_output needs finite bounds, but the environment's actions are {space}."
        )
    return tuple(torch.tensor(bound, dtype=torch.float32).flatten() for bound in (space.low, space.high))  # type: ignore[return-value]
