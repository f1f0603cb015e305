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
