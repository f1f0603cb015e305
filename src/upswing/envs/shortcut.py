"""The way past the wrappers that `gymnasium.make` adds, whose calls cost a twentieth of a quick environment's step."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.wrappers import OrderEnforcing, TimeLimit


def shorten(env: gymnasium.Env) -> None:
    """Let `env` step without the calls in between: TimeLimit around OrderEnforcing goes to what both wrap.

    It counts steps in its own attribute, as it does itself. Whether there was a reset is no longer asked: call this
    only for an environment that is always reset first. Wrappers outside find the shorter way by themselves.
    """
    layer: Any = env
    while isinstance(layer, gymnasium.Wrapper):
        inner: Any = layer.env
        untouched = "step" not in vars(layer) and "step" not in vars(inner)
        if type(layer) is TimeLimit and type(inner) is OrderEnforcing and untouched:
            layer.step = _counted(layer, inner.env.step)  # type: ignore[method-assign]
            return
        layer = inner


def _counted(limit: Any, step_inside: Any) -> Any:
    """TimeLimit.step, from what it reads of `limit` and `step_inside`."""
    most = limit._max_episode_steps

    def step(action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = step_inside(action)
        limit._elapsed_steps += 1
        return obs, reward, terminated, truncated or limit._elapsed_steps >= most, info

    return step
