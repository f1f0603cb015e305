"""From observations to feature vectors: flattening, NatureCNN for images, and both together for Dict observations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from upswing.errors import ConfigError

NATURE_CNN_SMALLEST = 36  # height and width below which its last kernel does not fit


@dataclass(frozen=True)
class Reader:
    """How one array of an observation enters a network: as float32, images with channels first and divided by 255."""

    space: spaces.Box  # as the network sees it, images with channels first
    is_image: bool
    channels_last: bool  # of the environment's images
    scale: bool

    def __call__(self, obs: Tensor) -> Tensor:
        """`obs` [B, ...] as float32; uint8 images are converted here, on the network's device."""
        if self.channels_last:
            obs = obs.permute(0, 3, 1, 2)
        return obs.float() / 255.0 if self.scale else obs.float()


def reader(space: gymnasium.Space, normalize_images: bool = True) -> Reader:
    """The Reader for observations of `space`. Raises ConfigError for anything but a Box."""
    if not isinstance(space, spaces.Box):
        raise ConfigError(
            f"the environment's observations hold {space}, but policies read arrays (Box): flatten it, for example with "
            f"gymnasium.wrappers.FlattenObservation."
        )
    image = is_image(space, normalize_images)
    if not image or not is_channels_last(space):
        return Reader(space, image, False, image and normalize_images)
    low, high = (np.moveaxis(bound, -1, 0) for bound in (space.low, space.high))
    return Reader(spaces.Box(low, high, dtype=space.dtype.type), image, True, normalize_images)


def is_image(space: gymnasium.Space, normalize_images: bool = True) -> bool:
    """Whether `space` holds images: 3 axes, uint8, 0 to 255. Without `normalize_images` any Box of 3 axes is one."""
    if not isinstance(space, spaces.Box) or len(space.shape) != 3:
        return False
    if not normalize_images:
        return True
    return space.dtype == np.uint8 and bool((space.low == 0).all() and (space.high == 255).all())


def is_channels_last(space: spaces.Box) -> bool:
    """Whether an image's axes are height, width, channels: its first axis is not the smallest one."""
    return int(np.argmin(space.shape)) != 0


class Flatten(nn.Module):
    """Each observation as one vector: [B, ...] to [B, features_dim]."""

    def __init__(self, space: spaces.Box):
        super().__init__()
        self.features_dim = math.prod(space.shape)

    def forward(self, obs: Tensor) -> Tensor:
        """[B, features_dim]."""
        return obs.flatten(1)


class NatureCNN(nn.Module):
    """Three convolutions and a linear layer, each with ReLU: images [B, C, H, W] to [B, features_dim].

    Source: Mnih et al. 2015, "Human-level control through deep reinforcement learning", Nature 518.
    """

    def __init__(self, space: spaces.Box, features_dim: int = 512):
        super().__init__()
        channels, height, width = space.shape
        if min(height, width) < NATURE_CNN_SMALLEST:
            raise ConfigError(
                f"images of {height}×{width} are smaller than the {NATURE_CNN_SMALLEST}×{NATURE_CNN_SMALLEST} that "
                f"NatureCNN's kernels need: resize them, or flatten them and use MlpPolicy."
            )
        self.features_dim = features_dim
        self.cnn = nn.Sequential(
            nn.Conv2d(channels, 32, kernel_size=8, stride=4),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=4, stride=2),
            nn.ReLU(),
            nn.Conv2d(64, 64, kernel_size=3, stride=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        n_flat = 64 * _after_convolutions(height) * _after_convolutions(width)
        self.linear = nn.Sequential(nn.Linear(n_flat, features_dim), nn.ReLU())

    def forward(self, obs: Tensor) -> Tensor:
        """[B, features_dim]."""
        return self.linear(self.cnn(obs))


class CombinedExtractor(nn.Module):
    """Features of a Dict observation: a NatureCNN per image, the rest flattened, side by side in the space's order."""

    def __init__(self, space: spaces.Dict, cnn_output_dim: int = 256, normalize_images: bool = True):
        super().__init__()
        self.keys = tuple(space.spaces)
        parts = [
            NatureCNN(part, cnn_output_dim) if is_image(part, normalize_images) else Flatten(part)
            for part in space.spaces.values()
            if isinstance(part, spaces.Box)
        ]
        self.parts = nn.ModuleList(parts)
        self.features_dim = sum(part.features_dim for part in parts)

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """[B, features_dim] for a dict of [B, ...]."""
        return torch.cat([part(obs[key]) for key, part in zip(self.keys, self.parts, strict=True)], dim=1)


def _after_convolutions(size: int) -> int:
    for kernel, stride in ((8, 4), (4, 2), (3, 1)):
        size = (size - kernel) // stride + 1
    return size
