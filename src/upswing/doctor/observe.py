"""What only a look into a rollout can tell: the scale of observations, actions at their bounds, units gone silent.

A small sample is enough, and nothing is computed by torch: tensors are turned into arrays first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

SAMPLE = 256  # rows of a rollout that are looked at
LARGEST = 4096  # numbers in an observation; what is larger is an image, which policies scale by themselves

OBS_STD_MAX, OBS_OFFSET, OBS_CLIPPED, ACTION_SATURATION, DORMANT_UNITS = (
    "rollout/obs_std_max",
    "rollout/obs_offset",
    "rollout/obs_clipped",
    "rollout/action_saturation",
    "train/dormant_units",
)

_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0.0),
    "Sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "ELU": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0.0))),
    "SiLU": lambda x: x / (1.0 + np.exp(-x)),
    "LeakyReLU": lambda x: np.where(x > 0, x, 0.01 * x),
}


def observed(rollout: Any, policy: Any, clip_obs: float | None) -> dict[str, float]:
    """Figures of `rollout` under their tags; those that cannot be had are left out.

    `clip_obs` is the bound of normalised observations, None where they are not normalised.
    """
    obs = sample_of(rollout.obs)
    found = {} if obs is None else observation_figures(obs, clip_obs)
    space = getattr(policy, "action_space", None)
    if space is not None and hasattr(space, "low"):
        found |= saturation(rows_of(rollout.actions), np.asarray(space.low), np.asarray(space.high))
    if obs is not None and policy is not None:
        silent = dormant_share(policy, obs)
        found |= {} if silent is None else {DORMANT_UNITS: silent}
    return found


def observation_figures(obs: np.ndarray, clip_obs: float | None) -> dict[str, float]:
    """The largest spread and the largest offset among the features of `obs` [B, d]; with a clip, how much reaches it."""
    mean, std = obs.mean(0), obs.std(0)
    found = {OBS_STD_MAX: float(std.max()), OBS_OFFSET: float((np.abs(mean) / np.maximum(std, 1.0)).max())}
    if clip_obs is not None:
        found[OBS_CLIPPED] = float((np.abs(obs) >= clip_obs * (1 - 1e-6)).mean())
    return found


def saturation(actions: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, float]:
    """The share of action components [B, A] at or beyond finite bounds."""
    bounded = np.isfinite(low).reshape(-1) & np.isfinite(high).reshape(-1)
    if actions.ndim != 2 or actions.shape[1] != len(bounded) or not bounded.any():
        return {}
    low, high, actions = low.reshape(-1)[bounded], high.reshape(-1)[bounded], actions[:, bounded]
    edge = 1e-6 * (high - low)
    return {ACTION_SATURATION: float(((actions <= low + edge) | (actions >= high - edge)).mean())}


def dormant_share(policy: Any, obs: np.ndarray) -> float | None:
    """The share of the policy's hidden units that hardly react to `obs` [B, d]; None for networks not read here.

    A unit counts as dormant where its activation varies less than a fortieth as much as its layer's units do on
    average. After Sokar et al. 2023 (arXiv:2302.12902), who compare mean activations: a saturated tanh is silent too.
    """
    layers = [*getattr(policy, "trunk", ()), *getattr(policy, "pi", ())]
    dormant = units = 0
    values = obs.astype(np.float64)
    for layer in layers:
        kind = type(layer).__name__
        if kind == "Linear" and layer.weight.shape[1] == values.shape[1]:
            values = values @ array(layer.weight).T + (0.0 if layer.bias is None else array(layer.bias))
        elif kind in _ACTIVATIONS:
            with np.errstate(all="ignore"):
                values = _ACTIVATIONS[kind](values)
            moves = values.std(0)
            dormant, units = dormant + int((moves <= 0.025 * moves.mean()).sum()), units + len(moves)
        else:
            return None
    return dormant / units if units else None


def sample_of(obs: Any) -> np.ndarray | None:
    """A sample of observations as features [B, d]; None where they are images or not numbers."""
    parts = list(obs.values()) if isinstance(obs, Mapping) else [obs]
    rows = [rows_of(part) for part in parts if _is_vector(part)]
    rows = [part.reshape(len(part), -1).astype(np.float64) for part in rows]
    return np.concatenate(rows, axis=1) if rows else None


def _is_vector(part: Any) -> bool:
    shape = tuple(part.shape)
    return "uint8" not in str(part.dtype) and int(np.prod(shape[2:])) <= LARGEST


def rows_of(values: Any) -> np.ndarray:
    """At most SAMPLE transitions [B, ...], evenly spread over `values` [T, N, ...]."""
    n_steps, n_envs = int(values.shape[0]), int(values.shape[1])
    picked = np.unique(np.linspace(0, n_steps * n_envs - 1, min(SAMPLE, n_steps * n_envs)).astype(int))
    if isinstance(values, np.ndarray):
        return values[picked // n_envs, picked % n_envs]
    flat = values.reshape(n_steps * n_envs, *values.shape[2:])
    return array(flat[picked.tolist()])


def array(values: Any) -> np.ndarray:
    """A tensor or an array as an array."""
    return values if isinstance(values, np.ndarray) else values.detach().cpu().numpy()
