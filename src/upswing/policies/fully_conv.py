"""FullyConvPolicy: planes stay planes, so that a point is chosen where something is seen.

    classes (unit types, owners) → embedding   ┐
    scalars (health, height)     → log(1 + x)  ├→ 5×5 convolution → 3×3 convolution → map [channels, H, W]
    player  → log(1 + x), spread over the map  ┘
    both maps, flattened → hidden layer → function, arguments that are no points, and value
    a map and the spread player → 1×1 convolution → a point on that map

Source: Vinyals et al. 2017 (arXiv:1708.04782), section 4.3, the agent "FullyConv".
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import gymnasium
import torch
from gymnasium import spaces
from torch import Tensor, nn

from upswing.envs.contract import ACTION_MASK
from upswing.envs.functions import FunctionSpace, Size
from upswing.errors import ConfigError
from upswing.policies.base import ActorCritic, Obs, split_mask
from upswing.ppo.calls import FunctionCall
from upswing.ppo.distributions import Categorical, Distribution

CLASSES, SCALARS = "_classes", "_scalars"
FEW = 64  # inputs to which a layer with more is scaled down
MAX_EMBEDDING = 8  # numbers for one class, whatever there are of them


class FullyConvPolicy(ActorCritic):
    """For StarCraft II: Dict observations of maps (`<map>_classes` and `<map>_scalars`) and vectors, and functions with
    arguments as actions, a point argument being on the map whose name it begins with."""

    def __init__(
        self,
        observation_space: gymnasium.Space,
        action_space: gymnasium.Space,
        n_channels: tuple[int, int] = (16, 32),
        features_dim: int = 256,
        ortho_init: bool = True,
    ):
        super().__init__(observation_space, action_space)
        _check(observation_space, action_space, n_channels, features_dim)
        assert isinstance(observation_space, spaces.Dict) and isinstance(action_space, FunctionSpace)
        parts = {key: part for key, part in observation_space.spaces.items() if key != ACTION_MASK}
        self.maps = sorted({key.removesuffix(CLASSES) for key in parts if key.endswith(CLASSES)})
        self.vectors = [key for key, part in parts.items() if len(part.shape or ()) == 1]
        n_vector = sum(math.prod(parts[key].shape or ()) for key in self.vectors)
        channels = [int(n) for n in n_channels]
        self.planes = nn.ModuleDict({name: Planes(parts, name, channels) for name in self.maps})
        n_flat = sum(channels[-1] * math.prod((parts[name + CLASSES].shape or ())[1:]) for name in self.maps)
        self.hidden = nn.Sequential(
            Shrink(n_flat + n_vector), nn.Linear(n_flat + n_vector, int(features_dim)), nn.ReLU()
        )
        self.function_net = nn.Linear(int(features_dim), len(action_space.functions))
        self.argument_nets = nn.ModuleDict()
        self.map_of: dict[str, str | None] = {}
        for name, size in action_space.arguments.items():
            self.map_of[name] = None if isinstance(size, int) else _map_of(name, size, self.maps, parts)
            self.argument_nets[name] = (
                nn.Linear(int(features_dim), size)
                if isinstance(size, int)
                else nn.Conv2d(channels[-1] + n_vector, 1, 1)
            )
        self.value_net = nn.Linear(int(features_dim), 1)
        self.sizes = [int(n) for n in action_space.nvec]
        self.register_buffer("uses", torch.from_numpy(action_space.uses).float(), persistent=False)
        if ortho_init:
            self._initialise()
        for layers in (self.hidden, *(planes.convolutions for planes in self.planes.values())):
            _balance(layers)  # type: ignore[arg-type]

    def forward(self, obs: Obs) -> tuple[Distribution, Tensor]:
        """The distribution over calls and the values [B]."""
        rest, mask = split_mask(obs)
        assert isinstance(rest, dict)
        vector = torch.cat([_squeezed(rest[key]) for key in self.vectors], 1)
        maps = {name: self.planes[name](rest) for name in self.maps}
        hidden = self.hidden(torch.cat([*(maps[name].flatten(1) for name in self.maps), vector], 1))
        seen = {name: torch.cat([part, _spread(vector, part)], 1) for name, part in maps.items()}
        masks = [None] * len(self.sizes) if mask is None else mask.split(self.sizes, 1)
        arguments = []
        for (name, net), allowed in zip(self.argument_nets.items(), masks[1:], strict=True):
            where = self.map_of[name]
            logits = net(hidden) if where is None else net(seen[where]).flatten(1)
            arguments.append(Categorical(logits.float(), allowed))
        function = Categorical(self.function_net(hidden).float(), masks[0])
        values = self.value_net(hidden).float().squeeze(-1)
        return FunctionCall(function, tuple(arguments), self.uses), values  # type: ignore[arg-type]

    def _initialise(self) -> None:
        """Orthogonal weights with gain √2, 0.01 for actions and 1 for the value; biases 0."""
        gains = [(self.planes, math.sqrt(2.0)), (self.hidden, math.sqrt(2.0)), (self.value_net, 1.0)]
        gains += [(self.function_net, 0.01), (self.argument_nets, 0.01)]
        for module, gain in gains:
            for layer in module.modules():
                if isinstance(layer, nn.Linear | nn.Conv2d):
                    nn.init.orthogonal_(layer.weight, gain)
                    assert layer.bias is not None
                    nn.init.zeros_(layer.bias)


class Planes(nn.Module):
    """One map: its planes of classes and of scalars to [B, channels, H, W].

    A plane of two classes is 0 or 1 already; one of more becomes an embedding of ⌈log2 n⌉ numbers, at most
    MAX_EMBEDDING: the same as a one-hot plane followed by a 1×1 convolution.
    """

    def __init__(self, parts: dict[str, gymnasium.Space], name: str, channels: list[int]):
        super().__init__()
        classes, scalars = parts[name + CLASSES], parts[name + SCALARS]
        assert isinstance(classes, spaces.Box)
        self.name = name
        self.counts = [int(high) + 1 for high in classes.high.max(axis=(1, 2))]
        self.embeddings = nn.ModuleList(
            nn.Embedding(n, min(math.ceil(math.log2(n)), MAX_EMBEDDING)) for n in self.counts if n > 2
        )
        n_seen = sum(1 for n in self.counts if n <= 2) + sum(e.embedding_dim for e in self.embeddings)  # type: ignore[misc]
        n_seen += (scalars.shape or (0,))[0]
        self.convolutions = nn.Sequential(
            Shrink(25 * n_seen), nn.Conv2d(n_seen, channels[0], 5, padding=2), nn.ReLU(),
            Shrink(9 * channels[0]), nn.Conv2d(channels[0], channels[1], 3, padding=1), nn.ReLU(),
        )  # fmt: skip

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """[B, channels, H, W] of the observation's entries for this map."""
        classes = obs[self.name + CLASSES]
        embeddings = iter(self.embeddings)
        seen = [_squeezed(obs[self.name + SCALARS])]
        for plane, n in zip(classes.unbind(1), self.counts, strict=True):
            if n <= 2:
                seen.append(plane[:, None].float())
            else:
                seen.append(next(embeddings)(plane.long().clamp(0, n - 1)).permute(0, 3, 1, 2))
        return self.convolutions(torch.cat(seen, 1))


