"""What is publicly known of an environment: its time limit, and a return that published PPO trainings reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REACHABLE = {
    "CartPole": 475.0,
    "Acrobot": -100.0,
    "Pendulum": -200.0,
    "MountainCar": -120.0,
    "MountainCarContinuous": 85.0,
    "LunarLander": 200.0,
    "LunarLanderContinuous": 200.0,
    "BipedalWalker": 260.0,
    "InvertedPendulum": 950.0,
    "InvertedDoublePendulum": 9100.0,
}
"""Returns, by name without version, that PPO is known to reach or surpass: Gymnasium's reward thresholds where RL-Zoo's
benchmark.md shows PPO beyond them, else a little under its published return. Tasks on which published returns differ
widely (most of MuJoCo) are left out on purpose: there a low return is no sign of a fault."""


def known_environment(env: Any, env_kwargs: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`max_episode_steps` and `reward_threshold` of the Gymnasium id `env`, as far as they are known.

    Other physics or rewards by `env_kwargs` make it another task, whose reachable return is not known. An id that would import a module ("module:Id") is not looked up: a log must not decide what is imported.
    """
    if not isinstance(env, str) or ":" in env or not env:
        return {}
    changed = any(name != "render_mode" for name in env_kwargs or {})
    found: dict[str, Any] = {"reward_threshold": None if changed else REACHABLE.get(env.rpartition("-v")[0] or env)}
    try:
        from gymnasium.envs.registration import registry
    except ImportError:
        registry = {}
    if env in registry:
        found["max_episode_steps"] = registry[env].max_episode_steps
    return {name: value for name, value in found.items() if value is not None}


def completed(environment: Mapping[str, Any], env: Any, env_kwargs: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a log told of its environment, completed by what is publicly known."""
    return {**known_environment(env, env_kwargs), **environment}
