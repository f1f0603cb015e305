"""PPO for scripts written for Stable-Baselines3: change the import, and they train on this project's engines.

    from upswing import PPO
    from upswing.sb3 import EvalCallback, evaluate_policy, make_vec_env

The modules under `common` stand where Stable-Baselines3 has them. Names are imported when they are first used: worker
processes, which need none of them, start quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "upswing.sb3.ppo": ("PPO",),
    "upswing.sb3.common.callbacks": (
        *("BaseCallback", "CallbackList", "CheckpointCallback", "ConvertCallback", "EvalCallback", "EventCallback"),
        *("EveryNTimesteps", "ProgressBarCallback", "StopEpochsOnKL", "StopTrainingOnMaxEpisodes"),
        *("StopTrainingOnNoModelImprovement", "StopTrainingOnRewardThreshold"),
    ),
    "upswing.sb3.common.env_util": ("make_vec_env",),
    "upswing.sb3.common.evaluation": ("evaluate_policy",),
    "upswing.sb3.common.logger": ("Logger",),
    "upswing.sb3.common.monitor": ("Monitor",),
    "upswing.sb3.common.vec_env": ("DummyVecEnv", "SubprocVecEnv", "VecEnv", "VecNormalize"),
    "upswing.sb3.common.env_checker": ("check_env",),
    "upswing.sb3.common.utils": ("set_random_seed",),
    "upswing.policies": ("CnnPolicy", "MlpPolicy", "MultiInputPolicy"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'upswing.sb3' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