class Shrink(nn.Module):
    """The inputs of a layer that adds up `n` of them, scaled so that they weigh as much as at most FEW.

    A step of Adam moves each weight by about the learning rate, so what n inputs of one sign add up to moves by n times as
    much: thousands of inputs, most of them the same at every point, switch every ReLU off or on at once. With the weights
    scaled up instead (`_balance`), a policy begins the same and takes steps of a common size. Source: Yang et al. 2022
    (arXiv:2203.03466), where Adam's learning rate of hidden weights falls with 1/n.
    """

    def __init__(self, n: int):
        super().__init__()
        self.factor = min(1.0, FEW / n)

    def forward(self, inputs: Tensor) -> Tensor:
        """`inputs` times the factor."""
        return inputs * self.factor


def _balance(layers: nn.Sequential) -> None:
    """Scale up the weights of each layer in `layers` by what the Shrink before it takes away."""
    with torch.no_grad():
        for shrink, layer in pairwise(layers):
            if isinstance(shrink, Shrink):
                layer.weight.div_(shrink.factor)  # type: ignore[operator]


def _squeezed(amounts: Tensor) -> Tensor:
    """log(1 + x): amounts span many orders of magnitude. Negative ones count as 0."""
    return amounts.float().clamp(min=0.0).log1p()


def _spread(vector: Tensor, over: Tensor) -> Tensor:
    """`vector` [B, n] at every point of the map `over` [B, C, H, W]: [B, n, H, W]."""
    return vector[:, :, None, None].expand(-1, -1, *over.shape[2:]).to(over.dtype)


def _map_of(argument: str, size: Size, maps: list[str], parts: dict[str, Any]) -> str:
    for name in maps:
        if argument.startswith(name) and tuple(parts[name + CLASSES].shape[1:]) == size:
            return name
    raise ConfigError(
        f"policy = FullyConvPolicy: the actions' argument {argument} is a point on {size}, but no map is."
    )


def _check(observation_space: gymnasium.Space, action_space: gymnasium.Space, n_channels: Any, width: Any) -> None:
    """Nothing; raises ConfigError where FullyConvPolicy does not fit."""
    if not isinstance(action_space, FunctionSpace):
        raise ConfigError(
            f"policy = FullyConvPolicy calls StarCraft II's functions, but the environment's actions are {action_space}: "
            f"choose MlpPolicy, CnnPolicy or MultiInputPolicy."
        )
    keys = observation_space.spaces if isinstance(observation_space, spaces.Dict) else {}
    maps = [key.removesuffix(CLASSES) for key in keys if key.endswith(CLASSES)]
    if not maps or any(name + SCALARS not in keys for name in maps):
        raise ConfigError(
            f"policy = FullyConvPolicy reads maps, <map>{CLASSES} beside <map>{SCALARS}, but the environment's "
            f"observations are {observation_space}: choose MultiInputPolicy."
        )
    numbers = [*n_channels, width] if isinstance(n_channels, list | tuple) and len(n_channels) == 2 else [0]
    if any(isinstance(n, bool) or not isinstance(n, int | float) or n != int(n) or n < 1 for n in numbers):
        raise ConfigError(
            f"policy_kwargs: n_channels = {n_channels!r} and features_dim = {width!r} are not two widths and one: write "
            f"[16, 32] and 256."
        )
