"""What is publicly known of an environment: its time limit and the return at which it counts as solved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upswing.presets import PRESETS


def known_environment(env: Any) -> dict[str, Any]:
    """`max_episode_steps` and `reward_threshold` of the Gymnasium id `env`, as far as its registry knows them.

    An id that would import a module ("module:Id") is not looked up: a log must not decide what is imported.
    """
    if not isinstance(env, str) or ":" in env or not env:
        return {}
    found: dict[str, Any] = {}
    try:
        from gymnasium.envs.registration import registry
    except ImportError:
        registry = {}
    spec = registry.get(env)
    if spec is not None:
        found = {"max_episode_steps": spec.max_episode_steps, "reward_threshold": spec.reward_threshold}
    if (
        found.get("reward_threshold") is None and env in PRESETS
    ):  # what a published recipe reaches, less a fifth of its size
        expected = PRESETS[env].expected
        found["reward_threshold"] = expected - 0.2 * abs(expected)
    return {name: value for name, value in found.items() if value is not None}


def completed(environment: Mapping[str, Any], env: Any) -> dict[str, Any]:
    """What a log told of its environment, completed by what is publicly known."""
    return {**known_environment(env), **environment}
