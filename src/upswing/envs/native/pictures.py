"""Pictures of classic environments, drawn by Gymnasium's own classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np


def set_attribute(env: Any, state: np.ndarray) -> None:
    """Put an environment that keeps all of its state in `state` into this one."""
    env.state = state


def drawn_by_gymnasium(
    env_id: str, n_state: int, put: Callable[[Any, np.ndarray], None] = set_attribute
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from a state, of which the first `n_state` numbers count, to an RGB picture [H, W, 3] uint8.

    `put(env, state)` puts the class of that id into a state.
    Gymnasium's environment, and with it pygame, is made for the first picture.
    """
    made: list[Any] = []

    def picture(state: np.ndarray) -> np.ndarray:
        if not made:
            made.append(gymnasium.make(env_id, render_mode="rgb_array", disable_env_checker=True).unwrapped)
            made[0].reset(seed=0)
        put(made[0], state[:n_state].copy())
        return made[0].render()

    return picture
