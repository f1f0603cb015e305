"""What `model.policy` is: the torch module that trains, with the methods that Stable-Baselines3's scripts call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from upswing.engine.normalizer import Normalizer
from upswing.envs.contract import Observation
from upswing.envs.spaces import clip_to_space, encode
from upswing.errors import ConfigError
from upswing.policies import forget
from upswing.sb3.foreign import our_names

if TYPE_CHECKING:
    from upswing.agent import Agent
    from upswing.policies import ActorCritic
    from upswing.sb3.ppo import PPO


class Policy:
    """The model's policy. Everything it does not define itself is the torch module's (`module`): parameters,
    state_dict, to, train, eval, its layers."""

    def __init__(self, model: PPO):
        self._model = model

    @property
    def module(self) -> ActorCritic:
        """The torch module."""
        return self._agent.policy

    @property
    def _agent(self) -> Agent:
        return self._model.agent

    @property
    def _normalizer(self) -> Normalizer:
        return self._agent.normalizer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_model":
            raise AttributeError(name)
        return getattr(self.module, name)

    def __repr__(self) -> str:
        return repr(self.module)

    def __call__(self, obs: Any, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Actions [B, ...], values [B, 1] and log-probabilities [B] for observation tensors [B, ...]."""
        distribution, values = self.module(obs)
        actions = distribution.mode() if deterministic else distribution.sample(self._agent.generator)
        return actions, values[:, None], distribution.log_prob(actions)

    forward = __call__

    @property
    def optimizer(self) -> Any:
        """The optimiser, where the engine that trains uses torch's; None otherwise."""
        training = self._model.training
        return getattr(training.engine, "optimizer", None) if training else None

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Actions for one observation or a batch, in the action space and inside its bounds, and the state after it.

        For a policy with memory `state` is what the last call returned, an array [n, S], or None at the beginning, and
        `episode_start` [n] bool says which observations are an episode's first. Other policies return `state`
        unchanged. Raises ConfigError where the observation does not fit the observation space.
        """
        batch, single = self.read(observation)
        n = len(next(iter(batch.values())) if isinstance(batch, dict) else batch)
        memory = self.module.initial_state(n)
        if state is not None and self.module.state_size:
            memory = torch.as_tensor(state, device=memory.device)
            if memory.shape != (n, self.module.state_size):
                raise ConfigError(
                    f"predict got a state of shape {tuple(memory.shape)} for {n} observations: give the one that the "
                    f"last predict returned, or None at the beginning."
                )
            if episode_start is not None:
                memory = forget(memory, np.broadcast_to(np.asarray(episode_start, bool), n).copy())
        acted, memory = self._agent.step(batch, memory, deterministic)
        actions = clip_to_space(acted, self._model.action_space)
        return (actions[0, ...] if single else actions), (memory.cpu().numpy() if self.module.state_size else state)

    def read(self, observation: Any) -> tuple[Observation, bool]:
        """`observation` as the policy's own batch [B, ...] before normalisation, and whether it was a single one."""
        space = self._model.observation_space
        single = is_single(observation, space)
        if single:
            observation = _batch_of_one(observation)
        try:
            encoded = encode(space, observation)
        except ValueError as error:
            raise ConfigError(f"predict got an observation outside {space}: {error}.") from None
        if isinstance(encoded, dict):
            keys: Any = self.module.observation_space
            encoded = {key: encoded[key] for key in keys}
        return encoded, single

    def obs_to_tensor(self, observation: Any) -> tuple[Any, bool]:
        """`observation` as tensors [B, ...] that the module takes, and whether it was a batch."""
        batch, single = self.read(observation)
        scaled = self._normalizer.scale(batch)
        device = self._agent.device
        if isinstance(scaled, dict):
            return {key: torch.as_tensor(part, device=device) for key, part in scaled.items()}, not single
        return torch.as_tensor(scaled, device=device), not single

    def evaluate_actions(self, obs: Any, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values [B, 1], log-probabilities [B] and entropies [B] of `actions` for observation tensors [B, ...]."""
        distribution, values = self.module(obs)
        return values[:, None], distribution.log_prob(actions), distribution.entropy()

    def predict_values(self, obs: Any) -> Tensor:
        """Values [B, 1] of observation tensors [B, ...]."""
        return self.module.predict_values(obs)[:, None]

    def set_training_mode(self, mode: bool) -> None:
        """Switch layers such as dropout to training or to use."""
        self.module.train(mode)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Any:
        """What the module's load_state_dict returns; names may be ours or Stable-Baselines3's."""
        return self.module.load_state_dict(our_names(state_dict, self.module), strict)


def is_single(observation: Any, space: gymnasium.Space) -> bool:
    """Whether `observation` is one of `space`, not a batch [B, ...]. Raises ConfigError where it is neither."""
    if isinstance(observation, tuple) and len(observation) == 2 and isinstance(observation[1], dict):
        raise ConfigError(
            "predict got the pair (observation, info) that reset returns: hand over the observation alone."
        )
    if isinstance(space, spaces.Dict):
        if not isinstance(observation, Mapping) or set(space.spaces) - set(observation):
            raise ConfigError(f"predict needs a dict with {', '.join(space.spaces)}, as the observation space says.")
        return {is_single(observation[key], part) for key, part in space.spaces.items()} != {False}
    shape, expected = np.shape(observation), space.shape or ()
    if shape == expected:
        return True
    if len(shape) == len(expected) + 1 and shape[1:] == expected:
        return False
    raise ConfigError(
        f"predict got an observation of shape {shape}, where the observation space says {expected}, or (n, …) for several."
    )


def _batch_of_one(observation: Any) -> Any:
    if isinstance(observation, Mapping):
        return {key: _batch_of_one(part) for key, part in observation.items()}
    return np.asarray(observation)[None]
