"""The three named policies: a features extractor, hidden layers for policy and value, and a head for each."""

from __future__ import annotations

import inspect
import math
from typing import Any, ClassVar

import gymnasium
import torch
from gymnasium import spaces
from torch import Tensor, nn

from upswing.envs.contract import ACTION_MASK
from upswing.errors import ConfigError
from upswing.policies.base import ActorCritic, Obs, split_mask
from upswing.policies.extractors import CombinedExtractor, Flatten, NatureCNN, Reader, reader
from upswing.policies.heads import CATEGORICAL, MULTI_CATEGORICAL, ActionHead
from upswing.policies.options import PolicyOptions, hidden_layers, policy_options
from upswing.ppo.distributions import Distribution


class NetworkPolicy(ActorCritic):
    """features → trunk → pi → action_head, and features → trunk → vf → value_net.

    By default policy and value share the features extractor and nothing else (trunk is empty), as in
    Stable-Baselines3: for vectors, which are merely flattened, that means separate networks.
    """

    extractor_class: type[nn.Module]
    options_class: ClassVar[type[PolicyOptions]] = PolicyOptions

    def __init__(self, observation_space: gymnasium.Space, action_space: gymnasium.Space, **policy_kwargs: Any):
        super().__init__(observation_space, action_space)
        self.options = options = policy_options(policy_kwargs, self.options_class)
        self.readers, self.only_key = self._readers(observation_space)
        self.features = self._extractor()
        self.vf_features = None if options.share_features_extractor else self._extractor()
        trunk, pi, vf = hidden_layers(options, [] if isinstance(self.features, NatureCNN) else [64, 64])
        width = int(self.features.features_dim)  # type: ignore[arg-type]
        self.trunk, width = _mlp(width, trunk, options)
        pi_width, vf_width = self._after_trunk(width)
        self.pi, pi_width = _mlp(pi_width, pi, options)
        self.vf, vf_width = _mlp(vf_width, vf, options)
        self.action_head = ActionHead.from_options(action_space, pi_width, options)
        self.value_net = nn.Linear(vf_width, 1)
        _check_mask(observation_space, self.action_head)
        if options.ortho_init:
            self._initialise()

    def forward(self, obs: Obs) -> tuple[Distribution, Tensor]:
        """The distribution over actions and the values [B]."""
        inputs, mask = self._read(obs)
        shared = self.trunk(self.features(inputs))
        for_value = shared if self.vf_features is None else self.vf_features(inputs)
        return self.action_head(self.pi(shared), mask), self._value(for_value)

    def get_distribution(self, obs: Obs) -> Distribution:
        """The distribution over actions alone."""
        inputs, mask = self._read(obs)
        return self.action_head(self.pi(self.trunk(self.features(inputs))), mask)

    def predict_values(self, obs: Obs) -> Tensor:
        """The values [B] alone."""
        inputs, _ = self._read(obs)
        return self._value(self.trunk(self.features(inputs)) if self.vf_features is None else self.vf_features(inputs))

    def exploration_noise(self, n_envs: int, generator: torch.Generator | None = None) -> Tensor | None:
        """gSDE's noise matrices [n_envs, latent, A], or None without gSDE."""
        return self.action_head.exploration_noise(n_envs, generator)

    def _after_trunk(self, width: int) -> tuple[int, int]:
        """How wide what pi and vf read is: place for a memory between it and the trunk, which is `width` wide."""
        return width, width

    def _value(self, features: Tensor) -> Tensor:
        return self.value_net(self.vf(features)).float().squeeze(-1)

    def _read(self, obs: Obs) -> tuple[Any, Tensor | None]:
        """What the features extractor reads, and the action mask."""
        rest, mask = split_mask(obs)
        if isinstance(self.readers, Reader):
            return self.readers(rest if isinstance(rest, Tensor) else rest[self.only_key]), mask
        assert isinstance(rest, dict)
        return {key: read(rest[key]) for key, read in self.readers.items()}, mask

    def _readers(self, space: gymnasium.Space) -> tuple[Any, str]:
        """The Reader of the one array this policy reads, and its key where it stands in a Dict beside a mask."""
        if not isinstance(space, spaces.Dict):
            return reader(space, self.options.normalize_images), ""
        keys = [key for key in space.spaces if key != ACTION_MASK]
        if len(keys) != 1:
            better = "FullyConvPolicy" if any(key.endswith("_classes") for key in keys) else "MultiInputPolicy"
            raise ConfigError(
                f"policy = {type(self).__name__} reads one array, but the environment's observations are a Dict of "
                f"{', '.join(keys) or 'nothing but the mask'}: choose {better}."
            )
        return reader(space.spaces[keys[0]], self.options.normalize_images), keys[0]

    def _extractor(self) -> nn.Module:
        """A features extractor: the one this policy is named for, or the user's own class."""
        kind, kwargs = self.options.features_extractor_class or self.extractor_class, self._extractor_kwargs()
        space = self.readers.space if isinstance(self.readers, Reader) else _dict_space(self.readers)
        try:
            inspect.signature(kind).bind(space, **kwargs)
        except TypeError as error:
            raise ConfigError(f"policy_kwargs: {kind.__name__} cannot be made with {kwargs}: {error}.") from None
        extractor = kind(space, **kwargs)
        if not isinstance(getattr(extractor, "features_dim", None), int):
            raise ConfigError(
                f"{kind.__name__} lacks features_dim: give it that attribute, the number of its features."
            )
        return extractor

    def _extractor_kwargs(self) -> dict[str, Any]:
        kwargs = dict(self.options.features_extractor_kwargs)
        if self.options.features_dim is not None:
            kwargs["features_dim"] = self.options.features_dim
        return kwargs

    def _initialise(self) -> None:
        """Orthogonal weights with gain √2, 0.01 for actions and 1 for the value; biases 0. As OpenAI's baselines."""
        hidden = (self.features, self.vf_features, self.trunk, self.pi, self.vf)
        gains = [(module, math.sqrt(2.0)) for module in hidden if module is not None]
        for module, gain in (*gains, (self.action_head, 0.01), (self.value_net, 1.0)):
            for layer in module.modules():
                if isinstance(layer, nn.Linear | nn.Conv2d):
                    nn.init.orthogonal_(layer.weight, gain)
                    if layer.bias is not None:
                        nn.init.zeros_(layer.bias)


