"""A look at an environment before it is learned from."""

from __future__ import annotations

import warnings

import gymnasium
from gymnasium.utils import env_checker


def check_env(env: gymnasium.Env, warn: bool = True, skip_render_check: bool = True) -> None:
    """Nothing; raises, or with `warn` warns, where `env` does not keep to Gymnasium's interface."""
    with warnings.catch_warnings():
        if not warn:
            warnings.simplefilter("ignore")
        env_checker.check_env(env, skip_render_check=skip_render_check)
