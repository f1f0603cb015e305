"""Arrays of environments wherever they live: NumPy arrays on the host, or tensors on the device that simulates them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def total(rewards: Any, valid: Any) -> Any:
    """The sum of `rewards` [N], of the `valid` ones where that is not None: a float, or a tensor that stays where it is."""
    counted = rewards if valid is None else rewards[valid]
    return counted.double().sum() if isinstance(counted, Tensor) else float(np.sum(counted))


def indices(ended: Any) -> Any:
    """The rows in which `ended` [N] bool is true."""
    return ended.nonzero()[:, 0] if isinstance(ended, Tensor) else np.flatnonzero(ended)


def copied(obs: Any) -> Any:
    """An observation in memory of its own."""
    if isinstance(obs, dict):
        return {key: copied(part) for key, part in obs.items()}
    return obs.clone() if isinstance(obs, Tensor) else obs.copy()


def on_host(obs: Any) -> Any:
    """An observation as arrays."""
    if isinstance(obs, dict):
        return {key: on_host(part) for key, part in obs.items()}
    return obs.cpu().numpy() if isinstance(obs, Tensor) else obs


def joined(parts: list[Any]) -> Any:
    """Observations [K, ...] one after the other."""
    first = parts[0]
    if isinstance(first, dict):
        return {key: joined([part[key] for part in parts]) for key in first}
    return torch.cat(parts) if isinstance(first, Tensor) else np.concatenate(parts)


def to_env(actions: Tensor, device: torch.device | None) -> Any:
    """Actions for environments on `device`, or as an array for those on the host (None)."""
    return actions.cpu().numpy() if device is None else actions.to(device)


def place(env: Any) -> torch.device | None:
    """The device that `env` lives on; None for the host."""
    return getattr(env, "device", None)
