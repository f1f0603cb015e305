"""Valid-action masks: where an environment offers them, and how they join its observations as ACTION_MASK."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from upswing.envs.contract import ACTION_MASK
from upswing.envs.spaces import Leaf, count_choices, encode_leaf_space, encode_space, leaves, with_mask
from upswing.errors import ConfigError

METHOD, INFO, ENTRY = "action_masks()", "info['action_mask']", "the observation's 'action_mask'"


class Plan(NamedTuple):
    """How the observations of an environment are encoded."""

    leaves: list[Leaf]  # arrays to encode, the mask not among them
    source: str | None  # METHOD, INFO or ENTRY, or None: no masks
    choices: tuple[int, ...]  # how many choices each head of the mask has
    space: gymnasium.Space  # of the encoded observations


def plan(observation_space: gymnasium.Space, action_space: gymnasium.Space, source: str | None) -> Plan:
    """How to encode `observation_space` with masks from `source`. Raises ConfigError where the mask does not fit."""
    encoded, parts = encode_space(observation_space), leaves(observation_space)
    if isinstance(observation_space, spaces.Dict) and ACTION_MASK in observation_space.spaces:
        parts = [leaf for leaf in parts if leaf.path[0] != ACTION_MASK]
        if not parts:
            raise ConfigError("the environment's observation is nothing but an action mask: give it another entry.")
        encoded = spaces.Dict({leaf.name: encode_leaf_space(leaf.space) for leaf in parts})
    if source is None:
        return Plan(parts, None, (), encoded)
    n_choices = count_choices(action_space)
    if source == ENTRY:
        _check_entry(observation_space[ACTION_MASK], n_choices)  # type: ignore[index]
    heads = action_space.nvec.ravel() if isinstance(action_space, spaces.MultiDiscrete) else [n_choices]
    return Plan(parts, source, tuple(int(n) for n in heads), with_mask(encoded, n_choices))


def _check_entry(space: gymnasium.Space, n_choices: int) -> None:
    size = int(np.prod(space.shape)) if space.shape is not None else 0
    if n_choices and size != n_choices:
        raise ConfigError(
            f"the observation's {ACTION_MASK} has {size} entries, but the actions are {n_choices} choices in all: "
            f"give it one entry a choice, or set action_masks to false."
        )


def find_source(env: gymnasium.Env, wanted: bool) -> str | None:
    """Where `env` offers masks: METHOD, INFO, ENTRY or None. Resets it where only its info can tell."""
    if not wanted:
        return None
    if has_entry(env.observation_space):
        return ENTRY
    if count_choices(env.action_space) == 0:
        return None
    if env.has_wrapper_attr("action_masks"):
        return METHOD
    _, info = env.reset()
    return INFO if ACTION_MASK in info else None


def has_entry(space: gymnasium.Space) -> bool:
    """Whether observations of `space` carry a mask themselves."""
    return isinstance(space, spaces.Dict) and ACTION_MASK in space.spaces


def flat_mask(mask: Any, choices: tuple[int, ...]) -> np.ndarray:
    """`mask` as bool [sum(choices)]; it may be one array or a list of one array a head.

    Raises ValueError for a wrong size, and where a head is left without a valid choice.
    """
    if isinstance(mask, list | tuple) and len(mask) == len(choices) > 1 and np.ndim(mask[0]):
        mask = np.concatenate([np.ravel(head) for head in mask])
    flat = np.asarray(mask, np.bool_).ravel()
    if flat.size != sum(choices):
        raise ValueError(f"the action mask has {flat.size} entries, but the actions are {sum(choices)} choices in all")
    starts = np.cumsum((0, *choices[:-1]))
    if not np.logical_or.reduceat(flat, starts).all():
        raise ValueError("the action mask leaves no valid action")
    return flat
