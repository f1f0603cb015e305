"""What a checkpoint holds, as plain arrays and JSON values: the seam between engines and files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


@dataclass
class Snapshot:
    """Everything needed to continue a training exactly."""

    model: Arrays  # policy parameters by their torch names; "normalizer.*" statistics beside them
    optimizer: Arrays  # Adam: "<parameter>.exp_avg", "<parameter>.exp_avg_sq", and "step"
    environment: Arrays = field(default_factory=dict)  # arrays of environment and rollout state
    state: dict[str, Any] = field(default_factory=dict)  # JSON: counters, schedules, generators, episode statistics


def pack(value: Any, prefix: str) -> tuple[Any, Arrays]:
    """`value` as JSON with every array replaced by a reference, and the arrays by their references' names."""
    arrays: Arrays = {}

    def strip(part: Any, path: str) -> Any:
        if isinstance(part, np.ndarray):
            arrays[path] = part
            return {"array": path}
        if isinstance(part, np.generic):
            return part.item()
        if isinstance(part, dict):
            return {"dict": {str(key): strip(each, f"{path}.{key}") for key, each in part.items()}}
        if isinstance(part, list | tuple):
            return [strip(each, f"{path}.{i}") for i, each in enumerate(part)]
        return part

    return strip(value, prefix), arrays


def unpack(packed: Any, arrays: Arrays) -> Any:
    """What `pack` was given (tuples come back as lists)."""
    if isinstance(packed, dict):
        if "array" in packed:
            return arrays[packed["array"]]
        return {key: unpack(each, arrays) for key, each in packed["dict"].items()}
    if isinstance(packed, list):
        return [unpack(each, arrays) for each in packed]
    return packed
