"""Pictures of classic environments, drawn by Gymnasium's own classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np


def drawn_by_gymnasium(env_id: str, n_state: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function from a state to an RGB picture [H, W, 3] uint8, for an id whose class keeps `state` [n_state].

    Gymnasium's environment, and with it pygame, is made for the first picture.
    """
    made: list[Any] = []

    def picture(state: np.ndarray) -> np.ndarray:
        if not made:
            made.append(gymnasium.make(env_id, render_mode="rgb_array", disable_env_checker=True).unwrapped)
            made[0].reset(seed=0)
        made[0].state = state[:n_state].copy()
        return made[0].render()

    return picture
