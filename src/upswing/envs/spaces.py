"""Spaces: how observations become arrays, how actions become what the environment expects.

    Discrete(n)          one-hot float32 [n]                  MultiBinary(n)   float32 [n]
    MultiDiscrete        one-hots side by side, float32       Box              its own shape; float32, images uint8
    Dict of these        Dict of Boxes, inner Dicts with dotted names

An image is a uint8 Box of three axes from 0 to 255. Anything else is a ConfigError.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from upswing.envs.contract import ACTION_MASK, Observation
from upswing.envs.functions import FunctionSpace
from upswing.errors import ConfigError

OBS = "obs"
"""Key of the observation itself where an array got a mask beside it."""


class Leaf(NamedTuple):
    """One array of an observation: its name in the encoded Dict ("" if there is no Dict), where it lies, its space."""

    name: str
    path: tuple[str, ...]
    space: gymnasium.Space


def leaves(space: gymnasium.Space) -> list[Leaf]:
    """The arrays that an observation of `space` consists of. Raises ConfigError for a space that cannot be encoded."""
    return list(_leaves(space, ()))


def _leaves(space: gymnasium.Space, path: tuple[str, ...]) -> Iterator[Leaf]:
    if isinstance(space, spaces.Dict):
        for key, part in space.spaces.items():
            yield from _leaves(part, (*path, str(key)))
    elif isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        yield Leaf(".".join(path), path, space)
    else:
        raise ConfigError(
            f"the environment's observation space {type(space).__name__} cannot become arrays: give it a Box, Discrete, "
            f"MultiDiscrete, MultiBinary or a Dict of these, for example with gymnasium.wrappers.FlattenObservation."
        )


def encode_space(space: gymnasium.Space) -> gymnasium.Space:
    """The space of encoded observations of `space`: a Box, or a Dict of Boxes. Raises ConfigError."""
    parts = leaves(space)
    if not isinstance(space, spaces.Dict):
        return encode_leaf_space(parts[0].space)
    if not parts:
        raise ConfigError("the environment's observation space is an empty Dict: give it at least one entry.")
    return spaces.Dict({leaf.name: encode_leaf_space(leaf.space) for leaf in parts})


def encode_leaf_space(space: gymnasium.Space) -> spaces.Box:
    """The Box of one encoded array."""
    if isinstance(space, spaces.Box):
        if space.dtype == np.float32 or is_image(space):
            return space
        return spaces.Box(*_float32_bounds(space), dtype=np.float32)
    return spaces.Box(0.0, 1.0, (_encoded_size(space),), dtype=np.float32)


def _float32_bounds(space: spaces.Box) -> tuple[np.ndarray, np.ndarray]:
    largest = np.finfo(np.float32)
    low, high = (np.clip(bound.astype(np.float64), largest.min, largest.max) for bound in (space.low, space.high))
    return (
        np.where(space.bounded_below, low, -np.inf).astype(np.float32),
        np.where(space.bounded_above, high, np.inf).astype(np.float32),
    )


def _encoded_size(space: gymnasium.Space) -> int:
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.sum())
    return math.prod(space.shape or ())


def encode(space: gymnasium.Space, obs: Any) -> Observation:
    """`obs` of `space` as an array, or a dict of arrays; one observation [...] or a batch [N, ...] alike.

    Box values of the right dtype come back without a copy. Raises ValueError for a value outside a discrete space.
    """
    if isinstance(space, spaces.Dict):
        return {leaf.name: encode_leaf(leaf.space, pick(obs, leaf.path)) for leaf in leaves(space)}
    return encode_leaf(space, obs)


def pick(obs: Any, path: tuple[str, ...]) -> Any:
    """The part of a (nested) dict observation that lies at `path`."""
    for key in path:
        obs = obs[key]
    return obs


def encode_leaf(space: gymnasium.Space, value: Any) -> np.ndarray:
    """One array of an observation, encoded; see `encode`."""
    if isinstance(space, spaces.Box):
        return np.asarray(value, np.uint8 if is_image(space) else np.float32)
    if isinstance(space, spaces.Discrete):
        return _one_hot(np.asarray(value)[..., None] - space.start, np.array([space.n]))
    if isinstance(space, spaces.MultiDiscrete):
        value = np.asarray(value) - space.start
        return _one_hot(value.reshape(*value.shape[: value.ndim - space.nvec.ndim], -1), space.nvec.ravel())
    value = np.asarray(value, np.float32)
    return value.reshape(*value.shape[: value.ndim - len(space.shape or ())], -1)


def _one_hot(choices: np.ndarray, nvec: np.ndarray) -> np.ndarray:
    """One-hots [..., sum(nvec)] of `choices` [..., len(nvec)] counted from 0."""
    if choices.dtype.kind not in "iub":
        raise ValueError(f"the value {choices.tolist()} is not a whole number")
    if ((choices < 0) | (choices >= nvec)).any():
        raise ValueError(f"the value {choices.tolist()} (counted from 0) is not below {nvec.tolist()}")
    encoded = np.zeros((*choices.shape[:-1], int(nvec.sum())), np.float32)
    np.put_along_axis(encoded, choices + (np.cumsum(nvec) - nvec), np.float32(1.0), axis=-1)
    return encoded


def is_image(space: gymnasium.Space) -> bool:
    """Whether `space` holds images: a uint8 Box of three axes from 0 to 255."""
    return (
        isinstance(space, spaces.Box)
        and space.dtype == np.uint8
        and len(space.shape) == 3
        and bool((space.low == 0).all() and (space.high == 255).all())
    )


def has_images(space: gymnasium.Space) -> bool:
    """Whether an encoded observation space contains images."""
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
    return any(is_image(part) for part in parts)


def with_mask(space: gymnasium.Space, n_choices: int) -> spaces.Dict:
    """The encoded observation `space` with ACTION_MASK beside it; an array becomes the entry OBS."""
    parts = dict(space.spaces) if isinstance(space, spaces.Dict) else {OBS: space}
    return spaces.Dict({**parts, ACTION_MASK: spaces.Box(0, 1, (n_choices,), dtype=np.bool_)})


def count_choices(space: gymnasium.Space) -> int:
    """How many choices an action mask covers: n of a Discrete space, the sum over a MultiDiscrete one, otherwise 0."""
    return _encoded_size(space) if isinstance(space, spaces.Discrete | spaces.MultiDiscrete) else 0


def encode_action_space(space: gymnasium.Space) -> gymnasium.Space:
    """The action space that policies see: choices counted from 0, several numbers in one axis. Raises ConfigError."""
    if isinstance(space, spaces.Discrete):
        return space if space.start == 0 else spaces.Discrete(int(space.n))
    if isinstance(space, FunctionSpace):
        return space
    if isinstance(space, spaces.MultiDiscrete):
        return spaces.MultiDiscrete(space.nvec.ravel().astype(np.int64))
    if isinstance(space, spaces.MultiBinary):
        return spaces.MultiBinary(math.prod(space.shape))
    if isinstance(space, spaces.Box) and space.dtype.kind == "f":
        low, high = _float32_bounds(space)
        return spaces.Box(low.ravel(), high.ravel(), dtype=np.float32)
    what = "Box of integers" if isinstance(space, spaces.Box) else type(space).__name__
    raise ConfigError(
        f"the environment's action space is a {what}, which PPO here cannot act in: give it Discrete, MultiDiscrete, "
        f"MultiBinary, or a Box of floats."
    )


def clip_to_space(actions: np.ndarray, space: gymnasium.Space) -> np.ndarray:
    """`actions` [N] or [N, A] as the environment's own `space` wants them, [N, *shape]; see `clipper`."""
    return clipper(space)(actions)


def clipper(space: gymnasium.Space) -> Callable[[np.ndarray], np.ndarray]:
    """A function of actions [N] or [N, A] that returns them as the environment's own `space` wants them, [N, *shape].

    Box actions are clipped to the bounds, in a new array, since environments keep them; choices are shifted to the
    space's first value.
    """
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        return lambda actions: np.asarray(actions, np.int64) + start if start else np.asarray(actions, np.int64)
    shape, dtype = (-1, *(space.shape or ())), space.dtype
    if isinstance(space, spaces.Box):
        low, high, maximum, minimum = space.low, space.high, np.maximum, np.minimum

        def clipped(actions: np.ndarray) -> np.ndarray:
            inside = maximum(np.asarray(actions, dtype).reshape(shape), low)
            return minimum(inside, high, out=inside)

        return clipped
    shift = space.start if isinstance(space, spaces.MultiDiscrete) else 0
    return lambda actions: np.asarray(actions).astype(dtype).reshape(shape) + shift