class MlpPolicy(NetworkPolicy):
    """For vectors: flattened, then hidden layers. Also reads a Dict of one array and an action mask."""

    extractor_class = Flatten


class CnnPolicy(NetworkPolicy):
    """For images: NatureCNN, whose features policy and value share."""

    extractor_class = NatureCNN

    def _readers(self, space: gymnasium.Space) -> tuple[Any, str]:
        read, key = super()._readers(space)
        if not read.is_image:
            raise ConfigError(
                f"policy = {type(self).__name__} reads images (3 axes, uint8, 0 to 255; other numbers only with policy_kwargs "
                f"normalize_images = false), but the environment's observations are {read.space}: choose MlpPolicy."
            )
        return read, key


class MultiInputPolicy(NetworkPolicy):
    """For Dict observations: NatureCNN for each image, everything else flattened, all side by side."""

    extractor_class = CombinedExtractor

    def _readers(self, space: gymnasium.Space) -> tuple[Any, str]:
        if not isinstance(space, spaces.Dict):
            read = reader(space, self.options.normalize_images)
            better = "CnnPolicy" if read.is_image else "MlpPolicy"
            raise ConfigError(
                f"policy = {type(self).__name__} reads Dict observations, but the environment's are {space}: choose {better}."
            )
        parts = {key: part for key, part in space.spaces.items() if key != ACTION_MASK}
        if not parts:
            raise ConfigError(
                f"the environment's observations hold nothing but the mask, {space}: add an array to learn from."
            )
        return {key: reader(part, self.options.normalize_images) for key, part in parts.items()}, ""

    def _extractor_kwargs(self) -> dict[str, Any]:
        kwargs = super()._extractor_kwargs()
        if self.options.features_extractor_class is None:
            kwargs["normalize_images"] = self.options.normalize_images
            if "features_dim" in kwargs:
                kwargs["cnn_output_dim"] = kwargs.pop("features_dim")
        return kwargs


def _mlp(width: int, layers: list[int], options: PolicyOptions) -> tuple[nn.Sequential, int]:
    """Linear layers of these widths, each followed by the activation, and the width they end with."""
    modules: list[nn.Module] = []
    for out in layers:
        modules += [nn.Linear(width, out), options.activation_class()]
        width = out
    return nn.Sequential(*modules), width


def _dict_space(readers: dict[str, Reader]) -> spaces.Dict:
    space = spaces.Dict()
    for key, read in readers.items():
        space.spaces[key] = read.space  # one by one: the constructor may reorder
    return space


def _check_mask(observation_space: gymnasium.Space, head: ActionHead) -> None:
    """Nothing; raises ConfigError where an action mask does not fit the actions."""
    if not isinstance(observation_space, spaces.Dict) or ACTION_MASK not in observation_space.spaces:
        return
    if head.kind not in (CATEGORICAL, MULTI_CATEGORICAL):
        raise ConfigError(
            f"the environment offers an {ACTION_MASK}, but masks need Discrete or MultiDiscrete actions: set action_masks to false."
        )
    n_mask, n_choices = math.prod(observation_space.spaces[ACTION_MASK].shape or ()), sum(head.nvec)
    if n_mask != n_choices:
        raise ConfigError(
            f"the environment's {ACTION_MASK} has {n_mask} entries, but its actions are {n_choices} choices in all: it needs one each."
        )
